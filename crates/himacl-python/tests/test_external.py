"""Pairing from files to files: task by task, and on several Ray nodes of this machine."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import himacl
from himacl.external import Job


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


def test_on_ray_nodes_that_come_and_go(plan: Any, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    import himacl.ray

    finish(plan("local"))
    expected = digests(tmp_path / "local" / "out")
    node = {"num_cpus": 1, "memory": 1 << 30, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        second = cluster.add_node(**node)
        job = plan("ray")
        outcome: dict[str, Any] = {}
        driver = threading.Thread(target=lambda: outcome.update(himacl.ray.run(job.work, cluster.address)))
        driver.start()
        # Once tasks are running: one machine is lost, another comes.
        while driver.is_alive() and job.next_step() != "sweep-001":
            driver.join(0.05)
        cluster.remove_node(second, allow_graceful=False)
        cluster.add_node(**node)
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
    finally:
        import ray

        ray.shutdown()
        cluster.shutdown()
