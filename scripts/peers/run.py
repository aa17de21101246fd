"""Runs one peer solver on one problem: a child process of `hiref-bench compare`.

Usage: python run.py PEER --x X.npy --y Y.npy --cost sqeuclidean|euclidean --output OUT.npy
                     [--parameter P] [--seed S] [--threads T]

Every peer keeps the same contract:

* timed is the solve alone: from points in memory (float32) to a coupling in memory. Imports, reading and writing files
  are not timed. A cost matrix, where the method needs one, is timed. JAX compiles ahead of time; the seconds for that
  are reported beside the others as `compile_seconds`;
* OUT.npy gets the coupling: `(n,)` uint32, the y row of each x row, where the peer gives a bijection; otherwise
  `(n, d)` float32, the barycentric projection of each x point;
* the last line on stdout is one JSON object: `seconds`, `compile_seconds`, `peak_rss_bytes` (of the process, at the end
  of the solve), `start_rss_bytes` (before it), `version`, `options`, `note`, and, where the coupling is no bijection,
  `mean_cost` and `marginal_error`. The caller computes the cost of a bijection itself.

The cost of a soft coupling P is <P, C> / sum(P), and its marginal error the L1 distance of both marginals from uniform
ones: both summed in float64, row block by row block, after the clock has stopped.
"""

import argparse
import json
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Callable

# Thread pools read these when they are loaded, so before the imports below.
if "--threads" in sys.argv:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = sys.argv[sys.argv.index("--threads") + 1]
# POT loads every array library that it finds, which costs memory; the peers hand it numpy arrays.
for backend in ("PYTORCH", "JAX", "CUPY", "TENSORFLOW"):
    os.environ[f"POT_BACKEND_DISABLE_{backend}"] = "1"

import numpy as np
from scipy.spatial.distance import cdist

ROW_BLOCK = 1024


@dataclass
class Job:
    """What is to be solved; `x` and `y` are float32, `(n, d)`."""

    x: np.ndarray
    y: np.ndarray
    cost: str
    parameter: float | None
    seed: int
    threads: int

    def parameter_or(self, default: float) -> float:
        return default if self.parameter is None else self.parameter

    def cost_matrix(self, x=None, y=None) -> np.ndarray:
        """`(n, m)`, float64."""
        return cdist(self.x if x is None else x, self.y if y is None else y, self.cost)


@dataclass
class Timing:
    """One solve: its seconds, the memory of the process before it and the peak at its end."""

    seconds: float
    start_rss_bytes: int
    peak_rss_bytes: int
    compile_seconds: float = 0.0


@dataclass
class Solved:
    """A coupling: a bijection, or the rows of a soft one."""

    timing: Timing
    version: str
    options: dict[str, Any]
    permutation: np.ndarray | None = None
    # Rows of the coupling matrix for a slice of x rows, float64.
    rows: Callable[[slice], np.ndarray] | None = None
    note: str = ""


def rss(name: str) -> int:
    """`VmHWM` (peak) or `VmRSS` (now) of this process, in bytes.

    Not `ru_maxrss`, which a process inherits from the one that started it.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith(name + ":"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def timed(work: Callable[[], Any]) -> tuple[Any, Timing]:
    start_rss_bytes, started = rss("VmRSS"), time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    return result, Timing(seconds, start_rss_bytes, rss("VmHWM"))


# ---------------------------------------------------------------------------------------------------------------------
# Bijections


def bsp(job: Job, gaussian_slicing: str | bool = "auto") -> Solved:
    """BSP-OT (POT): `parameter` binary space partitions, merged. Default 64, as in POT.

    Its costs are powers of p-norms, summed over coordinates: p = 2 is the squared Euclidean cost, and none is the
    Euclidean one, for which the bijection of p = 2 is taken. It uses one thread.
    """
    import ot
    from ot.bsp import compute_bspot_bijection

    plans = int(job.parameter_or(64))
    (_, permutation, _), timing = timed(
        lambda: compute_bspot_bijection(
            job.x, job.y, n_plans=plans, p=2, gaussian_slicing=gaussian_slicing, seed=job.seed
        )
    )
    note = "" if job.cost == "sqeuclidean" else "minimises the squared Euclidean cost"
    options = {"plans": plans, "gaussian_slicing": gaussian_slicing}
    return Solved(timing, f"POT {ot.__version__}", options, permutation, note=note)


def bsp_random(job: Job) -> Solved:
    """`bsp` with random slices. Up to 64 dimensions, POT slices along Gaussian maps unless told otherwise, in time cubic
    in the dimension; on samples of one distribution random slices are faster and, at 16 and 64 dimensions, better.
    """
    return bsp(job, gaussian_slicing=False)


def emd(job: Job) -> Solved:
    """The network simplex (POT): exact."""
    import ot

    def solve():
        matrix = job.cost_matrix()
        coupling = ot.emd([], [], matrix, numItermax=10**9)
        return coupling.argmax(axis=1)

    permutation, timing = timed(solve)
    return Solved(timing, f"POT {ot.__version__}", {}, permutation)


def lsa(job: Job) -> Solved:
    """Shortest augmenting paths (SciPy `linear_sum_assignment`): exact."""
    import scipy
    from scipy.optimize import linear_sum_assignment

    (_, permutation), timing = timed(lambda: linear_sum_assignment(job.cost_matrix()))
    return Solved(timing, f"scipy {scipy.__version__}", {}, permutation)


def minibatch(job: Job) -> Solved:
    """Mini-batch transport: random batches of `parameter` points without replacement, each paired exactly (POT `emd`).

    Default 1024.
    """
    import ot

    batch = int(job.parameter_or(1024))

    def solve():
        generator = np.random.default_rng(job.seed)
        x_order, y_order = generator.permutation(len(job.x)), generator.permutation(len(job.y))
        permutation = np.empty(len(job.x), dtype=np.int64)
        for start in range(0, len(job.x), batch):
            x_rows, y_rows = x_order[start : start + batch], y_order[start : start + batch]
            matrix = job.cost_matrix(job.x[x_rows], job.y[y_rows])
            coupling = ot.emd([], [], matrix, numItermax=10**9)
            permutation[x_rows] = y_rows[coupling.argmax(axis=1)]
        return permutation

    permutation, timing = timed(solve)
    return Solved(timing, f"POT {ot.__version__}", {"batch": batch}, permutation)


# ---------------------------------------------------------------------------------------------------------------------
# Soft couplings (ott-jax, float32 as by default)


def ott_cost(job: Job):
    from ott.geometry import costs

    return {"sqeuclidean": costs.SqEuclidean, "euclidean": costs.Euclidean}[job.cost]()


def ott_version() -> str:
    import jax
    import ott

    return f"ott-jax {ott.__version__}, jax {jax.__version__}"


def compiled(solve: Callable, job: Job) -> tuple[Any, Timing]:
    """Runs `solve(x, y)`, compiled ahead of time."""
    import jax
    import jax.numpy as jnp

    x, y = jnp.asarray(job.x), jnp.asarray(job.y)
    program, compilation = timed(lambda: jax.jit(solve).lower(x, y).compile())
    result, timing = timed(lambda: jax.block_until_ready(program(x, y)))
    timing.compile_seconds = compilation.seconds
    return result, timing


def entropic_rows(job: Job, x, f, g, epsilon) -> Callable[[slice], np.ndarray]:
    """Rows of exp((f + g - C) / epsilon), C between `x` and y."""
    x, y = np.asarray(x, np.float64), job.y.astype(np.float64)
    f, g, epsilon = np.asarray(f, np.float64), np.asarray(g, np.float64), float(epsilon)
    return lambda at: np.exp((f[at, None] + g[None, :] - cdist(x[at], y, job.cost)) / epsilon)


def sinkhorn(job: Job) -> Solved:
    """Sinkhorn on the dense cost matrix; epsilon is `parameter` standard deviations of the cost, ott's default 0.05."""
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn as solver

    scale = job.parameter_or(0.05)

    def solve(x, y):
        geometry = pointcloud.PointCloud(x, y, cost_fn=ott_cost(job), epsilon=scale, relative_epsilon="std")
        out = solver.Sinkhorn(max_iterations=10_000)(linear_problem.LinearProblem(geometry))
        return out.f, out.g, geometry.epsilon, out.converged

    (f, g, epsilon, converged), timing = compiled(solve, job)
    options = {"epsilon_over_std": scale, "epsilon": float(epsilon), "converged": bool(converged)}
    rows = entropic_rows(job, job.x, f, g, epsilon)
    return Solved(timing, ott_version(), options, rows=rows)


def low_rank_sinkhorn(job: Job) -> Solved:
    """Low-rank Sinkhorn of rank `parameter`, default 10.

    gamma is 1000: with ott's default of 10 its steps are so small that it counts as converged far from a minimum.
    """
    import jax
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn_lr

    rank = min(int(job.parameter_or(10)), len(job.x))

    def solve(x, y):
        geometry = pointcloud.PointCloud(x, y, cost_fn=ott_cost(job))
        solver = sinkhorn_lr.LRSinkhorn(rank, gamma=1000.0, max_iterations=10_000)
        out = solver(linear_problem.LinearProblem(geometry), rng=jax.random.key(job.seed))
        return out.q, out.r, out.g, out.converged

    (q, r, g, converged), timing = compiled(solve, job)
    q, r, g = (np.asarray(factor, np.float64) for factor in (q, r, g))
    options = {"rank": rank, "gamma": 1000, "converged": bool(converged)}
    return Solved(timing, ott_version(), options, rows=lambda at: (q[at] / g) @ r.T)


def progot(job: Job) -> Solved:
    """ProgOT in `parameter` steps, default 4: the constant-speed schedule, ott's default epsilon at every step."""
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.tools import progot as tool

    if job.cost != "sqeuclidean":
        sys.exit("progot takes strictly convex costs of x - y: of those here, sqeuclidean")
    steps = int(job.parameter_or(4))
    solver = tool.ProgOT(tool.get_alpha_schedule("lin", num_steps=steps))

    def solve(x, y):
        out = solver(linear_problem.LinearProblem(pointcloud.PointCloud(x, y, cost_fn=ott_cost(job))))
        last = out.get_output(steps - 1)
        return last.geom.x, last.f, last.g, out.epsilons[-1], out.converged

    (x_last, f, g, epsilon, converged), timing = compiled(solve, job)
    options = {"steps": steps, "converged": bool(np.all(converged))}
    rows = entropic_rows(job, x_last, f, g, epsilon)
    return Solved(timing, ott_version(), options, rows=rows)


PEERS = {
    "bsp": bsp,
    "bsp-random": bsp_random,
    "emd": emd,
    "lsa": lsa,
    "minibatch": minibatch,
    "sinkhorn": sinkhorn,
    "lr-sinkhorn": low_rank_sinkhorn,
    "progot": progot,
}


def measure_soft(job: Job, rows: Callable[[slice], np.ndarray]) -> tuple[np.ndarray, float, float]:
    """The barycentric projection `(n, d)`, the mean cost and the marginal error of a soft coupling."""
    n, m = len(job.x), len(job.y)
    y = job.y.astype(np.float64)
    barycentres = np.empty((n, y.shape[1]), np.float32)
    row_sums, column_sums, total = np.empty(n), np.zeros(m), 0.0
    for start in range(0, n, ROW_BLOCK):
        at = slice(start, start + ROW_BLOCK)
        coupling = rows(at)
        row_sums[at] = coupling.sum(axis=1)
        column_sums += coupling.sum(axis=0)
        total += float((coupling * job.cost_matrix(job.x[at])).sum())
        barycentres[at] = (coupling @ y) / row_sums[at, None]
    error = np.abs(row_sums - 1 / n).sum() + np.abs(column_sums - 1 / m).sum()
    return barycentres, total / float(row_sums.sum()), float(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--x", required=True, metavar="X.npy")
    parser.add_argument("--y", required=True, metavar="Y.npy")
    parser.add_argument("--cost", choices=("sqeuclidean", "euclidean"), default="sqeuclidean")
    parser.add_argument("--output", required=True, metavar="OUT.npy")
    parser.add_argument("--parameter", type=float, help="the peer's one setting: plans, batch size, epsilon, rank, steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="for all but JAX, which takes every core")
    arguments = parser.parse_args()

    x, y = (np.ascontiguousarray(np.load(path), np.float32) for path in (arguments.x, arguments.y))
    if x.shape != y.shape:
        parser.error(f"the peers take two sets of equal size, got {x.shape} and {y.shape}")
    job = Job(x, y, arguments.cost, arguments.parameter, arguments.seed, arguments.threads)
    solved = PEERS[arguments.peer](job)

    report = {
        **asdict(solved.timing),
        "version": solved.version,
        "options": solved.options,
        "note": solved.note,
    }
    if solved.permutation is not None:
        np.save(arguments.output, np.asarray(solved.permutation).astype("<u4"))
    else:
        barycentres, report["mean_cost"], report["marginal_error"] = measure_soft(job, solved.rows)
        np.save(arguments.output, barycentres.astype("<f4"))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
