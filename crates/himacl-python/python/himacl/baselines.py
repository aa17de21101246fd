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
from ._arguments import known_settings, number, whole
from ._arrays import as_rows, as_weights
from ._errors import InputError
from ._arguments import seed as _seed
from ._arguments import threads as _threads
from ._pair import Cost, Pairing, pair
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


#: What each solver takes besides.
_ITERATIVE = ("max_iterations", "tolerance", "time_limit")
_SETTINGS = {
    "sinkhorn": ("epsilon", *_ITERATIVE, "epsilon_start", "epsilon_decay", "storage"),
    "progot": ("epsilon", *_ITERATIVE, "num_steps", "pace", "alphas", "epsilons", "storage"),
    "lot": ("rank", *_ITERATIVE, "seed", "step", "least_mass"),
    "frlc": ("rank", *_ITERATIVE, "seed", "step", "inner_penalty"),
    "minibatch": ("batch_size", "time_limit", "seed", "batch_solver"),
}
#: Those that are whole numbers, and those that are numbers.
_WHOLE = ("max_iterations", "num_steps", "rank", "batch_size", "seed")
_NUMBERS = ("epsilon", "tolerance", "time_limit", "epsilon_start", "epsilon_decay", "step", "least_mass", "inner_penalty")


def _plain(name: str, value: Any) -> Any:
    """A setting as JSON has it."""
    if name in _WHOLE:
        return whole(value, name)
    if name in _NUMBERS:
        return number(value, name)
    return [number(each, name) for each in value] if name in ("alphas", "epsilons") else value


def _solve(
    solver: str,
    x: Any,
    y: Any,
    a: Any,
    b: Any,
    *,
    cost: str = "sqeuclidean",
    rounding_seed: int = 0,
    threads: int | None = None,
    progress: Progress = None,
    **settings: Any,
) -> Coupling:
    known_settings(settings, solver if solver != "lot" else "low_rank", _SETTINGS[solver], ("x", "y", "cost", "seed", "threads", "progress"))
    rows = (as_rows(x, "x"), as_rows(y, "y"))
    weights = (as_weights(a, "a", len(rows[0])), as_weights(b, "b", len(rows[1])))
    given = {name: _plain(name, value) for name, value in settings.items() if value is not None}
    found = _himacl.baseline(
        *rows, cost, solver, json.dumps(given), *weights, _seed(rounding_seed), _threads(threads), listener(progress)
    )
    return Coupling(found, rows[1])


def sinkhorn(
    x: Any, y: Any, a: Any = None, b: Any = None, epsilon: float | None = None, *, seed: int = 0, **settings: Any
) -> Coupling:
    """Entropic optimal transport.

    Parameters
    ----------
    x, y : array, shapes (n, d) and (m, d)
        The points.
    a, b : array, shapes (n,) and (m,), optional
        Weights, any positive numbers; uniform by default.
    epsilon : float, optional
        The regularisation in units of the cost; a twentieth of the mean cost by default.
    seed : int
        Seed of the rounding's ties.
    **settings
        ``cost``, ``threads`` and ``progress`` as for :func:`himacl.pair`; ``max_iterations``, ``tolerance`` (of the marginals),
        ``time_limit`` in seconds, ``epsilon_start``, ``epsilon_decay``, ``storage``.

    Returns
    -------
    Coupling

    Raises
    ------
    InputError
        Weights of another length or not positive; a setting outside its range or of another name.

    Examples
    --------
    >>> import himacl, numpy as np
    >>> x = np.float32([[0.0], [1.0], [2.0]])
    >>> himacl.baselines.sinkhorn(x, x + 0.1, epsilon=0.01).y_of_x
    array([0, 1, 2])
    """
    return _solve("sinkhorn", x, y, a, b, epsilon=epsilon, rounding_seed=seed, **settings)


def progot(x: Any, y: Any, a: Any = None, b: Any = None, *, seed: int = 0, **settings: Any) -> Coupling:
    """Progressive entropic optimal transport (ProgOT), for the squared Euclidean cost.

    Arguments as of :func:`sinkhorn`; settings besides: ``num_steps``, ``pace``, ``alphas``, ``epsilons``.
    """
    return _solve("progot", x, y, a, b, rounding_seed=seed, **settings)


def low_rank(
    x: Any, y: Any, a: Any = None, b: Any = None, rank: int | None = None, *, seed: int = 0, **settings: Any
) -> Coupling:
    """Low-rank optimal transport with an optimised inner marginal (LOT).

    Arguments as of :func:`sinkhorn`; ``rank`` is the number of co-clusters, 40 or the points of the smaller side by default.
    Settings besides: ``step``, ``least_mass``; ``tolerance`` is the relative change of the cost.
    """
    return _of_rank("lot", x, y, a, b, rank, seed, settings)


def frlc(
    x: Any, y: Any, a: Any = None, b: Any = None, rank: int | None = None, *, seed: int = 0, **settings: Any
) -> Coupling:
    """Low-rank optimal transport with a latent coupling (FRLC).

    Arguments as of :func:`low_rank`; ``inner_penalty`` in place of ``least_mass``.
    """
    return _of_rank("frlc", x, y, a, b, rank, seed, settings)


def _of_rank(
    solver: str, x: Any, y: Any, a: Any, b: Any, rank: int | None, seed: int, settings: dict[str, Any]
) -> Coupling:
    rank = min(40, len(x), len(y)) if rank is None else rank
    return _solve(solver, x, y, a, b, rank=rank, seed=_seed(seed), rounding_seed=seed, **settings)


def minibatch(x: Any, y: Any, batch_size: int | None = None, *, seed: int = 0, **settings: Any) -> Coupling:
    """Random batches, each paired exactly: what flow matching does within its training batches.

    ``batch_size`` is the most points of a side in one batch; settings as of :func:`sinkhorn`, but for its own.
    """
    return _solve("minibatch", x, y, None, None, batch_size=batch_size, seed=_seed(seed), rounding_seed=seed, **settings)


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
    limit, sides = 16_384, (len(x), len(y))
    if max(sides) > limit:
        raise InputError(f"the exact solver takes at most {limit} points a side, got {sides[0]} and {sides[1]}\nhint: himacl.pair(quality=\"best\")")
    return pair(x, y, cost=cost, seed=seed, threads=threads, progress=progress, leaf_size=max(*sides, 2))
