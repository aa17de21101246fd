"""The solvers that hierarchical refinement is compared with.

Each returns a :class:`Coupling`: the soft coupling itself, where the solver has one, and the pairs that it is rounded to.
Weights ``a`` and ``b`` may be any positive numbers; they are scaled to sum 1, and are uniform where not given.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _himacl
from ._arrays import as_rows, as_weights
from ._pair import Cost, Pairing, _seed, _threads, pair
from ._progress import Progress, listener

__all__ = ["Coupling", "exact", "frlc", "low_rank", "minibatch", "progot", "sinkhorn"]


class Coupling:
    """What a comparison solver found.

    Attributes
    ----------
    y_of_x : ndarray of int64, shape (n,)
        The pairs that the coupling is rounded to: the partner of each x, -1 for none.
    mean_cost : float
        Mean cost of those pairs, recomputed in float64.
    coupling_cost : float
        Cost of the soft coupling itself, ``<C, P>``.
    potentials : tuple of two float64 arrays, or None
        Of an entropic coupling, in units of the cost.
    factors : tuple of three arrays, or None
        Of a low-rank coupling ``Q diag(1/w) R^T``: ``Q (n, rank)``, ``R (m, rank)``, ``w (rank,)``.
    summary : dict
        Iterations, marginal error, termination, seconds.
    """

    def __init__(self, found: _himacl.Coupling, y: NDArray[Any]) -> None:
        self._found = found
        self._y = y
        self.y_of_x: NDArray[np.int64] = found.y_of_x()
        self.summary: dict[str, Any] = json.loads(found.figures())
        self.mean_cost: float = self.summary["mean_cost"]
        self.coupling_cost: float = self.summary["coupling_cost"]
        self.potentials = found.potentials()
        self.factors = found.factors()

    @property
    def pairs(self) -> NDArray[np.int64]:
        """The pairs, ``(k, 2)``: a row of x and a row of y each, by x."""
        x = np.flatnonzero(self.y_of_x >= 0)
        return np.stack([x, self.y_of_x[x]], axis=1)

    @property
    def termination(self) -> str:
        """Why it ended."""
        return str(self.summary["termination"])

    def to_dense(self) -> NDArray[np.float32]:
        """The whole soft coupling, ``(n, m)``: O(n m) memory."""
        return self._found.matrix()

    def barycentric_projection(self) -> NDArray[np.float32]:
        """Where each x goes on average, ``(n, d)``."""
        return self._found.barycentric_projection(self._y)

    def entropic_map(self, points: Any) -> NDArray[np.float32]:
        """The entropic map at other points, ``(k, d)``."""
        return self._found.entropic_map(as_rows(points, "points"))

    def __repr__(self) -> str:
        return f"Coupling(cost {self.coupling_cost:.6g}, {len(self.pairs)} pairs of mean cost {self.mean_cost:.6g}, {self.termination})"


def _solve(
    solver: str,
    x: Any,
    y: Any,
    cost: str,
    params: dict[str, Any],
    *,
    a: Any = None,
    b: Any = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = None,
) -> Coupling:
    rows = (as_rows(x, "x"), as_rows(y, "y"))
    weights = (as_weights(a, "a", len(rows[0])), as_weights(b, "b", len(rows[1])))
    given = {name: value for name, value in params.items() if value is not None}
    found = _himacl.baseline(
        *rows, cost, solver, json.dumps(given), *weights, _seed(seed), _threads(threads), listener(progress)
    )
    return Coupling(found, rows[1])


def sinkhorn(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    epsilon: float | None = None,
    *,
    cost: Cost = "sqeuclidean",
    max_iterations: int | None = None,
    tolerance: float | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = None,
    **settings: Any,
) -> Coupling:
    """Entropic optimal transport.

    ``epsilon`` is the regularisation in units of the cost; a twentieth of the mean cost by default. Further settings:
    ``epsilon_start``, ``epsilon_decay``, ``storage``.

    Examples
    --------
    >>> import himacl, numpy as np
    >>> x = np.float32([[0.0], [1.0], [2.0]])
    >>> himacl.baselines.sinkhorn(x, x + 0.1, epsilon=0.01).y_of_x
    array([0, 1, 2])
    """
    params = {
        "epsilon": epsilon,
        "max_iterations": max_iterations,
        "tolerance": tolerance,
        "time_limit": time_limit,
        **settings,
    }
    return _solve("sinkhorn", x, y, cost, params, a=a, b=b, seed=seed, threads=threads, progress=progress)


def progot(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    *,
    num_steps: int | None = None,
    epsilon: float | None = None,
    max_iterations: int | None = None,
    tolerance: float | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = None,
    **settings: Any,
) -> Coupling:
    """Progressive entropic optimal transport (ProgOT), for the squared Euclidean cost."""
    params = {
        "num_steps": num_steps,
        "epsilon": epsilon,
        "max_iterations": max_iterations,
        "tolerance": tolerance,
        "time_limit": time_limit,
        **settings,
    }
    return _solve("progot", x, y, "sqeuclidean", params, a=a, b=b, seed=seed, threads=threads, progress=progress)


def low_rank(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    rank: int | None = None,
    *,
    cost: Cost = "sqeuclidean",
    max_iterations: int | None = None,
    tolerance: float | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = None,
    **settings: Any,
) -> Coupling:
    """Low-rank optimal transport with an optimised inner marginal (LOT)."""
    params = _low_rank_params(x, y, rank, max_iterations, tolerance, time_limit, seed, settings)
    return _solve("lot", x, y, cost, params, a=a, b=b, seed=seed, threads=threads, progress=progress)


def frlc(
    x: Any,
    y: Any,
    a: Any = None,
    b: Any = None,
    rank: int | None = None,
    *,
    cost: Cost = "sqeuclidean",
    max_iterations: int | None = None,
    tolerance: float | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = None,
    **settings: Any,
) -> Coupling:
    """Low-rank optimal transport with a latent coupling (FRLC)."""
    params = _low_rank_params(x, y, rank, max_iterations, tolerance, time_limit, seed, settings)
    return _solve("frlc", x, y, cost, params, a=a, b=b, seed=seed, threads=threads, progress=progress)


def _low_rank_params(
    x: Any,
    y: Any,
    rank: int | None,
    max_iterations: int | None,
    tolerance: float | None,
    time_limit: float | None,
    seed: int,
    settings: dict[str, Any],
) -> dict[str, Any]:
    return {
        "rank": min(40, len(x), len(y)) if rank is None else rank,
        "max_iterations": max_iterations,
        "tolerance": tolerance,
        "time_limit": time_limit,
        "seed": _seed(seed),
        **settings,
    }


def minibatch(
    x: Any,
    y: Any,
    batch_size: int | None = None,
    *,
    cost: Cost = "sqeuclidean",
    time_limit: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = None,
) -> Coupling:
    """Random batches, each paired exactly: what flow matching does within its training batches."""
    params = {"batch_size": batch_size, "time_limit": time_limit, "seed": _seed(seed)}
    return _solve("minibatch", x, y, cost, params, seed=seed, threads=threads, progress=progress)


def exact(
    x: Any,
    y: Any,
    *,
    cost: Cost = "sqeuclidean",
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = None,
) -> Pairing:
    """One exact assignment by shortest augmenting paths: O(n m) memory, for at most 16,384 points a side.

    Examples
    --------
    >>> import himacl, numpy as np
    >>> x = np.float32([[0.0], [1.0], [5.0]])
    >>> himacl.baselines.exact(x, x[::-1]).y_of_x
    array([2, 1, 0])
    """
    from ._errors import InputError

    limit, sides = 16_384, (len(x), len(y))
    if max(sides) > limit:
        raise InputError(f"the exact solver takes at most {limit} points a side, got {sides[0]} and {sides[1]}\nhint: himacl.pair(quality=\"best\")")
    return pair(x, y, cost=cost, seed=seed, threads=threads, progress=progress, leaf_size=max(*sides, 2))
