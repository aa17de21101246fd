"""A planned run whose files lie in an object store: the driver's side, and a task's on a machine that sees nothing but the store.

Both work in a room, a folder on the machine's own disk that mirrors the names in the store: ``work/`` (temporary files), ``out/`` (results),
``x/`` and ``y/``. Files in it have their whole length, but only the bytes that are needed; the rest are holes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from ._errors import FileError, InputError
from ._himacl import ExternalJob
from ._store import Entry, Place
from ._store_nodes import no_scratch, room_in
from .external import Job

# Files that embeddings are read from; others beside them are not looked at.
_FORMATS = (".npy", ".npz", ".safetensors", ".parquet", ".parq")
# Bytes that are read to find out how long a header is; most are shorter.
_HEAD = 4096
_FOOTER = 1 << 16
_HEAD_OF_RESULT = 1 << 14
# Files of a run in its folder of temporary files: plan and marks, and results of tasks.
_STEP = r"(scan|sample|score|balance|route|solve|collect|parts|check|prices|gap|summary|(cut|sweep)-\d+)"
_NOTE = re.compile(rf"(plan|{_STEP})\.json")
_RESULT = re.compile(rf"{_STEP}/\d+\.bin")

_Pieces = list[tuple[int, bytes]]


def is_work_file(name: str) -> bool:
    """Whether a run makes a file of this name in its folder of temporary files."""
    return bool(_NOTE.fullmatch(name) or _RESULT.fullmatch(name))


def make(path: Path, size: int, pieces: _Pieces) -> None:
    """A file of some length with some bytes; the rest is a hole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.truncate(size)
        for at, piece in pieces:
            file.seek(at)
            file.write(piece)


@dataclass(frozen=True)
class Heads:
    """One side: its files with their lengths and what opening them reads, by their names beside the address."""

    name: str
    entries: dict[str, Entry]
    pieces: dict[str, _Pieces]

    @classmethod
    def read(cls, place: Place) -> Heads:
        """Reads headers and footers of the file, or of the files below the prefix."""
        whole = place.entry()
        if whole:
            entries = {place.name: whole}
        else:
            found = {f"{place.name}/{name}": entry for name, entry in place.entries().items()}
            entries = {name: entry for name, entry in found.items() if name.lower().endswith(_FORMATS) and _is_near(name)}
        if not entries:
            raise InputError(f"`{place}` has no embeddings, expected .npy, .npz, .safetensors or .parquet files")
        pieces: dict[str, _Pieces] = {name: [] for name in entries}

        def bring(spans: list[tuple[str, int, int]]) -> None:
            for (name, start, _), part in zip(spans, place.parent.ranges(spans), strict=True):
                pieces[name].append((start, part))

        archives = {name: entry for name, entry in entries.items() if name.lower().endswith(".npz")}
        others = {name: entry for name, entry in entries.items() if name not in archives}
        bring([(name, *_opening(name, entry.size)) for name, entry in others.items()])
        rest = [(name, *_rest(name, entry.size, *pieces[name][0])) for name, entry in others.items()]
        bring([(name, start, end) for name, start, end in rest if start < end])
        bring([(name, *span) for name, entry in archives.items() for span in _archived(place.parent, name, entry.size)])
        return cls(place.name, entries, pieces)

    def lay_out(self, folder: Path) -> Path:
        """Makes the files in a folder; where they are."""
        for name, entry in self.entries.items():
            make(folder / name, entry.size, self.pieces[name])
        return folder / self.name


def _is_near(name: str) -> bool:
    """Whether an object is in the prefix itself or one below: deeper ones are not looked at."""
    parts = name.split("/")
    return len(parts) <= 3 and not {"", ".", ".."}.intersection(parts)


def _opening(name: str, size: int) -> tuple[int, int]:
    """Where a header begins, or a footer ends."""
    if name.lower().endswith((".parquet", ".parq")):
        return max(0, size - _FOOTER), size
    return 0, min(size, _HEAD)


def _rest(name: str, size: int, start: int, piece: bytes) -> tuple[int, int]:
    """The part of a header or footer that was not read with this piece from ``start`` on."""
    lower = name.lower()
    if lower.endswith((".parquet", ".parq")):
        return max(0, size - 8 - int.from_bytes(piece[-8:-4], "little")), start
    if lower.endswith(".safetensors"):
        length = 8 + int.from_bytes(piece[:8], "little")
    else:
        length = 12 + int.from_bytes(piece[8:10] if piece[6:7] == b"\x01" else piece[8:12], "little")
    return len(piece), min(size, length)


@dataclass
class _Ranged:
    """An object as a file that is read by ranges."""

    place: Place
    name: str
    size: int
    at: int = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        at = offset + (0, self.at, self.size)[whence]
        if at < 0:
            raise OSError("before its beginning")
        self.at = at
        return at

    def tell(self) -> int:
        return self.at

    def read(self, count: int = -1) -> bytes:
        end = self.size if count < 0 else min(self.size, self.at + count)
        (content,) = self.place.ranges([(self.name, self.at, max(self.at, end))])
        self.at += len(content)
        return content


def _archived(place: Place, name: str, size: int) -> list[tuple[int, int]]:
    """The directory of an archive, and where its arrays begin."""
    try:
        archive = ZipFile(_Ranged(place, name, size))
    except BadZipFile as error:
        raise FileError(f"archive `{place / name}`: {error}") from error
    members = archive.infolist()
    if any(member.compress_type != ZIP_STORED for member in members):
        raise InputError(f"`{place / name}` is compressed: it can only be read as a whole\nhint: `unzip` makes .npy files of it")
    heads = [(member.header_offset, min(size, member.header_offset + _HEAD)) for member in members]
    return [*heads, (archive.start_dir, size)]


@dataclass(frozen=True)
class Run:
    """Where a run's files are, by the folder of the room that mirrors them, and the disk that tasks use; what tasks are sent."""

    places: dict[str, Place]
    scratch: str | None
    threads: int

    def open(self, room: Path, heads: dict[str, Heads]) -> Job:
        """The run in a room that has its notes."""
        sides = {side: heads[side].lay_out(room / side) for side in ("x", "y")}
        (room / "out").mkdir(exist_ok=True)
        return Job(room / "work", places=(sides["x"], sides["y"], room / "out"))

    def origin(self, room: Path, path: Path) -> tuple[Place, str]:
        """What a file in a room mirrors."""
        folder, *parts = path.relative_to(room).parts
        return self.places[folder], "/".join(parts)

    def bring_heads(self, room: Path, paths: Iterable[Path]) -> None:
        """Mirrors results of tasks by their headers."""
        work = self.places["work"]
        names = [str(path.relative_to(room / "work")) for path in paths]
        folders = {name.partition("/")[0] for name in names}
        sizes = {f"{folder}/{name}": entry.size for folder in folders for name, entry in (work / folder).entries().items()}
        for name in names:
            if name not in sizes:
                raise FileError(f"`{work / name}` is missing\nhint: remove what is there of this run and start over")
        first = work.ranges([(name, 0, min(_HEAD_OF_RESULT, sizes[name])) for name in names])
        rest = []
        for name, piece in zip(names, first, strict=True):
            make(room / "work" / name, sizes[name], [(0, piece)])
            length = min(sizes[name], 16 + int.from_bytes(piece[8:16], "little"))
            rest.append((name, room / "work" / name, [(len(piece), length)]))
        work.fetch(rest)


def run_task(run: Run, heads: dict[str, Heads], notes: dict[str, bytes], step: str, task: int) -> None:
    """Runs one task, unless its result is in the store."""
    with room_in(run.scratch) as room:
        for name, content in notes.items():
            make(room / "work" / name, len(content), [(0, content)])
        job = run.open(room, heads)
        results = job.writes(step, task)
        place, name = run.origin(room, results[-1])
        if place.has(name):
            return
        run.bring_heads(room, job.opens(step, task))
        reads = job.reads(step, task)
        needed = sum(end - start for _, ranges in reads for start, end in ranges)
        free = shutil.disk_usage(room).free
        if free < needed:
            raise no_scratch(os.uname().nodename, str(room.parent), free, needed)
        for folder in run.places:
            inside = [(path, ranges) for path, ranges in reads if path.is_relative_to(room / folder)]
            run.places[folder].fetch((run.origin(room, path)[1], path, ranges) for path, ranges in inside)
        job.run(step, task, run.threads)
        # The done mark comes last.
        for path in results:
            place, name = run.origin(room, path)
            place.upload(name, path)


@dataclass
class StoreJob:
    """The driver's side of a run: its job, and what is done in the store besides."""

    run: Run
    room: Path
    heads: dict[str, Heads]
    job: Job = field(init=False)
    _folders: set[str] = field(default_factory=set)

    def plan(self, settings: dict[str, Any]) -> None:
        """Plans the run, here alone."""
        work = self.room / "work"
        sides = {side: self.heads[side].lay_out(self.room / side) for side in ("x", "y")}
        here = {side: {"path": str(path), "key": settings[f"{side}_key"]} for side, path in sides.items()}
        others = {name: value for name, value in settings.items() if name not in ("x_key", "y_key")}
        ExternalJob.plan(json.dumps({**others, **here, "output": str(self.room / "out")}), work)
        plan = json.loads((work / "plan.json").read_text())
        addresses = {str(path): str(self.run.places[side] / self.heads[side].name) for side, path in sides.items()}
        for side in plan["inputs"]:
            side["path"] = addresses[side["path"]]
        plan["output"] = str(self.run.places["out"])
        (work / "plan.json").write_text(json.dumps(plan, indent=2) + "\n")
        self.open()

    def open(self) -> None:
        """Opens the job, once its plan is in the room."""
        self.job = self.run.open(self.room, self.heads)

    def pull(self) -> bool:
        """Mirrors what an earlier driver left in the store; whether there is a plan."""
        work = self.run.places["work"]
        entries = work.entries()
        if "plan.json" not in entries:
            return False
        for name, entry in entries.items():
            if _NOTE.fullmatch(name):
                content = work.read(name)
                make(self.room / "work" / name, len(content), [(0, content)])
            elif _RESULT.fullmatch(name):
                make(self.room / "work" / name, entry.size, [])
                self._folders.add(name.partition("/")[0])
        return True

    def notes(self) -> dict[str, bytes]:
        """Plan and marks."""
        return {path.name: path.read_bytes() for path in sorted((self.room / "work").glob("*.json"))}

    def remove_unfinished(self) -> None:
        """Removes files that no later step reads."""
        self.job.remove_unfinished()
        self._remove_vanished()

    def complete(self, step: str, seconds: float) -> dict[str, Any]:
        """Marks a step complete, in the store too, and removes files that no later step reads."""
        self.run.bring_heads(self.room, self.job.noted(step))
        for task in range(self.job.tasks(step)):
            result = self.job.writes(step, task)[-1]
            result.parent.mkdir(exist_ok=True)
            result.touch()
        report = self.job.complete(step, seconds)
        self._folders.add(step)
        mark = f"{step}.json"
        self.run.places["work"].write(mark, (self.room / "work" / mark).read_bytes())
        self._remove_vanished()
        return report

    def outcome(self) -> dict[str, Any]:
        """Mean cost, estimate of the gap and steps of a complete run."""
        self.run.bring_heads(self.room, self.job.writes("summary", 0))
        return self.job.outcome()

    def _remove_vanished(self) -> None:
        """Removes from the store the folders that are gone here."""
        work = self.run.places["work"]
        for folder in sorted(self._folders):
            if not (self.room / "work" / folder).is_dir():
                names = [f"{folder}/{name}" for name in (work / folder).entries()]
                work.remove(name for name in names if is_work_file(name))
                self._folders.remove(folder)
