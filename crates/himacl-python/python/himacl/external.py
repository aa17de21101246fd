"""Pairing sets that do not fit memory, task by task: from files to files.

``himacl pair --external`` does all of it on one machine, :func:`himacl.ray.pair` on a cluster. This module is for other schedulers: a run is a
folder of temporary files that all workers see, and its steps consist of tasks that may run anywhere, in any order, and twice.

>>> from himacl.external import Job
>>> job = Job.plan("work", x="x.npy", y="y.npy", output="pairs", memory=2 << 30)  # doctest: +SKIP
>>> while step := job.next_step():  # doctest: +SKIP
...     for task in job.open_tasks(step):
...         job.run(step, task)
...     job.complete(step)
>>> job.outcome()["mean_cost"]  # doctest: +SKIP
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ._himacl import ExternalJob

__all__ = ["Job"]


class Job:
    """A run in the folder ``work``, whose plan exists (:meth:`plan` writes one); blocks are paired on ``device``.

    The same bytes come from the same kind of device alone: all tasks of a run should have one.

    On machines that see no common folder, whoever schedules brings the files: ``work`` is a folder of the machine's own, ``places`` are where x, y
    and the results are there; :meth:`opens`, :meth:`reads` and :meth:`writes` say what a task needs and makes.
    """

    def __init__(
        self,
        work: str | os.PathLike[str],
        *,
        device: str = "cpu",
        places: tuple[str | os.PathLike[str], str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    ) -> None:
        self.work = Path(work).absolute()
        x, y, output = (Path(place).absolute() for place in places) if places else (None, None, None)
        self._job = ExternalJob(self.work, device, (x, y, output) if x and y and output else None)

    @classmethod
    def plan(
        cls,
        work: str | os.PathLike[str],
        *,
        x: str | os.PathLike[str],
        y: str | os.PathLike[str],
        output: str | os.PathLike[str],
        memory: int,
        x_key: str | None = None,
        y_key: str | None = None,
        cost: str = "sqeuclidean",
        quality: str = "balanced",
        seed: int = 0,
        center: bool = False,
        normalize: bool = False,
        threads: int = 1,
        block_rows: int | None = None,
        sweeps: int | None = None,
        gap_rows: int | None = None,
    ) -> Job:
        """Plans a run: blocks for workers of ``memory`` bytes with ``threads`` threads each.

        The results go to ``output``: ``pairs/part-*.parquet`` and ``permutation.npy``. The arguments are those of ``himacl pair``.
        """

        def source(path: str | os.PathLike[str], key: str | None) -> dict[str, Any]:
            return {"path": str(Path(path).absolute()), "key": key}

        settings = {
            "x": source(x, x_key),
            "y": source(y, y_key),
            "output": str(Path(output).absolute()),
            "cost": cost,
            "quality": quality,
            "seed": seed,
            "center": center,
            "normalize": normalize,
            "memory": memory,
            "threads": threads,
            "block_rows": block_rows,
            "sweeps": sweeps,
            "gap_rows": gap_rows,
        }
        folder = Path(work).absolute()
        ExternalJob.plan(json.dumps(settings), folder)
        return cls(folder)

    @property
    def memory(self) -> int:
        """Bytes that one task may hold."""
        return self._job.memory

    @property
    def disk_bytes(self) -> int:
        """Bytes that the folder of temporary files will hold at most."""
        return self._job.disk_bytes

    @property
    def task_bytes(self) -> int:
        """Bytes that one task reads and writes at most, about."""
        return self._job.task_bytes

    def opens(self, step: str, task: int) -> list[Path]:
        """The files of earlier steps that a task opens.

        Each begins with eight bytes, the length of its header as an unsigned number of 64 bits (least significant byte first), and the
        header. The files ``plan.json`` and ``STEP.json`` are needed too, and the headers (of parquet files: footers) of the inputs.
        """
        return self._job.opens(step, task)

    def reads(self, step: str, task: int) -> list[tuple[Path, list[tuple[int, int]]]]:
        """The bytes that a task reads of these files after their headers, which must be there, and of the inputs: from a start to an end.

        No other byte matters to the task, as long as the files have their length.
        """
        return self._job.reads(step, task)

    def writes(self, step: str, task: int) -> list[Path]:
        """The files that a task writes; the last is its done mark."""
        return self._job.writes(step, task)

    def noted(self, step: str) -> list[Path]:
        """The files of a step whose headers :meth:`complete` reads."""
        return self._job.noted(step)

    def next_step(self) -> str | None:
        """The step whose tasks are to be done now; ``None`` when the run is complete."""
        return self._job.next_step()

    def tasks(self, step: str) -> int:
        """How many tasks a step has."""
        return self._job.tasks(step)

    def open_tasks(self, step: str) -> list[int]:
        """The tasks of a step whose results are not there yet."""
        return self._job.open_tasks(step)

    def run(self, step: str, task: int, threads: int | None = None) -> None:
        """Runs one task, unless its result is there."""
        self._job.run(step, task, threads)

    def complete(self, step: str, seconds: float = 0.0) -> dict[str, Any]:
        """Marks a step complete whose tasks are all done, and removes files that no later step reads."""
        report: dict[str, Any] = json.loads(self._job.complete(step, seconds))
        return report

    def remove_unfinished(self) -> None:
        """Removes what killed tasks left; while none runs."""
        self._job.remove_unfinished()

    def outcome(self) -> dict[str, Any]:
        """Mean cost, estimate of the gap and steps of a complete run."""
        outcome: dict[str, Any] = json.loads(self._job.outcome())
        return outcome
