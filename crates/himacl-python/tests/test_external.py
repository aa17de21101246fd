"""Pairing from files to files: task by task, and on several Ray nodes of this machine."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import himacl
from himacl.external import Job


GOLDEN = Path(__file__).parents[3] / "crates" / "himacl-encode" / "tests" / "golden" / "encoders"


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in {".npy", ".parquet"}]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def plan(tmp_path: Path, rng: np.random.Generator) -> Any:
    """Plans runs of the same sets, each in a folder of its own."""
    np.save(tmp_path / "x.npy", rng.normal(size=(4000, 6)).astype(np.float32))
    np.save(tmp_path / "y.npy", rng.normal(size=(4000, 6)).astype(np.float32))

    def planned(name: str, **options: Any) -> Job:
        folder = tmp_path / name
        sets = {"x": tmp_path / "x.npy", "y": tmp_path / "y.npy", "output": folder / "out"}
        return Job.plan(folder / "work", **sets, memory=300 << 20, block_rows=700, gap_rows=100, **options)

    return planned


def finish(job: Job) -> dict[str, Any]:
    while step := job.next_step():
        # The order of tasks does not matter.
        for task in reversed(job.open_tasks(step)):
            job.run(step, task)
            job.run(step, task)
        job.complete(step)
    return job.outcome()


def test_task_by_task(plan: Any, tmp_path: Path) -> None:
    job = plan("local")
    outcome = finish(job)
    y_of_x = np.load(tmp_path / "local" / "out" / "permutation.npy")
    assert np.array_equal(np.sort(y_of_x), np.arange(4000))
    x, y = np.load(tmp_path / "x.npy").astype(float), np.load(tmp_path / "y.npy").astype(float)
    assert outcome["mean_cost"] == pytest.approx(((x - y[y_of_x]) ** 2).sum(1).mean(), rel=1e-9)
    assert outcome["gap"]["low"] <= outcome["gap"]["value"] <= outcome["gap"]["high"]
    with pytest.raises(himacl.Error, match="no step"):
        job.run("no-such-step", 0)
    with pytest.raises(himacl.FileError):
        Job(tmp_path / "nothing")
    with pytest.raises(himacl.InputError, match="memory"):
        Job.plan(tmp_path / "small", x=tmp_path / "x.npy", y=tmp_path / "y.npy", output=tmp_path / "small", memory=1)


def test_archives(plan: Any, tmp_path: Path) -> None:
    finish(plan("npy"))
    x, y = (np.load(tmp_path / name) for name in ("x.npy", "y.npy"))
    np.savez(tmp_path / "x.npz", x)
    np.savez(tmp_path / "y.npz", other=y[:7], emb=y)
    options: dict[str, Any] = {"output": tmp_path / "npz" / "out", "memory": 300 << 20, "block_rows": 700, "gap_rows": 100}
    finish(Job.plan(tmp_path / "npz" / "work", x=tmp_path / "x.npz", y=tmp_path / "y.npz", y_key="emb", **options))
    assert digests(tmp_path / "npz" / "out") == digests(tmp_path / "npy" / "out")
    np.savez_compressed(tmp_path / "y.npz", other=y[:7], emb=y)
    with pytest.raises(himacl.InputError, match=r"compressed: .*\nhint: `unzip .*y\.npz emb\.npy`"):
        Job.plan(tmp_path / "packed", x=tmp_path / "x.npz", y=tmp_path / "y.npz", y_key="emb", **options)


NODE = {"num_cpus": 1, "memory": 3 << 30, "object_store_memory": 100 << 20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes on this machine."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args=NODE)
    nodes.add_node(**NODE)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def test_on_ray_nodes_that_come_and_go(plan: Any, tmp_path: Path, cluster: Any) -> None:
    import himacl.ray

    finish(plan("local"))
    expected = digests(tmp_path / "local" / "out")
    job = plan("ray")
    outcome: dict[str, Any] = {}
    driver = threading.Thread(target=lambda: outcome.update(himacl.ray.run(job.work, cluster.address)))
    driver.start()
    # Once tasks are running: one machine is lost, another comes.
    while driver.is_alive() and job.next_step() != "sweep-001":
        driver.join(0.05)
    (second,) = cluster.worker_nodes
    cluster.remove_node(second, allow_graceful=False)
    cluster.add_node(**NODE)
    driver.join(300)
    assert outcome
    assert digests(tmp_path / "ray" / "out") == expected
    summary = himacl.ray.pair(
        tmp_path / "x.npy",
        tmp_path / "y.npy",
        tmp_path / "whole",
        address=cluster.address,
        max_memory=300 / 1024,
        block_rows=700,
        certify="sampled:100",
    )
    assert digests(tmp_path / "whole") == expected
    assert summary["mean_cost"] == outcome["mean_cost"]
    with pytest.raises(himacl.InputError, match="exists"):
        himacl.ray.pair(tmp_path / "x.npy", tmp_path / "y.npy", tmp_path / "whole", address=cluster.address)


def test_a_lost_driver_changes_nothing(plan: Any, tmp_path: Path, cluster: Any) -> None:
    import himacl.ray

    finish(plan("local"))
    sets, out = (tmp_path / "x.npy", tmp_path / "y.npy"), tmp_path / "lost"
    command = [sys.executable, "-m", "himacl", "pair", "--x", str(sets[0]), "--y", str(sets[1]), "-o", str(out)]
    command += ["--ray", cluster.address, "--max-memory", str(300 / 1024), "--block-rows", "700"]
    with subprocess.Popen([*command, "--certify", "sampled:100"], stderr=subprocess.DEVNULL) as driver:
        while driver.poll() is None and not (out / "work" / "solve.json").exists():
            time.sleep(0.02)
        driver.kill()
    assert not (out / "summary.json").exists()
    options = {"max_memory": 300 / 1024, "block_rows": 700, "certify": "sampled:100"}
    himacl.ray.pair(*sets, out, address=cluster.address, resume=True, **options)
    assert digests(out) == digests(tmp_path / "local" / "out")
    assert not (out / "work").exists()


def test_shards_are_embedded_on_ray(tmp_path: Path, cluster: Any) -> None:
    import himacl.ray

    captions = tmp_path / "captions.txt"
    words = ("a cat", "two dogs under the moon", "stars", "", "a photo of a very small thing")
    captions.write_text("\n".join(f"{words[line % 5]} {line}" if line % 7 else "" for line in range(100)))
    encoder = {"repo": "golden/sentence-transformers", "family": "sentence-transformers"}
    options = {**encoder, "local": GOLDEN / "sentence-transformers", "shard_size": 30, "max_error_rate": 0.5}
    summary = himacl.ray.embed(captions, tmp_path / "ray", address=cluster.address, memory_per_task=1 << 30, **options)
    flags = [part for name, value in options.items() for part in ("--" + name.replace("_", "-"), str(value))]
    command = [sys.executable, "-m", "himacl", "embed", "--input", str(captions), "-o", str(tmp_path / "here"), *flags]
    subprocess.run([*command, "--threads", "1"], check=True, capture_output=True)

    def files(folder: Path) -> dict[str, bytes]:
        own = {".himacl.toml", "summary.json"}
        paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in own)
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    assert files(tmp_path / "ray") == files(tmp_path / "here")
    assert (summary["shards"], summary["records"]) == (4, 100)
    options["shard_size"] = 50
    replaced = himacl.ray.embed(captions, tmp_path / "ray", address=cluster.address, memory_per_task=1 << 30, force=True, **options)
    assert replaced["shards"] == 2
    assert not (tmp_path / "ray" / "stats" / "2.json").exists()
