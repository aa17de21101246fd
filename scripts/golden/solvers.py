"""Reference values for the comparison solvers, from POT and ott-jax.

Set-up and use, from the root of the repository:

    python3 -m venv venv
    venv/bin/pip install pot==0.9.7.post1 ott-jax==0.6.0 jax==0.10.2 scipy==1.17.1
    venv/bin/python scripts/golden/solvers.py crates/hiref-baselines/tests/golden [NAME ...]

Writes sinkhorn.json, progot.json, low_rank.json and minibatch.json, or those named. Points are rounded to float32 before anything is
computed from them; everything else is float64. Potentials are those of the coupling relative to the product of the
marginals: P = a b^T exp((f + g - C) / epsilon).
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import ot
import ott
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
from ott.geometry import pointcloud  # noqa: E402
from ott.problems.linear import linear_problem  # noqa: E402
from ott.solvers.linear import sinkhorn_lr  # noqa: E402
from ott.tools import progot  # noqa: E402


def cost_matrix(x, y, cost):
    return -x @ y.T if cost == "neg-dot" else cdist(x, y, cost)


def clouds(n, m, d, seed):
    """Two unlike clouds: a ball, and two shifted blobs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * 0.5
    y = rng.normal(size=(m, d)) * 0.3 + np.where(rng.random((m, 1)) < 0.5, 1.0, -0.5)
    return tuple(np.round(points, 3).astype(np.float32).astype(np.float64) for points in (x, y))


def weights(n, rng):
    return np.round(rng.uniform(0.5, 1.5, n), 3)


def rounded(values, digits=9):
    return [float(f"{value:.{digits}g}") for value in np.ravel(values)]


def problem(name, n, m, d, cost, seed, uniform):
    rng = np.random.default_rng(1000 + seed)
    x, y = clouds(n, m, d, seed)
    a, b = (np.ones(n), np.ones(m)) if uniform else (weights(n, rng), weights(m, rng))
    case = {"name": name, "n": n, "m": m, "d": d, "cost": cost, "x": rounded(x, 6), "y": rounded(y, 6)}
    if not uniform:
        case |= {"a": rounded(a), "b": rounded(b)}
    return case, x, y, a / a.sum(), b / b.sum()


def entropic(a, b, matrix, epsilon, init=None):
    """Coupling and potentials by POT's log-domain Sinkhorn, run far past convergence."""
    _, log = ot.bregman.sinkhorn_log(
        a, b, matrix, epsilon, numItermax=500_000, stopThr=1e-13, log=True, warmstart=init, warn=False
    )
    u, v = log["log_u"], log["log_v"]
    coupling = np.exp(u[:, None] + v[None, :] - matrix / epsilon)
    return coupling, epsilon * (u - np.log(a)), epsilon * (v - np.log(b))


def sinkhorn_cases():
    cases = []
    for name, n, m, d, cost, seed, uniform, share in [
        ("square", 64, 64, 2, "sqeuclidean", 1, True, 0.05),
        ("unequal weighted", 80, 120, 5, "sqeuclidean", 2, False, 0.02),
        ("euclidean weighted", 100, 70, 2, "euclidean", 3, False, 0.05),
        ("cosine", 64, 90, 5, "cosine", 4, True, 0.1),
        ("inner product", 70, 64, 5, "neg-dot", 5, False, 0.1),
    ]:
        case, x, y, a, b = problem(name, n, m, d, cost, seed, uniform)
        matrix = cost_matrix(x, y, cost)
        epsilon = float(f"{share * (a @ np.abs(matrix) @ b):.4g}")
        coupling, f, g = entropic(a, b, matrix, epsilon)
        mean = (a * f).sum()
        divergence = (coupling * np.log(coupling / np.outer(a, b))).sum()
        cases.append(case | {
            "epsilon": epsilon,
            "f": rounded(f - mean),
            "g": rounded(g + mean),
            "primal_cost": float((coupling * matrix).sum()),
            "regularized_cost": float((coupling * matrix).sum() + epsilon * divergence),
            "barycentric_projection": rounded((coupling @ y) / coupling.sum(1)[:, None], 7),
        })
    return cases


def progressive(x, y, alphas, epsilons):
    """[K24], Algorithm 2, written out on POT's Sinkhorn; uniform weights."""
    a, b = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
    moved = x
    for alpha, epsilon in zip(alphas, epsilons):
        coupling, _, _ = entropic(a, b, cdist(moved, y, "sqeuclidean"), epsilon)
        target = (coupling @ y) / coupling.sum(1)[:, None]
        moved = (1 - alpha) * moved + alpha * target
    return coupling, target


def progot_cases():
    cases = []
    for name, n, m, d, seed, steps in [("two steps", 64, 64, 2, 11, 2), ("four steps", 64, 90, 5, 12, 4)]:
        case, x, y, _, _ = problem(name, n, m, d, "sqeuclidean", seed, True)
        alphas = np.asarray(progot.get_alpha_schedule("lin", num_steps=steps))
        start = 0.2 * cdist(x, y, "sqeuclidean").mean()
        epsilons = [float(f"{start * 0.8**k:.4g}") for k in range(steps)]
        coupling, target = progressive(x, y, alphas, epsilons)
        if steps == 2:
            # Beyond two steps ott-jax 0.6.0 moves the points from their first places, not from where they are.
            geometry = pointcloud.PointCloud(jnp.asarray(x), jnp.asarray(y))
            solver = progot.ProgOT(jnp.asarray(alphas), epsilons=jnp.asarray(epsilons))
            output = solver(linear_problem.LinearProblem(geometry), threshold=1e-9, max_iterations=100_000)
            _, pushed = output.transport(jnp.asarray(x))
            difference = float(np.abs(np.asarray(pushed) - target).max())
            print(f"progot {name}: largest difference of the maps from ott-jax {difference:.1e}")
            assert difference < 1e-4
        cases.append(case | {
            "alphas": rounded(alphas, 16),
            "epsilons": epsilons,
            "map": rounded(target, 7),
            "primal_cost": float((coupling * cdist(x, y, "sqeuclidean")).sum()),
        })
    return cases


def low_rank_cases():
    cases = []
    for name, n, m, d, seed, uniform, rank in [
        ("square", 100, 100, 2, 21, True, 5),
        ("unequal", 80, 120, 5, 22, True, 8),
        ("weighted", 100, 70, 2, 23, False, 10),
    ]:
        case, x, y, a, b = problem(name, n, m, d, "sqeuclidean", seed, uniform)
        matrix = cdist(x, y, "sqeuclidean")
        costs = {}
        for seed in range(5):
            geometry = pointcloud.PointCloud(jnp.asarray(x), jnp.asarray(y))
            linear = linear_problem.LinearProblem(geometry, a=jnp.asarray(a), b=jnp.asarray(b))
            solver = sinkhorn_lr.LRSinkhorn(rank=rank, epsilon=0.0, threshold=1e-6, max_iterations=5000)
            output = solver(linear, rng=jax.random.key(seed))
            costs[f"ott {seed}"] = float((np.asarray(output.matrix) * matrix).sum())
        for init in ("random", "deterministic"):
            q, r, g = ot.lowrank_sinkhorn(
                x, y, a, b, rank=rank, reg=0, init=init, numItermax=5000, stopThr=1e-9, seed_init=1, warn=False
            )
            costs[f"pot {init}"] = float(((q / g) @ r.T * matrix).sum())
        print(f"low rank {name}: {costs}")
        cases.append(case | {
            "rank": rank,
            "exact_cost": float(ot.emd2(a, b, matrix, numItermax=1_000_000)),
            "best_cost": min(costs.values()),
            "costs": {key: float(f"{value:.8g}") for key, value in costs.items()},
        })
    return cases


def minibatch_cases():
    cases = []
    for name, n, m, d, cost, seed in [
        ("square", 150, 150, 2, "sqeuclidean", 31),
        ("fewer x", 90, 140, 5, "euclidean", 32),
        ("fewer y", 140, 90, 5, "cosine", 33),
    ]:
        case, x, y, _, _ = problem(name, n, m, d, cost, seed, True)
        matrix = cost_matrix(x, y, cost)
        cases.append(case | {"exact_cost": float(matrix[linear_sum_assignment(matrix)].mean())})
    return cases


def main():
    folder = Path(sys.argv[1])
    versions = {module.__name__: module.__version__ for module in (np, ot, ott, jax)}
    for name, cases in [
        ("sinkhorn", sinkhorn_cases),
        ("progot", progot_cases),
        ("low_rank", low_rank_cases),
        ("minibatch", minibatch_cases),
    ]:
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        content = {"made_by": "scripts/golden/solvers.py", "versions": versions, "cases": cases()}
        (folder / f"{name}.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
