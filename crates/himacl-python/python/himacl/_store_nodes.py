"""Machines of a cluster that share nothing but a store: rooms on their own disks, and what is asked of them before work."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ._errors import FileError
from ._store import Place

_log = logging.getLogger("himacl.ray")
_ROOM = "himacl-room-"


@contextmanager
def room_in(scratch: str | None) -> Iterator[Path]:
    """A folder of one's own in ``scratch`` (the system's folder for temporary files without it); those of owners that were killed are removed."""
    base = Path(scratch or tempfile.gettempdir())
    base.mkdir(parents=True, exist_ok=True)
    for lock in base.glob(_ROOM + "*.lock"):
        with suppress(OSError), open(lock, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink()
    while True:
        folder = base / (_ROOM + uuid.uuid4().hex)
        lock = folder.with_suffix(".lock")
        with open(lock, "w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Another may have taken it for a deserted one before it was locked.
            if os.fstat(file.fileno()).st_nlink == 0:
                continue
            try:
                folder.mkdir()
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink()
        return


def no_scratch(machine: str, folder: str, free: int, needed: int) -> FileError:
    """A disk that has too little room."""
    return FileError(
        f"no space for tasks in `{folder}` on {machine}: {free / 2**20:.1f} MiB are free, they need about {needed / 2**20:.1f} MiB\n"
        "hint: name a folder on another disk with scratch_dir"
    )


def check_nodes(ray: Any, out: Place, scratch: str | None, cpus_per_task: int, memory: int, task_bytes: int) -> None:
    """Asks each machine of the cluster whether it reaches the store, and has the disk that its tasks need."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    @ray.remote(num_cpus=0, max_retries=1)  # type: ignore[untyped-decorator,unused-ignore]
    def probe(out: Place, scratch: str | None) -> tuple[str, str, int]:
        return _probe(out, scratch)

    asked = {}
    for node in ray.nodes():
        resources = node["Resources"]
        at_a_time = min(int(resources.get("CPU", 0)) // cpus_per_task, int(resources.get("memory", 0)) // max(memory, 1))
        if node["Alive"] and at_a_time > 0:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[probe.options(scheduling_strategy=there).remote(out, scratch)] = at_a_time * task_bytes
    for reference, needed in asked.items():
        try:
            machine, folder, free = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from None
        except ray.exceptions.RayError as error:
            _log.warning("a machine does not answer: %s", error)
            continue
        if free < needed:
            raise no_scratch(machine, folder, free, needed)


def _probe(out: Place, scratch: str | None) -> tuple[str, str, int]:
    """This machine's name, its folder for tasks, and the bytes that are free there."""
    out.entries()
    with room_in(scratch) as room:
        return os.uname().nodename, str(room.parent), shutil.disk_usage(room).free
