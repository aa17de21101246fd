"""Output prefixes in an object store: whose they are, and when they may be written into.

The first object is the mark, ``.himacl.json``: which command, which version, its settings, its inputs. Without it nothing is touched. With it
``resume`` goes on with the same settings and inputs, and ``force`` removes the objects that such a run makes, and no others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ._errors import FileError, InputError
from ._himacl import __version__
from ._store import UNFINISHED, Place

MARK = ".himacl.json"
SUMMARY = "summary.json"


@dataclass
class Output:
    """A prefix with the names in it, and its mark if it has one."""

    place: Place
    names: list[str]
    mark: dict[str, Any] | None

    @classmethod
    def open(cls, place: Place, command: str, *, resume: bool, force: bool) -> Output:
        """Looks at a prefix; refuses one that is not this command's, or that holds a result which nothing was said about."""
        if resume and force:
            raise InputError("resume and force do not go together")
        names = list(place.entries())
        if MARK not in names:
            if theirs := [name for name in names if not _is_unfinished(name)]:
                listed = ", ".join(f"`{name}`" for name in theirs[:3]) + (" and others" if len(theirs) > 3 else "")
                raise FileError(f"`{place}` holds objects that are not of such a run: {listed}\nhint: choose a prefix without objects")
            return cls(place, names, None)
        try:
            mark = json.loads(place.read(MARK))
            other = mark["command"]
        except (ValueError, TypeError, KeyError):
            raise FileError(f"`{place / MARK}` is damaged\nhint: choose another prefix") from None
        if other != command:
            raise InputError(f"`{place}` is a result of `{other}`, expected one of `{command}`\nhint: choose another prefix")
        if not resume and not force:
            raise InputError(f"`{place}` exists\nhint: resume=True goes on with it, force=True replaces it")
        return cls(place, names, mark)

    @property
    def is_finished(self) -> bool:
        """Whether a run came to its end here."""
        return SUMMARY in self.names

    def check_same(self, mark: dict[str, Any], free: frozenset[str]) -> None:
        """Refuses to go on where something else was asked for; settings in ``free`` may differ."""
        old = _flat(self.mark or {})
        new = _flat(mark)
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name) and name.rpartition(".")[2] not in free:
                was, now = (json.dumps(values.get(name)) for values in (old, new))
                raise InputError(f"`{self.place}` was begun with {name} = {was}, now it is {now}\nhint: force=True starts over")

    def clear(self, is_own: Any) -> None:
        """Removes what such a run makes; what tells of a result goes first, the mark last."""
        own = [name for name in self.names if is_own(name) or _is_unfinished(name)]
        self.place.remove(name for name in own if name == SUMMARY)
        self.place.remove(name for name in own if name not in (SUMMARY, MARK))
        self.place.remove(name for name in self.names if name == MARK)
        self.names = []

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Makes an object of JSON."""
        self.place.write(name, (json.dumps(value, indent=2) + "\n").encode())


def mark_of(command: str, settings: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """What a run is known by."""
    return {"command": command, "version": __version__, "settings": settings, "inputs": inputs}


def _is_unfinished(name: str) -> bool:
    return name.rpartition("/")[2].startswith(UNFINISHED)


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Values of nested tables by their dotted names."""
    if not isinstance(value, dict):
        return {name: value}
    parts = (_flat(inner, f"{name}.{key}" if name else key) for key, inner in value.items())
    return {key: inner for part in parts for key, inner in part.items()}
