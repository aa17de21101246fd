"""Pairing by given costs, and what a matching may look like where it is not one to one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _himacl
from ._arguments import whole
from ._arrays import as_array, as_integers, as_pairs
from ._errors import InputError
from ._arguments import threads as _threads
from ._pair import Pairing
from ._progress import Progress, listener

Kind = tuple[
    float | None,
    int | None,
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    tuple[NDArray[np.int64], NDArray[np.int64]] | None,
]

#: Categories named in the summary, at most.
_NAMED = 10


def kind_of(
    unmatched_cost: float | None,
    num_pairs: int | None,
    x_capacity: Any,
    y_capacity: Any,
    forbidden: Any,
    groups: Any = None,
    *,
    sizes: tuple[int, int],
) -> tuple[Kind, NDArray[Any] | None]:
    """What the matching may look like, as the compiled module takes it, and the names of the categories."""
    never = as_pairs(forbidden, "forbidden")
    if never is not None:
        _refuse_beyond(never, sizes)
    names, numbers = None, None
    if groups is not None:
        if len(groups) != 2:
            raise InputError(f"groups has {len(groups)} entries, expected two: the categories of x and those of y")
        labels = [_labels(side, name) for side, name in zip(groups, "xy", strict=True)]
        names, inverse = np.unique(np.concatenate(labels), return_inverse=True)
        flat = np.ascontiguousarray(np.ravel(inverse), dtype=np.int64)
        numbers = (flat[: len(labels[0])], flat[len(labels[0]) :].copy())
    kind = (
        None if unmatched_cost is None else float(unmatched_cost),
        None if num_pairs is None else whole(num_pairs, "num_pairs", 1),
        _capacity(x_capacity, "x_capacity"),
        _capacity(y_capacity, "y_capacity"),
        np.empty((0, 2), dtype=np.int64) if never is None else never,
        numbers,
    )
    return kind, names


def is_plain(unmatched_cost: Any, num_pairs: Any, x_capacity: Any, y_capacity: Any, forbidden: Any, groups: Any) -> bool:
    """Whether nothing but one-to-one is asked for."""
    one = all(np.ndim(capacity) == 0 and capacity == 1 for capacity in (x_capacity, y_capacity))
    return one and all(given is None for given in (unmatched_cost, num_pairs, forbidden, groups))


def _refuse_beyond(forbidden: NDArray[np.int64], sizes: tuple[int, int]) -> None:
    """Refuses pairs of items that there are not."""
    beyond = (forbidden < 0) | (forbidden >= np.array(sizes))
    if beyond.any():
        position, side = np.argwhere(beyond)[0]
        raise InputError(
            f"pair {position} of forbidden has the {'xy'[side]} index {forbidden[position, side]}, expected one from 0 below {sizes[side]}\n"
            f"hint: leave out the pairs of items that there are not"
        )


def _labels(side: Any, name: str) -> NDArray[Any]:
    """The categories of one side; each item has one."""
    labels = np.ravel(as_array(side, "groups"))
    if labels.dtype.kind in "fc":
        missing = np.isnan(labels)
    elif labels.dtype.kind in "mM":
        missing = np.isnat(labels)
    elif labels.dtype.kind == "O":
        missing = np.fromiter((_is_missing(label) for label in labels), dtype=bool, count=len(labels))
    else:
        return labels
    if missing.any():
        row = int(np.argmax(missing))
        raise InputError(
            f"row {row} of the groups of {name} is {labels[row]}, expected a category\nhint: give such rows a category of their own, or leave them out"
        )
    # Of several types there is no order: as text then, as they are written.
    plain = np.asarray(labels.tolist()) if labels.dtype.kind == "O" else labels
    return plain if plain.ndim == 1 and plain.dtype.kind != "O" else np.array([str(label) for label in labels])


def _is_missing(label: Any) -> bool:
    """None, NaN, and what pandas has for a missing value."""
    return label is None or type(label).__name__ in ("NAType", "NaTType") or (isinstance(label, float) and label != label)


def _capacity(value: Any, name: str) -> NDArray[np.int64]:
    if np.ndim(value) == 0:
        value = [value]
    capacity = as_integers(np.asarray(value), name)
    if capacity.ndim != 1:
        raise InputError(f"{name} has shape {capacity.shape}, expected one number, or one for each item")
    return capacity


def pairing_of(found: dict[str, Any], more: dict[str, Any], names: NDArray[Any] | None = None) -> Pairing:
    """A result of the compiled module."""
    summary = {**more, **json.loads(found["summary"])}
    n, m = summary["n"], summary["m"]
    pairs = found["pairs"]
    y_of_x, x_of_y = np.full(n, -1, dtype=np.int64), np.full(m, -1, dtype=np.int64)
    # Of several partners the first: assigned last.
    y_of_x[pairs[::-1, 0]] = pairs[::-1, 1]
    x_of_y[pairs[::-1, 1]] = pairs[::-1, 0]
    priced = more.get("priced", False)
    summary.pop("priced", None)
    bound, count = summary["objective_bound"], summary["num_pairs"]
    summary["dual_bound"] = None if bound is None or priced or count == 0 else bound / count
    if names is not None:
        for key in ("x_only", "y_only"):
            only = found[key]
            summary[f"groups_of_{key}"] = {"count": len(only), "names": [str(name) for name in names[only[:_NAMED]]]}
    return Pairing(
        y_of_x=y_of_x,
        x_of_y=x_of_y,
        mean_cost=summary["mean_cost"],
        lower_bound=summary["dual_bound"],
        gap=summary["relative_gap"],
        potentials=(found["f"], found["g"]) if "f" in found else None,
        summary=summary,
        _pairs=pairs,
    )


def pair_costs(
    costs: Any,
    *,
    unmatched_cost: float | None = None,
    num_pairs: int | None = None,
    x_capacity: Any = 1,
    y_capacity: Any = 1,
    forbidden: Any | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Pairing:
    """The best matching under a matrix of costs, exactly, and the proof.

    Parameters
    ----------
    costs : array, shape (n, m)
        What pairing x ``i`` with y ``j`` costs; ``inf`` where that pair may not be. float32 and float64 in C order, memmaps too, are read
        where they lie; other numbers are copied once to float64. n and m may differ.
    unmatched_cost, num_pairs, x_capacity, y_capacity, forbidden
        As for :func:`pair`.
    threads, progress
        As for :func:`pair`.

    Returns
    -------
    Pairing

    Raises
    ------
    InputError
        NaN in the matrix; no matching pairs all that must be paired.

    Examples
    --------
    >>> import himacl, numpy as np
    >>> costs = np.array([[4.0, 1.0, np.inf], [2.0, np.inf, 5.0], [3.0, 2.0, 2.0]])
    >>> result = himacl.pair_costs(costs)
    >>> result.pairs.tolist(), result.total_cost
    ([[0, 1], [1, 0], [2, 2]], 5.0)
    >>> himacl.pair_costs(costs, num_pairs=1).pairs.tolist()
    [[0, 1]]
    """
    matrix = as_array(costs, "costs")
    if matrix.ndim != 2:
        raise InputError(f"costs has shape {matrix.shape}, expected two dimensions (x, y)")
    if matrix.dtype.kind not in "fiub":
        raise InputError(f"costs has type {matrix.dtype}, expected numbers")
    wanted = np.dtype(np.float32) if matrix.dtype == np.float32 else np.dtype(np.float64)
    matrix = np.ascontiguousarray(matrix, dtype=wanted)
    kind, _ = kind_of(unmatched_cost, num_pairs, x_capacity, y_capacity, forbidden, sizes=(matrix.shape[0], matrix.shape[1]))
    found = _himacl.match_costs(matrix, kind, _threads(threads), listener(progress))
    return pairing_of(found, {"cost": "matrix", "priced": unmatched_cost is not None})


def pair_candidates(
    candidates: Any,
    *,
    unmatched_cost: float | None = None,
    num_pairs: int | None = None,
    x_capacity: Any = 1,
    y_capacity: Any = 1,
    forbidden: Any | None = None,
    threads: int | None = None,
    progress: Progress = None,
) -> Pairing:
    """The best matching among candidate pairs, exactly, and the proof.

    Parameters
    ----------
    candidates : scipy sparse array or matrix, shape (n, m)
        The pairs that may be, with their costs: every stored entry, zeros too. Entries that are stored twice count once, at the least cost.
    unmatched_cost, num_pairs, x_capacity, y_capacity, forbidden
        As for :func:`pair`.
    threads, progress
        As for :func:`pair`.

    Returns
    -------
    Pairing

    Raises
    ------
    InputError
        Costs that are not finite; no matching pairs all that must be paired.

    Examples
    --------
    >>> import himacl, numpy as np
    >>> from scipy.sparse import coo_array
    >>> x, y, cost = [0, 0, 1, 2], [0, 1, 0, 2], [1.0, 2.0, 1.5, 0.0]
    >>> himacl.pair_candidates(coo_array((cost, (x, y)), shape=(3, 3))).pairs.tolist()
    [[0, 1], [1, 0], [2, 2]]
    """
    if not hasattr(candidates, "tocoo"):
        raise InputError(f"candidates is a {type(candidates).__name__}, expected a sparse array of scipy's\nhint: himacl.pair_costs takes a dense one")
    coo = candidates.tocoo()
    shape = (int(coo.shape[0]), int(coo.shape[1]))
    kind, _ = kind_of(unmatched_cost, num_pairs, x_capacity, y_capacity, forbidden, sizes=shape)
    found = _himacl.match_candidates(
        shape,
        np.ascontiguousarray(coo.row, dtype=np.int64),
        np.ascontiguousarray(coo.col, dtype=np.int64),
        np.ascontiguousarray(coo.data, dtype=np.float64),
        kind,
        _threads(threads),
        listener(progress),
    )
    return pairing_of(found, {"cost": "candidates", "priced": unmatched_cost is not None})
