"""The same arrays through himacl, POT and scipy: equal costs, and what each takes."""

import time
from collections.abc import Callable

import himacl
import numpy as np
import ot
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

N, D = 2000, 16
rng = np.random.default_rng(0)
x, y = rng.normal(size=(N, D)).astype(np.float32), rng.normal(size=(N, D)).astype(np.float32) + 0.5


def timed(solve: Callable[[], float]) -> tuple[float, float]:
    """The cost that a solver finds, and its seconds."""
    began = time.perf_counter()
    return solve(), time.perf_counter() - began


def by_pot() -> float:
    matrix = ot.dist(x.astype(np.float64), y.astype(np.float64))
    return float(ot.emd2(ot.unif(N), ot.unif(N), matrix, numItermax=10_000_000))


def by_scipy() -> float:
    matrix = cdist(x, y, "sqeuclidean")
    return float(matrix[linear_sum_assignment(matrix)].mean())


himacl.pair(x[:10], y[:10])  # threads are made at the first call
ours, seconds = timed(lambda: himacl.pair(x, y, quality="best").mean_cost)
print(f"{'himacl.pair':30} cost {ours:.6f} in {seconds:6.2f} s")
for name, solve in (("ot.emd2", by_pot), ("scipy.linear_sum_assignment", by_scipy)):
    cost, theirs = timed(solve)
    print(f"{name:30} cost {cost:.6f} in {theirs:6.2f} s: {theirs / seconds:.1f} times as long")
    assert abs(cost - ours) <= 1e-5 * cost
