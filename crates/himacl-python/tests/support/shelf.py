"""A small object store for tests, ``shelf://BUCKET/KEY``, as fsspec has it: objects are files below ``root``, which appear whole, and each call is
written down, with its process and that one's folder for temporary files.

Importable on workers through PYTHONPATH; ``root`` is a storage option, which must reach them. While there is a file ``busy`` in ``root``, the next
reader removes it and fails; while there is a file ``held``, whoever puts an object whose key ends with its text waits.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import fsspec


class Shelf(fsspec.AbstractFileSystem):  # type: ignore[misc,unused-ignore]
    """The store."""

    protocol = "shelf"
    cachable = False

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(root=root, **options)
        self.root = Path(root)

    def _call(self, kind: str, path: str, size: int = 0) -> Path:
        with open(self.root / "calls", "a") as calls:
            calls.write(f"{kind} {path} {size} {os.getpid()} {tempfile.gettempdir()}\n")
        return self.root / "objects" / path

    def _info(self, path: Path) -> dict[str, Any]:
        status = path.stat()
        name = str(path.relative_to(self.root / "objects"))
        kind = "directory" if path.is_dir() else "file"
        return {"name": name, "size": status.st_size, "type": kind, "etag": str(status.st_mtime_ns)}

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return self._info(self._call("info", self._strip_protocol(path)))

    def find(self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **_: Any) -> Any:
        folder = self._call("find", self._strip_protocol(path))
        found = {}
        for file in folder.rglob("*"):
            if file.is_file() and not file.name.startswith(".new-"):
                entry = self._info(file)
                found[entry["name"]] = entry
        return found if detail else sorted(found)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        busy = self.root / "busy"
        if busy.exists():
            busy.unlink(missing_ok=True)
            raise OSError("the store is busy")
        content = self._call("get", path, (end or 0) - (start or 0)).read_bytes()
        return content[start:end]

    def _put(self, path: str, content: bytes) -> None:
        target = self._call("put", path, len(content))
        held = self.root / "held"
        while held.exists() and path.endswith(held.read_text()):
            time.sleep(0.01)
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(".new-" + uuid.uuid4().hex)
        new.write_bytes(content)
        new.replace(target)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        self._put(path, value)

    def put_file(self, lpath: str, rpath: str, callback: Any = None, mode: str = "overwrite", **_: Any) -> None:
        self._put(rpath, Path(lpath).read_bytes())

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        for name in [path] if isinstance(path, str) else path:
            self.rm_file(name)

    def rm_file(self, path: str) -> None:
        self._call("remove", path).unlink()


fsspec.register_implementation("shelf", Shelf, clobber=True)
