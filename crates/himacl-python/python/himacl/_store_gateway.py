"""Objects of any store by the protocol of S3, for `himacl embed` on this machine: it reads datasets by that protocol as they come, whole
files one after the other or ranges of parquet files, so that no more than two of them lie on the disk at a time.

The gateway answers on the loopback interface alone, below a path that nobody can guess, while the command runs.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from ._errors import InputError
from ._store import Entry, Place, StoreError, place_of

# Bytes that are read of an object at a time.
_PIECE = 8 << 20
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_WILDCARD = re.compile(r"[*?\[]")
_PATTERN = re.compile(r"[*?\[{]")


@dataclass(frozen=True)
class Source:
    """A dataset in a store: what `himacl embed` is told to read, and the store's root."""

    input: str
    scheme: str
    store: Place

    @classmethod
    def of(cls, address: str, options: dict[str, Any] | None) -> Source:
        """The dataset at an address, or at a pattern of addresses."""
        place = place_of(address, options)
        inside = place.root.lstrip("/")
        if "/" not in inside:
            raise InputError(f"`{address}` names no files, expected a file or a pattern such as {address.rstrip('/')}/*.tar")
        store = Place(place.fs, place.root[: len(place.root) - len(inside)])
        scheme = address.partition("://")[0]
        source = cls(f"{scheme}://{inside}", scheme, store)
        # The store's own errors say more than those by way of the gateway.
        fixed = _PATTERN.split(inside)[0]
        if fixed == inside and (store / inside).entry() is None:
            raise InputError(f"`{address}` is a folder, expected a file or a pattern such as {address}/*.tar")
        if _WILDCARD.search(inside) and not (store / fixed.rpartition("/")[0]).entries():
            raise InputError(f"`{address}` names no files")
        return source

    @contextmanager
    def served(self, scratch: Path) -> Iterator[dict[str, str]]:
        """Serves the store; the variables of a command that reads it, with its temporary files in ``scratch``."""
        secret = secrets.token_urlsafe(32)
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"store": self.store, "secret": secret}))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        direct = ",".join(filter(None, [os.environ.get("NO_PROXY", os.environ.get("no_proxy")), "127.0.0.1"]))
        try:
            yield {
                "HIMACL_STORE_SCHEME": self.scheme,
                "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server.server_port}/{secret}",
                "AWS_SKIP_SIGNATURE": "true",
                "NO_PROXY": direct,
                "no_proxy": direct,
                "TMPDIR": str(scratch),
            }
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """``GET`` and ``HEAD`` of ``/SECRET/BUCKET/KEY``, and lists of a bucket."""

    protocol_version = "HTTP/1.1"
    store: Place
    secret: str

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""

    def _answer(self) -> None:
        address = urlsplit(self.path)
        secret, _, path = address.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(secret.encode(), self.secret.encode()):
            self._refuse(404, "NoSuchBucket", "")
            return
        name, query = unquote(path), parse_qs(address.query)
        try:
            self._list(name.partition("/")[0], query.get("prefix", [""])[0]) if "list-type" in query else self._object(name)
        except (BrokenPipeError, ConnectionResetError):
            # Nobody wants the rest.
            self.close_connection = True
        except StoreError as error:
            is_missing = isinstance(error.__cause__, FileNotFoundError)
            self._refuse(*((404, "NoSuchKey") if is_missing else (503, "SlowDown")), str(error))

    def _refuse(self, status: int, code: str, message: str) -> None:
        content = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>".encode()
        self._head(status, len(content), {"Content-Type": "application/xml"})
        self._body(content)

    def _list(self, bucket: str, prefix: str) -> None:
        folder = f"{bucket}/{prefix}".rpartition("/")[0]
        start = len(bucket) + 1
        found = {f"{folder}/{name}"[start:]: entry for name, entry in (self.store / folder).entries().items()}
        objects = "".join(
            f"<Contents><Key>{escape(key)}</Key><ETag>{_tag(entry)}</ETag><Size>{entry.size}</Size></Contents>"
            for key, entry in found.items()
            if key.startswith(prefix)
        )
        content = f"<ListBucketResult><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>".encode()
        self._head(200, len(content), {"Content-Type": "application/xml"})
        self._body(content)

    def _object(self, name: str) -> None:
        entry = (self.store / name).entry()
        if entry is None:
            self._refuse(404, "NoSuchKey", "")
            return
        start, end, status, more = 0, entry.size, 200, {"ETag": f'"{_tag(entry)}"', "Accept-Ranges": "bytes"}
        if asked := _RANGE.fullmatch(self.headers.get("Range", "")):
            start, end = int(asked[1]), min(entry.size, int(asked[2]) + 1 if asked[2] else entry.size)
            if start >= end:
                self._head(416, 0, {"Content-Range": f"bytes */{entry.size}"})
                return
            status, more = 206, {**more, "Content-Range": f"bytes {start}-{end - 1}/{entry.size}"}
        pieces = [(name, at, min(at + _PIECE, end)) for at in range(start, end, _PIECE)] if self.command == "GET" else []
        # What cannot be read at all is refused, before it is said that it comes.
        first = self.store.ranges(pieces[:1])
        self._head(status, end - start, more)
        for content in first:
            self._body(content)
        try:
            for piece in pieces[1:]:
                self._body(*self.store.ranges([piece]))
        except StoreError:
            # The reader goes on from here by a range.
            self.close_connection = True

    def _head(self, status: int, length: int, more: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **more}.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, content: bytes) -> None:
        if self.command == "GET":
            self.wfile.write(content)


def _tag(entry: Entry) -> str:
    """A version as a header has it."""
    return hashlib.sha256(f"{entry.size} {entry.version}".encode()).hexdigest()
