"""Places in an object store, by fsspec: what is there, whole objects in and out, ranges into local files.

An upload is there whole or not at all, as object stores have it; on a local file system it is renamed into its place.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._errors import Error, FileError, InputError

# Bytes of one request, and of all that are under way together.
_PIECE = 16 << 20
_TOGETHER = 64 << 20
# Objects that are asked for, or removed, together.
_MANY = 1000
# How the name of a file begins that is not renamed into its place yet.
UNFINISHED = ".himacl-part-"
# What tells the content of an object from an earlier one, by the names that stores have for it.
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5", "crc32c", "LastModified", "last_modified", "updated", "mtime")


class StoreError(FileError):
    """A store refused, or could not be reached. A task that meets it is tried again."""


def is_address(path: str | os.PathLike[str] | None) -> bool:
    """Whether a path is an address, ``PROTOCOL://...``."""
    return path is not None and "://" in os.fspath(path)


@dataclass(frozen=True)
class Entry:
    """An object: its bytes, and what tells it from an earlier one of the name."""

    size: int
    version: str


def _entry(info: dict[str, Any]) -> Entry:
    versions = (info.get(name) for name in _VERSIONS)
    return Entry(int(info["size"]), str(next((version for version in versions if version is not None), "")))


@dataclass(frozen=True)
class Place:
    """A prefix of a store, without a slash at its end; it goes to other machines with the settings of its file system."""

    fs: Any
    root: str

    def __truediv__(self, name: str) -> Place:
        return Place(self.fs, self.path(name))

    def __str__(self) -> str:
        return str(self.fs.unstrip_protocol(self.root))

    def path(self, name: str) -> str:
        """The store's own name of an object."""
        return f"{self.root.rstrip('/')}/{name}" if self.root else name

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.root.rpartition("/")[2]

    @property
    def parent(self) -> Place:
        """What the last part is in."""
        before, slash, _ = self.root.rpartition("/")
        return Place(self.fs, before or slash)

    @property
    def is_local(self) -> bool:
        """Whether it is on a file system of this machine."""
        return bool(getattr(self.fs, "local_file", False))

    def entries(self) -> dict[str, Entry]:
        """All objects below, by their names from here on."""
        start = len(self.root.rstrip("/")) + 1 if self.root else 0
        with self._told("list"):
            self.fs.invalidate_cache()
            try:
                found = self.fs.find(self.root, detail=True)
            except FileNotFoundError:
                return {}
            # Some tools make objects in the place of folders.
            names = {path[start:]: info for path, info in found.items() if not path.endswith("/")}
            return {name: _entry(info) for name, info in sorted(names.items()) if name}

    def entry(self) -> Entry | None:
        """The object that this is itself; ``None`` if it is a prefix."""
        with self._told("read"):
            self.fs.invalidate_cache()
            info = self.fs.info(self.root)
            return _entry(info) if info.get("type") == "file" else None

    def has(self, name: str) -> bool:
        """Whether there is such an object."""
        with self._told("read", name):
            self.fs.invalidate_cache()
            return bool(self.fs.exists(self.path(name)))

    def read(self, name: str) -> bytes:
        """All of an object."""
        with self._told("read", name):
            return bytes(self.fs.cat_file(self.path(name)))

    def ranges(self, wanted: list[tuple[str, int, int]]) -> list[bytes]:
        """Bytes of objects, each from a start to an end that they have."""
        if any(start == end for _, start, end in wanted):
            # Stores refuse to read nothing.
            rest = iter(self.ranges([(name, start, end) for name, start, end in wanted if start < end]))
            return [b"" if start == end else next(rest) for _, start, end in wanted]
        found: list[bytes] = []
        for first in range(0, len(wanted), _MANY):
            names, starts, ends = map(list, zip(*wanted[first : first + _MANY], strict=True))
            with self._told("read", names[0]):
                parts = self.fs.cat_ranges([self.path(name) for name in names], starts, ends, on_error="return")
            for name, start, end, part in zip(names, starts, ends, parts, strict=True):
                with self._told("read", name):
                    if isinstance(part, BaseException):
                        raise part
                    if len(part) != end - start:
                        raise OSError(f"got {len(part)} bytes from {start} on, expected {end - start}")
                found.append(part)
        return found

    def fetch(self, wanted: Iterable[tuple[str, Path, Iterable[tuple[int, int]]]]) -> None:
        """Brings ranges of objects into local files, which are there, at the same positions."""
        batch: list[tuple[str, Path, int, int]] = []

        def flush() -> None:
            parts = self.ranges([(name, start, end) for name, _, start, end in batch])
            for (_, target, start, _), part in zip(batch, parts, strict=True):
                with open(target, "r+b") as file:
                    file.seek(start)
                    file.write(part)
            batch.clear()

        size = 0
        for name, target, ranges in wanted:
            for start, end in ranges:
                for at in range(start, end, _PIECE):
                    batch.append((name, target, at, min(at + _PIECE, end)))
                    size += batch[-1][3] - at
                    if size >= _TOGETHER or len(batch) >= _MANY:
                        flush()
                        size = 0
        flush()

    def write(self, name: str, content: bytes) -> None:
        """Makes a small object."""
        with self._told("write", name), self._whole(self.path(name)) as path:
            self.fs.pipe_file(path, content)

    def upload(self, name: str, source: Path) -> None:
        """Makes an object of a local file."""
        with self._told("write", name), self._whole(self.path(name)) as path:
            self.fs.put_file(str(source), path)

    def remove(self, names: Iterable[str]) -> None:
        """Removes objects, and folders that are empty then."""
        paths = [self.path(name) for name in names]
        with self._told("remove"):
            for first in range(0, len(paths), _MANY):
                some = paths[first : first + _MANY]
                try:
                    self.fs.rm(some)
                except FileNotFoundError:
                    for path in some:
                        with suppress(FileNotFoundError):
                            self.fs.rm_file(path)
            if self.is_local:
                folders = {parent for path in paths for parent in Path(path).parents if parent.is_relative_to(self.root)}
                for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
                    with suppress(OSError):
                        folder.rmdir()

    @contextmanager
    def _whole(self, path: str) -> Iterator[str]:
        """Where to write an object so that it appears whole."""
        if not self.is_local:
            yield path
            return
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        unfinished = os.path.join(folder, UNFINISHED + uuid.uuid4().hex)
        try:
            yield unfinished
            os.replace(unfinished, path)
        finally:
            with suppress(FileNotFoundError):
                os.remove(unfinished)

    @contextmanager
    def _told(self, action: str, name: str = "") -> Iterator[None]:
        """Errors by the address: every store has exceptions of its own."""
        try:
            yield
        except Error:
            raise
        except Exception as error:
            address = str(self / name if name else self)
            reason = str(error) or type(error).__name__
            hint = ""
            if isinstance(error, PermissionError) or "credential" in reason.lower():
                hint = "\nhint: give this machine the store's credentials (its usual files or variables), or pass storage_options"
            raise StoreError(f"cannot {action} `{address}`: {reason}{hint}") from error


def place_of(address: str | os.PathLike[str], options: dict[str, Any] | None) -> Place:
    """The place at an address; a plain path is one of this machine's file system."""
    text = os.fspath(address)
    if not is_address(text):
        text = "file://" + os.path.abspath(text)
    try:
        import fsspec
    except ImportError:
        raise InputError(f"fsspec is not installed, `{text}` needs it\nhint: pip install 'himacl[object-store]'") from None
    protocol = text.partition("://")[0]
    if protocol == "memory":
        raise InputError(f"`{text}` is the memory of one process, expected a store that all machines reach")
    try:
        if protocol in ("file", "local"):
            return Place(*fsspec.core.url_to_fs(text, auto_mkdir=True))
        fs, root = fsspec.core.url_to_fs(text, **(options or {}))
    except (ImportError, ValueError, TypeError) as error:
        raise InputError(f"`{text}` cannot be opened: {error}") from error
    return Place(fs, root.rstrip("/"))
