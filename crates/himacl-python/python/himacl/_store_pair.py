"""``himacl.ray.pair`` with addresses of an object store: the checks before work, the run, the summary."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from pathlib import Path
from typing import Any

from ._errors import InputError
from ._himacl import __version__
from ._store import Place, StoreError, place_of
from ._store_output import MARK, SUMMARY, Output, mark_of
from ._store_nodes import check_nodes, room_in
from ._store_run import Heads, Run, StoreJob, is_work_file, run_task

_log = logging.getLogger("himacl.ray")
_WORK = "work"
# Results, beside mark and summary.
_RESULTS = re.compile(r"permutation\.npy|pairs/part-\d+\.parquet")
# Options of `himacl pair` that go with addresses, with what they are without being given.
_OPTIONS: dict[str, Any] = {
    "x_key": None,
    "y_key": None,
    "cost": "sqeuclidean",
    "quality": "balanced",
    "seed": 0,
    "center": False,
    "normalize": False,
    "certify": "sampled",
    "block_rows": None,
    "external_sweeps": None,
    "threads": 1,
}
# Settings that may differ when a run is gone on with: its plan stays.
_FREE = frozenset({"memory", "threads"})


def pair(
    ray: Any,
    x: str | os.PathLike[str],
    y: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    max_memory: float | None,
    work_dir: str | os.PathLike[str] | None,
    resume: bool,
    force: bool,
    storage_options: dict[str, Any] | None,
    scratch_dir: str | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Pairs two sets that lie in a store, or in several."""
    started = time.monotonic()
    settings = _settings(max_memory, options)
    sides = {"x": place_of(x, storage_options), "y": place_of(y, storage_options)}
    out = place_of(output, storage_options)
    work = out / _WORK if work_dir is None else place_of(work_dir, storage_options) / ("himacl-work-" + re.sub(r"\W", "-", str(out)))
    for name, place in sides.items():
        if f"{place}/".startswith(f"{out}/"):
            raise InputError(f"{name} is inside of the output, `{out}`\nhint: choose another prefix for the output")
    found = Output.open(out, "pair", resume=resume, force=force)
    with room_in(None) as room:
        heads = {name: Heads.read(place) for name, place in sides.items()}
        inputs = {
            name: {file: f"{entry.size} bytes, version {entry.version}" for file, entry in side.entries.items()}
            for name, side in heads.items()
        }
        addresses = {"x": str(sides["x"]), "y": str(sides["y"]), "work": str(work)}
        mark = mark_of("pair", {**settings, **addresses}, inputs)
        places = {"x": sides["x"].parent, "y": sides["y"].parent, "out": out, "work": work}
        run = Run(places, scratch_dir, settings["threads"])
        store = StoreJob(run, room, heads)
        if resume and found.mark is not None:
            found.check_same(mark, _FREE)
            if found.is_finished:
                _remove_work(work)
                return _summary(out)
        goes_on = resume and found.mark is not None and store.pull()
        store.open() if goes_on else store.plan(settings)
        planned = store.job
        check_nodes(ray, out, scratch_dir, run.threads, planned.memory, planned.task_bytes)
        # All that can be refused was refused: from here on something is written.
        if not goes_on:
            earlier = (found.mark or {}).get("settings", {}).get("work", str(work))
            found.clear(_is_own)
            for folder in {earlier, str(work)}:
                _remove_work(place_of(folder, storage_options))
            found.write_json(MARK, mark)
            work.write("plan.json", (room / "work" / "plan.json").read_bytes())
        _log.info("up to %.2f GiB of temporary files in `%s`", planned.disk_bytes / 2**30, work)
        outcome = _drive(ray, store)
        summary = _summary_of(room, planned.disk_bytes, settings, outcome, time.monotonic() - started)
        found.write_json(SUMMARY, summary)
        _remove_work(work)
        return summary


def _is_own(name: str) -> bool:
    in_work = name.startswith(_WORK + "/") and is_work_file(name.removeprefix(_WORK + "/"))
    return name in (MARK, SUMMARY) or bool(_RESULTS.fullmatch(name)) or in_work


def _remove_work(work: Place) -> None:
    work.remove(name for name in work.entries() if is_work_file(name))


def _summary(out: Place) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(out.read(SUMMARY))
    return summary


def _settings(max_memory: float | None, options: dict[str, Any]) -> dict[str, Any]:
    """The settings of the plan, but for the places."""
    for name in options:
        if name not in _OPTIONS:
            raise InputError(f"the option `{name}` does not go with addresses, expected one of {', '.join(_OPTIONS)}")
    if max_memory is None:
        raise InputError("max_memory is missing: with addresses it must be said how many GiB a task may take")
    given = {**_OPTIONS, **options}
    kind, _, rows = str(given.pop("certify")).partition(":")
    if kind not in ("none", "sampled") or (rows and not (rows.isdecimal() and int(rows) > 0)) or (kind == "none" and rows):
        raise InputError(f"certify is `{options['certify']}`, expected sampled, sampled:ROWS (at least 1) or none")
    gap_rows = 0 if kind == "none" else int(rows) if rows else None
    sweeps = given.pop("external_sweeps")
    return {**given, "sweeps": sweeps, "gap_rows": gap_rows, "memory": int(max_memory * 2**30)}


def _drive(ray: Any, store: StoreJob) -> dict[str, Any]:
    """Hands the tasks to Ray."""
    from .ray import RETRIES, drive, warn_of_memory

    job = store.job
    warn_of_memory(ray, job.memory)

    @ray.remote(  # type: ignore[untyped-decorator,unused-ignore]
        num_cpus=store.run.threads, memory=job.memory, max_retries=RETRIES, retry_exceptions=[StoreError]
    )
    def task_of(run: Run, heads: dict[str, Heads], notes: dict[str, bytes], step: str, task: int) -> int:
        logging.getLogger("himacl.ray").info("%s task %d on %s", step, task, os.uname().nodename)
        run_task(run, heads, notes, step, task)
        return task

    run, heads = ray.put(store.run), ray.put(store.heads)
    notes: dict[str, Any] = {}

    def submit(step: str, task: int, name: str) -> Any:
        if step not in notes:
            notes.clear()
            notes[step] = ray.put(store.notes())
        return task_of.options(name=name).remote(run, heads, notes[step], step, task)

    store.remove_unfinished()
    drive(ray, job, submit, store.complete, store.run.threads)
    return store.outcome()


def _summary_of(
    room: Path, disk_bytes: int, settings: dict[str, Any], outcome: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """summary.json, as `himacl pair` has it."""
    plan = json.loads((room / "work" / "plan.json").read_text())
    n, m = reversed(plan["rows"]) if plan["turned"] else plan["rows"]
    sweeps = sum(step["mean_cost"] is not None for step in outcome["steps"]) - 1
    all_sweeps = sweeps == plan["max_sweeps"] and sweeps > 0
    return {
        "command": "pair",
        "n": n,
        "m": m,
        "d": plan["dimension"],
        "cost": plan["cost"],
        "solver": "hiref",
        "seed": plan["seed"],
        "quality": plan["quality"],
        "num_pairs": min(n, m),
        "mean_cost": outcome["mean_cost"],
        "bijection": n == m,
        "exact": False,
        "termination": "max-iterations" if all_sweeps else "converged",
        "external": {
            "memory_bytes": plan["memory"],
            "disk_bytes": disk_bytes,
            "solve_blocks": plan["solve_blocks"],
            "sweep_blocks": plan["sweep_blocks"],
            "steps": outcome["steps"],
        },
        "gap_estimate": outcome["gap"],
        "versions": {"himacl": __version__},
        "device": "cpu",
        "threads": settings["threads"],
        "total_seconds": seconds,
    }
