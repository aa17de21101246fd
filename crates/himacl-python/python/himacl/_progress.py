"""What the compiled module tells while it works, as a bar or for the caller."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ._errors import InputError

#: ``None``: a bar where somebody may be looking; ``False``: nothing; or a function that gets each event.
Progress = Callable[[dict[str, Any]], Any] | bool | None

log = logging.getLogger("himacl")

#: Seconds after which a call shows a bar.
_PATIENCE = 2.0


def listener(progress: Progress) -> Callable[[str], None] | None:
    """What the compiled module calls with each event, as JSON."""
    if progress is not None and not isinstance(progress, (bool, np.bool_)) and not callable(progress):
        raise InputError(f"progress is {progress!r}, expected None, True, False or a function")
    if progress is not None and not callable(progress) and not progress:
        return None
    if callable(progress):
        return lambda event: _hand_over(progress, json.loads(event))
    if progress is None and not _somebody_looks():
        return _Log()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _Log()
    return _Bars(tqdm)


def _hand_over(function: Callable[[dict[str, Any]], Any], event: dict[str, Any]) -> None:
    function(event)


def _somebody_looks() -> bool:
    if "ipykernel" in sys.modules:
        return True
    return sys.stderr is not None and sys.stderr.isatty()


class _Log:
    """Notes and warnings to the log; nothing else."""

    def __call__(self, text: str) -> None:
        event = json.loads(text)
        if event["event"] == "warning":
            log.warning(event["message"])
        elif event["event"] == "note":
            log.info(event["message"])


class _Bars(_Log):
    """A tqdm bar for each phase, once a call has taken a while."""

    def __init__(self, tqdm: Any) -> None:
        self.tqdm = tqdm
        self.began = time.monotonic()
        self.bar: Any = None
        self.phase: str | None = None
        self.total = 0
        self.done = 0
        self.cost: float | None = None

    def __call__(self, text: str) -> None:
        super().__call__(text)
        event = json.loads(text)
        kind = event["event"]
        if kind == "started":
            self._begin(event["phase"], event["total"])
        elif kind == "advanced" and event["phase"] == self.phase:
            self._move(self.done + event["work"])
        elif kind in ("progress", "step"):
            phase, done = event.get("phase", "train"), event.get("done", event.get("step", 0))
            if phase != self.phase:
                self._begin(phase, event["total"])
            self._move(done)
        elif kind == "finished" and event["phase"] == self.phase:
            self._end()
        elif kind in ("sweep", "round"):
            self.cost = event["report"]["mean_cost"]

    def _begin(self, phase: str, total: int) -> None:
        self._end()
        self.phase, self.total, self.done = phase, total, 0

    def _move(self, done: int) -> None:
        if self.bar is None:
            if time.monotonic() - self.began < _PATIENCE:
                self.done = done
                return
            self.bar = self.tqdm(total=self.total or None, initial=self.done, desc=self.phase, unit_scale=True, leave=False)
        self.bar.update(done - self.done)
        if self.cost is not None:
            self.bar.set_postfix(cost=f"{self.cost:.6g}", refresh=False)
        self.done = done

    def _end(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.bar, self.phase = None, None
