"""``himacl.ray.embed`` into an object store: one task a shard, each in a folder of its machine's own."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._store import Place, StoreError, place_of
from ._store_nodes import check_nodes, room_in
from ._store_output import MARK, SUMMARY, Output, mark_of
from ._store_run import make

if TYPE_CHECKING:
    from .ray import EmbedCommand

# What `himacl embed` keeps of its own, and its settings: they come with the results.
_BEGUN = (".himacl.toml", "config.toml")
_STATS = re.compile(r"stats/\d+\.json")
_ARRAYS = re.compile(r"img_emb/img_emb_\d+\.npy|text_emb/text_emb_\d+\.npy|metadata/metadata_\d+\.parquet")


def embed(
    ray: Any,
    command: EmbedCommand,
    output: str | os.PathLike[str],
    *,
    settings: dict[str, Any],
    cpus_per_task: int,
    gpus_per_task: float,
    memory_per_task: int,
    resume: bool,
    force: bool,
    storage_options: dict[str, Any] | None,
    scratch_dir: str | None,
) -> dict[str, Any]:
    """Embeds by ``command``, ``himacl embed`` with all but the output."""
    from .ray import RETRIES, each_shard

    out = place_of(output, storage_options)
    found = Output.open(out, "embed", resume=resume, force=force)
    mark = mark_of("embed", settings, {})
    if resume and found.mark is not None:
        found.check_same(mark, frozenset())
        if found.is_finished:
            return _summary(out)
    with room_in(None) as room:
        folder = room / "out"
        if resume and all(name in found.names for name in _BEGUN):
            for name in _BEGUN:
                _bring(out, folder, name)
        else:
            command.run("-o", str(folder), "--shards", "0..0")
            check_nodes(ray, out, scratch_dir, cpus_per_task, memory_per_task, 0)
            found.clear(_is_own)
            found.write_json(MARK, mark)
            for name in reversed(_BEGUN):
                out.upload(name, folder / name)

        @ray.remote(  # type: ignore[untyped-decorator,unused-ignore]
            num_cpus=cpus_per_task,
            num_gpus=gpus_per_task,
            memory=memory_per_task,
            max_retries=RETRIES,
            retry_exceptions=[StoreError],
        )
        def shard_of(command: EmbedCommand, out: Place, number: int) -> bool:
            return _shard(command, out, number, scratch_dir)

        each_shard(ray, lambda number, name: shard_of.options(name=name).remote(command, out, number), cpus_per_task)
        # What is there is looked at by its marks and names, and whatever is missing is made here.
        brought = {}
        for name, entry in out.entries().items():
            if _STATS.fullmatch(name):
                _bring(out, folder, name)
            elif _ARRAYS.fullmatch(name):
                make(folder / name, entry.size, [])
            else:
                continue
            brought[name] = (folder / name).stat().st_ino
        command.run("-o", str(folder), "--resume")
        names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
        made = [name for name in names if _is_own(name) and brought.get(name) != (folder / name).stat().st_ino]
        for name in sorted(made, key=lambda name: (name == SUMMARY, bool(_STATS.fullmatch(name)))):
            out.upload(name, folder / name)
        return _summary(out)


def _shard(command: EmbedCommand, out: Place, number: int, scratch: str | None) -> bool:
    """Makes one shard, unless it is in the store; whether the dataset has it."""
    from .ray import made_apart

    mark = f"stats/{number}.json"
    if out.has(mark):
        return True
    with room_in(scratch) as room:
        made = made_apart(command, room / "out", number)
        for name in made:
            out.upload(str(name), room / "out" / name)
        return Path(mark) in made


def _bring(out: Place, folder: Path, name: str) -> None:
    content = out.read(name)
    make(folder / name, len(content), [(0, content)])


def _is_own(name: str) -> bool:
    return name in (MARK, SUMMARY, "errors.jsonl", *_BEGUN) or bool(_STATS.fullmatch(name) or _ARRAYS.fullmatch(name))


def _summary(out: Place) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(out.read(SUMMARY))
    return summary
