"""`himacl.pair` against exact solvers, and the promises of its documentation."""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import himacl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

METRICS = {"sqeuclidean": "sqeuclidean", "euclidean": "euclidean", "cosine": "cosine"}


def costs(x: np.ndarray, y: np.ndarray, cost: str) -> np.ndarray:
    x, y = x.astype(np.float64), y.astype(np.float64)
    return -(x @ y.T) if cost == "neg-dot" else cdist(x, y, METRICS[cost])


def optimum(matrix: np.ndarray) -> float:
    rows, columns = linear_sum_assignment(matrix)
    return float(matrix[rows, columns].mean())


@pytest.mark.parametrize("cost", ["sqeuclidean", "euclidean", "cosine", "neg-dot"])
@pytest.mark.parametrize("sizes", [(300, 300), (200, 311), (311, 200), (1, 5), (2, 2)])
def test_optimal_where_scipy_is(rng: np.random.Generator, cost: str, sizes: tuple[int, int]) -> None:
    x, y = (rng.normal(size=(size, 6)).astype(np.float32) for size in sizes)
    matrix = costs(x, y, cost)
    found = himacl.pair(x, y, cost=cost, quality="best", certify=True)
    pairs = found.pairs
    assert len(pairs) == min(sizes) == len(set(pairs[:, 0])) == len(set(pairs[:, 1]))
    assert found.mean_cost == pytest.approx(matrix[pairs[:, 0], pairs[:, 1]].mean(), rel=1e-6, abs=1e-9)
    assert found.mean_cost == pytest.approx(optimum(matrix), rel=1e-6, abs=1e-6)
    assert found.total_cost == pytest.approx(found.mean_cost * min(sizes))
    assert found.lower_bound is not None and found.lower_bound <= found.mean_cost + 1e-9
    assert found.potentials is not None
    f, g = found.potentials
    assert (f[:, None] + g[None, :] <= matrix + 1e-4 * (1 + abs(matrix))).all()
    back = found.x_of_y[pairs[:, 1]]
    assert (back == pairs[:, 0]).all() and (found.x_of_y >= 0).sum() == min(sizes)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    m=st.integers(1, 40),
    d=st.integers(1, 9),
    dtype=st.sampled_from(["f2", "f4", "f8", ">f4", "i4", "u1"]),
    order=st.sampled_from("CF"),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_and_type(n: int, m: int, d: int, dtype: str, order: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (np.asarray(rng.integers(0, 50, size=(size, d)), dtype=dtype, order=order) for size in (n, m))
    before = x.tobytes(), y.tobytes()
    found = himacl.pair(x, y)
    assert found.mean_cost == pytest.approx(optimum(costs(x, y, "sqeuclidean")), rel=1e-5, abs=1e-6)
    assert (x.tobytes(), y.tobytes()) == before


def test_same_seed_same_bits_for_any_threads(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    results = [himacl.pair(*clouds, seed=3, threads=threads) for threads in (1, 2, 5, None)]
    assert all((result.y_of_x == results[0].y_of_x).all() for result in results)
    assert len({result.mean_cost for result in results}) == 1


def test_memmap_is_read_where_it_lies(tmp_path: Path, clouds: tuple[np.ndarray, np.ndarray]) -> None:
    for name, array in zip("xy", clouds, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    x, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")
    assert (himacl.pair(x, y).y_of_x == himacl.pair(*clouds).y_of_x).all()


def test_copies_are_told(clouds: tuple[np.ndarray, np.ndarray], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="himacl"):
        himacl.pair(*clouds)
        assert not caplog.records
        himacl.pair(np.asfortranarray(clouds[0]), clouds[1].astype(">f8"))
    assert [record.getMessage().split()[0] for record in caplog.records] == ["x", "y"]


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="measures by Linux's /proc")
def test_points_are_not_copied() -> None:
    """Points in another order are copied once, and those in C order are not: their peaks differ by that copy.

    One thread: with two, what both hold at once differs from run to run.
    """
    script = """
import sys, numpy as np, himacl
x, y = (np.random.default_rng(seed).standard_normal((4000, 3072), dtype=np.float32) for seed in (0, 1))
if sys.argv[1] == "F":
    x, y = np.asfortranarray(x), np.asfortranarray(y)
himacl.pair(x[:64].copy(), y[:64].copy())
kib = lambda name: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
open("/proc/self/clear_refs", "w").write("5")
before = kib("VmRSS")
himacl.pair(x, y, quality="fast", progress=False, threads=1)
print((kib("VmHWM") - before) * 1024 / (x.nbytes + y.nbytes))
"""
    rise = {
        order: float(subprocess.run([sys.executable, "-c", script, order], capture_output=True, text=True, check=True).stdout)
        for order in "CF"
    }
    assert rise["F"] - rise["C"] > 0.8, rise


def test_bfloat16_of_ml_dtypes(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x, y = (cloud.astype(ml_dtypes.bfloat16) for cloud in clouds)
    assert (himacl.pair(x, y).y_of_x == himacl.pair(x.astype(np.float32), y.astype(np.float32)).y_of_x).all()


def test_jax(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    jax = pytest.importorskip("jax.numpy")
    x, y = (jax.asarray(cloud) for cloud in clouds)
    assert (himacl.pair(x, y).y_of_x == himacl.pair(*clouds).y_of_x).all()
    half = [side.astype(jax.bfloat16) for side in (x, y)]
    wide = [np.asarray(side.astype(jax.float32)) for side in half]
    assert (himacl.pair(*half).y_of_x == himacl.pair(*wide).y_of_x).all()


def test_dlpack_alone_is_enough(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    class Foreign:
        def __init__(self, array: np.ndarray) -> None:
            self._array = array

        def __dlpack__(self, **kwargs: object) -> object:
            return self._array.__dlpack__(**kwargs)

        def __dlpack_device__(self) -> tuple[int, int]:
            return self._array.__dlpack_device__()

    found = himacl.pair(Foreign(clouds[0]), Foreign(clouds[1]))
    assert (found.y_of_x == himacl.pair(*clouds).y_of_x).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": np.zeros((3, 2, 2))}, "x has shape (3, 2, 2), expected two dimensions"),
        ({"x": np.zeros(5)}, "x[:, None]"),
        ({"x": np.zeros((0, 5), np.float32)}, "empty"),
        ({"x": np.zeros((400, 4), np.float32)}, "4 coordinates"),
        ({"x": np.array([["a", "b"]])}, "x has type <U1, expected numbers"),
        ({"x": np.zeros((4, 5), complex)}, "complex"),
        ({"x": np.full((3, 5), np.nan, np.float32)}, "row 0, column 0"),
        ({"x": np.full((3, 5), 1e300)}, "float32 cannot hold"),
        ({"x": 1e9 + np.random.default_rng(0).normal(size=(3, 5))}, "too near to one another, and too far from zero, for float32"),
        ({"cost": "manhattan"}, "expected one of"),
        ({"quality": "worst"}, "worst"),
        ({"leafsize": 4}, "leafsize"),
        ({"leaf_size": 1}, "leaf_size"),
        ({"time_limit": -1.0}, "time_limit"),
        ({"seed": -1}, "seed is -1"),
        ({"threads": 0}, "threads is 0"),
        ({"device": "tpu"}, "device is `tpu`"),
        ({"warm_start": np.zeros(3, int)}, "warm_start has shape (3,)"),
        ({"warm_start": np.zeros(400, int)}, "occurs twice"),
        ({"warm_start": np.full(400, 10**6)}, "expected an index below 400"),
    ],
)
def test_refusals(clouds: tuple[np.ndarray, np.ndarray], change: dict, said: str) -> None:
    with pytest.raises(himacl.InputError) as refused:
        himacl.pair(**{"x": clouds[0], "y": clouds[1], **change})
    assert said in str(refused.value)
    assert isinstance(refused.value, ValueError) and isinstance(refused.value, himacl.Error)


def test_a_copy_that_does_not_fit(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    # 2^46 numbers that are one: nothing but a copy takes memory.
    huge = np.broadcast_to(np.float64(1.0), (2**36, 1024))
    with pytest.raises(himacl.OutOfMemoryError, match=r"copy of x as float32 takes 262144\.00 GiB") as refused:
        himacl.pair(huge, clouds[1])
    assert isinstance(refused.value, MemoryError)


def test_zero_rows_under_cosine(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    x = clouds[0].copy()
    x[17] = 0
    with pytest.raises(ValueError, match="row 17"):
        himacl.pair(x, clouds[1], cost="cosine")


def test_warm_starts(clouds: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, y = clouds
    first = himacl.pair(x, y)
    first.save(tmp_path / "run")
    moved = x + np.float32(1e-4)
    for start in (first, tmp_path / "run", str(tmp_path / "run"), first.y_of_x, first.y_of_x.tolist()):
        again = himacl.pair(moved, y, warm_start=start)
        assert again.mean_cost <= first.mean_cost * 1.01


def test_folders_go_both_ways(clouds: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, y = clouds
    for name, array in zip("xy", clouds, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    command = ["himacl", "pair", "--x", tmp_path / "x.npy", "--y", tmp_path / "y.npy", "--certify", "-o", tmp_path / "cli"]
    subprocess.run(command, check=True, capture_output=True)
    ours, theirs = himacl.pair(x, y, certify=True), himacl.load(tmp_path / "cli")
    assert (ours.y_of_x == theirs.y_of_x).all() and ours.mean_cost == theirs.mean_cost
    assert ours.gap == pytest.approx(theirs.gap, abs=1e-12) and ours._warm_start == theirs._warm_start
    ours.save(tmp_path / "ours")
    for name in ("permutation.npy", "potentials.npy", "warm-start.safetensors"):
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "cli" / name).read_bytes(), name
    subprocess.run([*command[:-2], "-o", tmp_path / "warm", "--warm-start", tmp_path / "ours"], check=True, capture_output=True)
    assert himacl.load(tmp_path / "warm").mean_cost == ours.mean_cost
    with pytest.raises(OSError, match="not empty"):
        ours.save(tmp_path / "ours")
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        ours.save(tmp_path / "file" / "below")
    with pytest.raises(OSError, match="not a finished pairing"):
        himacl.load(tmp_path)
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == [
        "permutation.npy",
        "potentials.npy",
        "summary.json",
        "warm-start.safetensors",
    ]


def test_how_far_from_the_optimum(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    """Proved where the solve comes upon a proof, estimated where it is asked for and nothing close is proved, and refused where it is misspelt."""
    by_itself = himacl.pair(*clouds)
    assert by_itself.gap is not None and by_itself.gap_estimate is None and by_itself.potentials is None
    sweeps_alone = {"quality": "fast", "exact_limit": 0, "leaf_size": 32, "polish_block_size": 32}
    unknown = himacl.pair(*clouds, **sweeps_alone)
    assert unknown.gap is None and unknown.gap_estimate is None and "optimum" not in repr(unknown)
    sampled = himacl.pair(*clouds, certify="sampled", **sweeps_alone)
    estimate = sampled.gap_estimate
    assert sampled.gap is None and estimate is not None and "estimated" in repr(sampled)
    assert 0 <= estimate["low"] <= estimate["value"] <= estimate["high"]
    best = himacl.pair(*clouds, quality="best").mean_cost
    assert (sampled.mean_cost - best) / sampled.mean_cost <= estimate["high"] + 1e-9
    with pytest.raises(himacl.InputError, match="certify is 'proof', expected True, False or 'sampled'"):
        himacl.pair(*clouds, certify="proof")  # type: ignore[arg-type]


def test_results_are_values(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    found = himacl.pair(*clouds, certify=True)
    copy = pickle.loads(pickle.dumps(found))
    assert (copy.y_of_x == found.y_of_x).all() and copy.mean_cost == found.mean_cost
    assert himacl.pair(*clouds, warm_start=copy).mean_cost <= found.mean_cost
    coupling = found.to_scipy()
    assert coupling.shape == (400, 400) and coupling.sum() == pytest.approx(1.0)
    assert (coupling * costs(*clouds, "sqeuclidean")).sum() == pytest.approx(found.mean_cost, rel=1e-6)
    assert "400 pairs" in repr(found) and "above the optimum" in repr(found)
    json.dumps(found.summary)


def test_events(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    events: list[dict] = []
    himacl.pair(*clouds, progress=events.append, certify=True)
    kinds = {event["event"] for event in events}
    assert {"started", "finished"} <= kinds
    assert all(isinstance(event, dict) for event in events)

    def fail(event: dict) -> None:
        raise RuntimeError("the listener's own")

    with pytest.raises(RuntimeError, match="the listener's own"):
        himacl.pair(*clouds, progress=fail)


def test_a_bar_shows_what_is_done(clouds: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    import tqdm.auto
    from himacl import _progress

    bars = []

    class Bar:
        def __init__(self, total: int, initial: int, desc: str, **_: object) -> None:
            self.total, self.done, self.desc, self.closed = total, initial, desc, False
            bars.append(self)

        def update(self, more: int) -> None:
            assert not self.closed
            self.done += more

        def set_postfix(self, **_: object) -> None: ...

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(_progress, "_PATIENCE", 0.0)
    monkeypatch.setattr(_progress, "_somebody_looks", lambda: True)
    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    x, y = (np.repeat(cloud, 12, axis=0) + np.float32(0.01) * np.arange(4800)[:, None] for cloud in clouds)
    himacl.pair(x.astype(np.float32), y.astype(np.float32))
    assert bars and all(bar.closed and bar.desc for bar in bars)
    # Sweeps may end before those planned, and rounds before those allowed.
    assert all(0 <= bar.done <= bar.total for bar in bars if bar.total)
    monkeypatch.setattr(_progress, "_somebody_looks", lambda: False)
    bars.clear()
    himacl.pair(*clouds)
    assert not bars


def test_twenty_threads_at_once(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = clouds
    alone = [himacl.pair(x, y, seed=seed).y_of_x for seed in range(20)]
    with ThreadPoolExecutor(20) as pool:
        together = list(pool.map(lambda seed: himacl.pair(x, y, seed=seed).y_of_x, range(20)))
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))


def test_the_lock_is_released() -> None:
    """Another thread of Python's goes on while a solve runs."""
    import threading

    x, y = (np.random.default_rng(seed).normal(size=(6000, 16)).astype(np.float32) for seed in (0, 1))
    ticks, over = 0, threading.Event()

    def solve() -> None:
        himacl.pair(x, y, progress=False)
        over.set()

    thread = threading.Thread(target=solve)
    thread.start()
    while not over.is_set():
        ticks += 1
        over.wait(0.001)
    thread.join()
    assert ticks > 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_can_solve(clouds: tuple[np.ndarray, np.ndarray]) -> None:
    script = """
import os, sys, numpy as np, himacl
x, y = (np.random.default_rng(seed).normal(size=(400, 5)).astype(np.float32) for seed in (0, 1))
before = himacl.pair(x, y)
child = os.fork()
if child == 0:
    again = himacl.pair(x, y)
    os._exit(0 if (again.y_of_x == before.y_of_x).all() else 3)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_multiprocessing_worker_can_solve() -> None:
    script = """
import multiprocessing, numpy as np, himacl
x = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
def work(seed):
    return himacl.pair(x, x[::-1].copy(), seed=seed).mean_cost
if __name__ == "__main__":
    here = work(0)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(work, [0, 0, 0, 0]) == [here] * 4
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_ctrl_c_ends_a_solve() -> None:
    script = """
import os, signal, sys, threading, numpy as np, himacl
x, y = (np.random.default_rng(seed).normal(size=(60_000, 64)).astype(np.float32) for seed in (0, 1))
def interrupt(event):
    if event["event"] == "level" and not interrupted:
        interrupted.append(True)
        os.kill(os.getpid(), signal.SIGINT)
interrupted = []
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
try:
    himacl.pair(x, y, quality="best", progress=interrupt)
except KeyboardInterrupt:
    himacl.pair(x[:100], y[:100])  # and another one works
    sys.exit(17)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=300).returncode == 17


@pytest.mark.parametrize(
    "call",
    [
        "himacl.baselines.sinkhorn(x, y, tolerance=0.0)",
        "himacl.baselines.low_rank(x, y, tolerance=0.0, cost='euclidean')",
        "himacl.baselines.minibatch(x, y, batch_size=12_000)",
        "himacl.baselines.exact(x[:8_000], y[:8_000])",
    ],
)
def test_ctrl_c_ends_a_comparison_solver_within_its_iterations(call: str) -> None:
    script = f"""
import os, signal, sys, threading, time, numpy as np, himacl
x, y = (np.random.default_rng(seed).normal(size=(12_000, 64)).astype(np.float32) for seed in (0, 1))
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    {call}
except KeyboardInterrupt:
    himacl.baselines.sinkhorn(x[:100], y[:100])  # and another one works
    sys.exit(17)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=300).returncode == 17


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda x: himacl.pair(x, x, costs="cosine"), "pair has no argument `costs`, did you mean `cost`.\nhint: its arguments are x, y, cost"),
        (lambda x: himacl.pair(x, x, center=True), "no argument `center`.*\nhint: x - x.mean"),
        (lambda x: himacl.pair(x, x, normalize=True), "no argument `normalize`.*\nhint: x / np.linalg.norm"),
        (lambda x: himacl.pair(x, x, quality="superb"), "quality is 'superb', expected one of 'fast', 'balanced', 'best'"),
        (lambda x: himacl.pair(x, x, leaf_size="8"), "leaf_size is '8', expected a whole number"),
        (lambda x: himacl.pair(x, x, time_limit="1"), "time_limit is '1', expected a number"),
        (lambda x: himacl.pair(x, x, seed=1.5), "seed is 1.5, expected a whole number"),
        (lambda x: himacl.pair(x, x, seed="a"), "seed is 'a', expected a whole number"),
        (lambda x: himacl.pair(x, x, threads=1.5), "threads is 1.5, expected a whole number from 1 to 4096"),
        (lambda x: himacl.pair(x, x, progress="yes"), "progress is 'yes', expected None, True, False or a function"),
        (lambda x: himacl.pair("x.npy", x), "x is 'x.npy', expected an array.*\nhint: np.load"),
        (lambda x: himacl.pair(None, x), "x is None, expected an array"),
        (lambda x: himacl.pair(_column(x), x), "one list or array for each row.*\nhint: np.stack"),
        (lambda x: himacl.pair(x.astype(complex), x), "x has type complex128.*\nhint: np.concatenate"),
        (lambda x: himacl.pair(x.astype(object), x), "x has type object.*\nhint: x.astype"),
        (lambda x: himacl.baselines.sinkhorn(x, x, eps=1.0), "sinkhorn has no argument `eps`, did you mean `epsilon`"),
        (lambda x: himacl.baselines.low_rank(x, x, rank=2.5), "rank is 2.5, expected a whole number"),
    ],
)
def test_arguments_are_named(wrong: Callable[[np.ndarray], object], match: str) -> None:
    with pytest.raises(himacl.InputError, match=match):
        wrong(np.float32([[0], [1], [2], [3]]))


def _column(x: np.ndarray) -> np.ndarray:
    column = np.empty(len(x), dtype=object)
    column[:] = list(x)
    return column
