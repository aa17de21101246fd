"""Pairing and embedding on a Ray cluster: the tasks of ``himacl pair --external``, the shards of ``himacl embed``, wherever the cluster has room.

Needs ``pip install 'himacl[ray]'`` on all machines, and folders that all of them see, or an object store (``s3://...`` and whatever fsspec knows,
``pip install 'himacl[object-store]'``). A task's result is a file with fixed bytes, so lost workers, tasks that run twice and a lost driver
change nothing in the result: whatever is missing is done again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._errors import Error, InputError
from ._store import is_address
from ._store_gateway import Source
from ._store_nodes import room_in
from .external import Job

__all__ = ["embed", "pair", "run"]

_log = logging.getLogger("himacl.ray")
# How often a task is tried again whose worker, or whose machine, was lost.
RETRIES = 10
# Tasks in flight for each that the cluster's processors can run at a time: a few wait where they will run, the rest here.
_IN_FLIGHT = 2
# Addresses of datasets that `himacl embed` reads by itself.
_READ_BY_EMBED = ("https", "http", "s3", "hf")


def run(
    work: str | os.PathLike[str],
    address: str | None = None,
    *,
    cpus_per_task: int = 1,
    gpus_per_task: float = 0,
    memory_per_task: int | None = None,
) -> dict[str, Any]:
    """Runs all that is left of a planned run (:class:`himacl.external.Job`) on a cluster; returns its outcome.

    ``address`` is Ray's, ``"auto"`` for a cluster of this machine; without it a connection that exists is used, or Ray is started here. Each task
    declares ``cpus_per_task`` processors, as many threads, and the memory of the plan; with ``gpus_per_task``, blocks are paired on GPUs.
    """
    ray = _ray()
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=True, logging_level=logging.WARNING)
    job = Job(work)
    job.remove_unfinished()
    # Ray shows a task the devices that are its own.
    device = "cuda:0" if gpus_per_task > 0 else "cpu"
    memory = job.memory if memory_per_task is None else memory_per_task
    warn_of_memory(ray, memory)

    @ray.remote(  # type: ignore[untyped-decorator,unused-ignore]
        num_cpus=cpus_per_task, num_gpus=gpus_per_task, memory=memory, max_retries=RETRIES, retry_exceptions=False
    )
    def task_of(folder: str, step: str, task: int) -> int:
        logging.getLogger("himacl.ray").info("%s task %d on %s", step, task, os.uname().nodename)
        Job(folder, device=device).run(step, task, cpus_per_task)
        return task

    def submit(step: str, task: int, name: str) -> Any:
        return task_of.options(name=name).remote(str(job.work), step, task)

    drive(ray, job, submit, job.complete, cpus_per_task)
    return job.outcome()


def _refuse_store_options(storage_options: dict[str, Any] | None, scratch_dir: str | os.PathLike[str] | None) -> None:
    if storage_options is not None or scratch_dir is not None:
        raise InputError("storage_options and scratch_dir go with addresses such as `s3://bucket/x` alone")


def warn_of_memory(ray: Any, memory: int) -> None:
    """Says that tasks will wait, where no machine has the memory of one."""
    largest = max((node["Resources"].get("memory", 0) for node in ray.nodes() if node["Alive"]), default=0)
    if memory > largest:
        _log.warning(
            "a task needs %.2f GiB, no machine has more than %.2f: waiting for one that has", memory / 2**30, largest / 2**30
        )


def drive(
    ray: Any,
    job: Job,
    submit: Callable[[str, int, str], Any],
    complete: Callable[[str, float], dict[str, Any]],
    cpus_per_task: int,
) -> None:
    """Hands the tasks of a job to Ray, step by step: ``submit`` returns Ray's reference, ``complete`` marks a step."""
    while step := job.next_step():
        started = time.monotonic()
        waiting = deque(job.open_tasks(step))
        total = job.tasks(step)
        flying: dict[Any, int] = {}
        try:
            while waiting or flying:
                room = _IN_FLIGHT * max(1, int(ray.cluster_resources().get("CPU", 1)) // cpus_per_task)
                while waiting and len(flying) < room:
                    task = waiting.popleft()
                    flying[submit(step, task, f"{step}-{task:06d}")] = task
                done, _ = ray.wait(list(flying), num_returns=1)
                for reference in done:
                    task = flying.pop(reference)
                    try:
                        ray.get(reference)
                    except ray.exceptions.RayTaskError as error:
                        raise error.as_instanceof_cause() from None
                _log.info("%s: %d of %d tasks done", step, total - len(waiting) - len(flying), total)
        finally:
            # Only after an error: the others' results are of no use now.
            for reference in flying:
                ray.cancel(reference, force=True)
        report = complete(step, time.monotonic() - started)
        cost = report["mean_cost"]
        _log.info("%s: %.1f s%s", step, report["seconds"], "" if cost is None else f", mean cost {cost:.6f}")


def pair(
    x: str | os.PathLike[str],
    y: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    address: str = "auto",
    max_memory: float | None = None,
    work_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    force: bool = False,
    storage_options: dict[str, Any] | None = None,
    scratch_dir: str | os.PathLike[str] | None = None,
    **options: str | float | bool,
) -> dict[str, Any]:
    """Pairs two sets on the Ray cluster at ``address``, from files to files; returns ``summary.json``.

    ``max_memory`` is that of one task, in GiB. Further options are those of ``himacl pair`` with underscores: ``cost="cosine"``,
    ``quality="fast"``, ``block_rows=100_000``, ``normalize=True``. The same as ``himacl pair --ray ADDRESS``.

    Inputs, output and ``work_dir`` may be addresses, ``s3://bucket/x``, ``gs://...``, of any protocol that fsspec has a package for; the machines
    need see no common folder then. ``storage_options`` are handed to fsspec; without them its usual files and variables tell credentials, on
    every machine. Each task has ``threads=1`` processors, and a folder of its own in ``scratch_dir`` (the machine's folder for temporary
    files without it). See docs/out-of-core.md.
    """
    ray = _ray()
    if any(is_address(place) for place in (x, y, output, work_dir)):
        from . import _store_pair

        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=True, logging_level=logging.WARNING)
        scratch = None if scratch_dir is None else os.path.abspath(scratch_dir)
        return _store_pair.pair(
            ray,
            x,
            y,
            output,
            max_memory=max_memory,
            work_dir=work_dir,
            resume=resume,
            force=force,
            storage_options=storage_options,
            scratch_dir=scratch,
            options=options,
        )
    _refuse_store_options(storage_options, scratch_dir)
    command = [sys.executable, "-m", "himacl", "pair", "--x", os.fspath(x), "--y", os.fspath(y), "-o", os.fspath(output)]
    command += ["--ray", address, "--progress", "none"]
    given: dict[str, Any] = {"max_memory": max_memory, "work_dir": work_dir, "resume": resume, "force": force, **options}
    command += _flags(given)
    run_command(command)
    return _summary(output)


def embed(
    input: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    encoder: str | None = None,
    address: str | None = None,
    cpus_per_task: int = 1,
    gpus_per_task: float = 0,
    memory_per_task: int = 2 << 30,
    resume: bool = False,
    force: bool = False,
    storage_options: dict[str, Any] | None = None,
    scratch_dir: str | os.PathLike[str] | None = None,
    **options: str | float | bool,
) -> dict[str, Any]:
    """Embeds a dataset on a Ray cluster, one task a shard; returns ``summary.json``.

    The files are those of ``himacl embed``, byte for byte, except for the summary. Further options are that command's with underscores:
    ``local="models/minilm"``, ``shard_size=50_000``, ``modality="text"``. Each task loads the encoder, so shards should not be too small.

    ``output`` may be an address, as in :func:`pair`. ``input`` is what ``himacl embed`` reads: paths, ``https://``, ``s3://`` (with the keys in
    the environment), ``hf://``; or a file or pattern at an address of another protocol that fsspec has a package for
    (``gs://bucket/data/*.tar``), with ``storage_options`` as for the output. Of its files two lie on a task's disk at a time, in
    ``scratch_dir``.
    """
    ray = _ray()
    given = {"encoder": encoder, **options}
    flags = [*_flags(given), "--threads", str(cpus_per_task), "--progress", "none"]
    scratch = None if scratch_dir is None else os.path.abspath(scratch_dir)
    command = EmbedCommand.of(os.fspath(input), flags, storage_options, scratch)
    if not ray.is_initialized():
        ray.init(address=address, logging_level=logging.WARNING)
    if is_address(output):
        from . import _store_embed

        return _store_embed.embed(
            ray,
            command,
            output,
            settings={"input": os.fspath(input), **{name: str(value) for name, value in given.items()}},
            cpus_per_task=cpus_per_task,
            gpus_per_task=gpus_per_task,
            memory_per_task=memory_per_task,
            resume=resume,
            force=force,
            storage_options=storage_options,
            scratch_dir=scratch,
        )
    if command.source is None:
        _refuse_store_options(storage_options, scratch_dir)
    folder = Path(output).absolute()
    if not (resume and (folder / ".himacl.toml").is_file()):
        command.run("-o", str(folder), "--shards", "0..0", *(["--force"] if force else []))

    @ray.remote(  # type: ignore[untyped-decorator,unused-ignore]
        num_cpus=cpus_per_task, num_gpus=gpus_per_task, memory=memory_per_task, max_retries=RETRIES
    )
    def shard_of(number: int) -> bool:
        return _shard(command, folder, number)

    each_shard(ray, lambda number, name: shard_of.options(name=name).remote(number), cpus_per_task)
    # What is there is looked at, and whatever is missing is made here.
    command.run("-o", str(folder), "--resume")
    return _summary(folder)


@dataclass(frozen=True)
class EmbedCommand:
    """``himacl embed`` with all but the output."""

    command: list[str]
    source: Source | None
    scratch: str | None

    @classmethod
    def of(cls, input: str, flags: list[str], options: dict[str, Any] | None, scratch: str | None) -> EmbedCommand:
        """The command that reads an input, by itself or by way of fsspec."""
        protocol, _, path = input.partition("://") if is_address(input) else ("", "", input)
        source = None
        if protocol in ("file", "local"):
            input = path
        elif protocol and protocol not in _READ_BY_EMBED:
            source = Source.of(input, options)
            input = source.input
        return cls([sys.executable, "-m", "himacl", "embed", "--input", input, *flags], source, scratch)

    def run(self, *more: str) -> None:
        """Runs it."""
        if self.source is None:
            run_command([*self.command, *more])
            return
        with room_in(self.scratch) as room, self.source.served(room) as variables:
            run_command([*self.command, *more], variables)


def each_shard(ray: Any, submit: Callable[[int, str], Any], cpus_per_task: int) -> None:
    """Hands shards to Ray by ``submit`` until one is not there."""
    number, ended = 0, False
    flying: set[Any] = set()
    while flying or not ended:
        room = _IN_FLIGHT * max(1, int(ray.cluster_resources().get("CPU", 1)) // cpus_per_task)
        while not ended and len(flying) < room:
            flying.add(submit(number, f"shard-{number}"))
            number += 1
        done, _ = ray.wait(list(flying), num_returns=1)
        for reference in done:
            flying.discard(reference)
            try:
                ended = not ray.get(reference) or ended
            except ray.exceptions.RayTaskError as error:
                raise error.as_instanceof_cause() from None


def _shard(command: EmbedCommand, folder: Path, number: int) -> bool:
    """Makes one shard, unless it is there; whether the dataset has it."""
    mark = Path("stats") / f"{number}.json"
    if (folder / mark).is_file():
        return True
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-shard-{number}-") as room:
        apart = Path(room) / "out"
        made = made_apart(command, apart, number)
        for name in made:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.move(apart / name, folder / name)
        return mark in made


def made_apart(command: EmbedCommand, apart: Path, number: int) -> list[Path]:
    """Makes one shard in a folder apart; the names of its files, the done mark last."""
    command.run("-o", str(apart), "--shards", f"{number}..{number + 1}")
    mark = Path("stats") / f"{number}.json"
    made = [path.relative_to(apart) for path in apart.glob("*/*") if path.is_file()]
    return sorted(made, key=lambda name: (name == mark, name))


def _flags(options: dict[str, Any]) -> list[str]:
    """Options as the command line has them."""
    flags: list[str] = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            flags.append(flag)
        elif value is not None and value is not False:
            flags += [flag, os.fspath(value) if isinstance(value, os.PathLike) else str(value)]
    return flags


def run_command(command: list[str], variables: dict[str, str] | None = None) -> None:
    """Runs a command line of this package, with some more variables in its environment."""
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    said = done.stderr.strip()
    if done.returncode == 2:
        raise InputError(said.removeprefix("error: "))
    if done.returncode != 0:
        raise Error(f"the run did not come to its end: go on with resume=True\n{said}")


def _summary(output: str | os.PathLike[str]) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((Path(output) / "summary.json").read_text())
    return summary


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise InputError("Ray is not installed\nhint: pip install 'himacl[ray]'") from None
    return ray


def _end_with(parent: int) -> None:
    """Ends this driver when the command that started it, and holds the folders' lock, is gone: its tasks end too."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _pair_as_asked(given: dict[str, Any]) -> int:
    """What ``himacl pair --ray`` hands over where addresses are among its places; the exit status."""
    answer: dict[str, Any]
    # Ray prints what workers say.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            answer = {"summary": pair(**given)}
        except Error as error:
            answer = {"error": str(error)}
        except KeyboardInterrupt:
            return 1
    print(json.dumps(answer))
    return int("error" in answer)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m himacl.ray", description="Runs what is left of a planned run.")
    parser.add_argument("work", nargs="?", help="folder of temporary files")
    parser.add_argument("--pair", metavar="JSON", help="the arguments of himacl.ray.pair instead; the last line of the output is what came of it")
    parser.add_argument("--address", help="Ray's address")
    parser.add_argument("--cpus-per-task", type=int, default=1)
    parser.add_argument("--gpus-per-task", type=float, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    if arguments.pair is not None:
        sys.exit(_pair_as_asked(json.loads(arguments.pair)))
    if arguments.work is None:
        parser.error("a folder of temporary files is missing")
    try:
        run(
            arguments.work,
            arguments.address,
            cpus_per_task=arguments.cpus_per_task,
            gpus_per_task=arguments.gpus_per_task,
        )
    except Error as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(1)


if __name__ == "__main__":
    _main()
