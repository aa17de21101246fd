"""Pairing one to one."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import _himacl
from ._arguments import known_settings, number, one_of, whole
from ._arguments import seed as _seed
from ._arguments import threads as _threads
from ._arrays import as_integers, as_rows
from ._errors import FileError, InputError
from ._progress import Progress, listener

if TYPE_CHECKING:
    from scipy.sparse import coo_array

    from ._matching import Kind

Cost = Literal["sqeuclidean", "euclidean", "cosine", "neg-dot"]
Quality = Literal["fast", "balanced", "best"]

#: Settings of the solver that :func:`pair` hands on, and its arguments besides.
_SETTINGS = ("max_rank", "leaf_size", "polish_block_size", "max_sweeps", "exact_limit", "max_rounds")
_ARGUMENTS = (
    "x", "y", "cost", "quality", "certify", "time_limit", "warm_start", "unmatched_cost", "num_pairs", "x_capacity", "y_capacity",
    "groups", "forbidden", "device", "seed", "threads", "progress",
)  # fmt: skip

#: What permutation.npy has for an item without a partner.
_UNMATCHED = np.uint32(0xFFFF_FFFF)


def _above_optimum(cost: float, gap: float, said: str) -> str:
    """``said`` with how far a cost is above the optimum at most, told ``gap`` as a share of the cost; nothing where the bound tells nothing."""
    bound = cost - gap * abs(cost)
    if gap == 0:
        return said.format("0%")
    return said.format(f"{100 * (cost - bound) / abs(bound):.4g}%") if bound * cost > 0 else ""


@dataclass(frozen=True, eq=False)
class Pairing:
    """Two sets, paired: what :func:`pair` returns.

    Attributes
    ----------
    y_of_x : ndarray of int64, shape (n,)
        The partner of each x; -1 where it stays single. The first, where there may be several (``pairs`` has all).
    x_of_y : ndarray of int64, shape (m,)
        The partner of each y, likewise.
    mean_cost : float
        Mean cost of the pairs, recomputed in float64 from the points.
    lower_bound : float or None
        No pairing has a mean cost below this: proved with ``certify=True``, and where the solve itself came upon the proof.
    gap : float or None
        ``(mean_cost - lower_bound) / abs(mean_cost)``: a share of the cost. ``(mean_cost - lower_bound) / abs(lower_bound)`` is how far it is above
        the optimum at most, as a share of that. With ``unmatched_cost``, of the ``objective``.
    potentials : tuple of two float64 arrays, or None
        ``f (n,)`` and ``g (m,)`` with ``f[i] + g[j] <= cost(x[i], y[j])`` for all pairs that may be: the proof of the bound. With
        ``unmatched_cost``, none is above half of it.
    termination : str
        Why it ended: ``converged``, ``max-iterations``, ``time-limit``, ``interrupted``.
    summary : dict
        Levels, sweeps, seconds and more, as in the command line's ``summary.json``.
    """

    y_of_x: NDArray[np.int64]
    x_of_y: NDArray[np.int64]
    mean_cost: float
    lower_bound: float | None
    gap: float | None
    potentials: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    summary: dict[str, Any] = field(repr=False)
    _warm_start: bytes | None = field(default=None, repr=False)
    _pairs: NDArray[np.int64] | None = field(default=None, repr=False)
    _kind: Kind | None = field(default=None, repr=False)

    @property
    def pairs(self) -> NDArray[np.int64]:
        """The pairs, ``(k, 2)``: a row of x and a row of y each, by x."""
        if self._pairs is not None:
            return self._pairs
        x = np.flatnonzero(self.y_of_x >= 0)
        return np.stack([x, self.y_of_x[x]], axis=1)

    @property
    def total_cost(self) -> float:
        """Sum of the costs of all pairs."""
        return float(self.summary.get("total_cost", self.mean_cost * self.num_pairs))

    @property
    def num_pairs(self) -> int:
        """Number of pairs: the size of the smaller side, unless items may stay single or have several partners."""
        if self._pairs is not None:
            return len(self._pairs)
        return int(np.count_nonzero(self.y_of_x >= 0))

    @property
    def objective(self) -> float:
        """What was minimised: the pairs' costs, and half of ``unmatched_cost`` for each single where that was given."""
        return float(self.summary.get("objective", self.total_cost))

    @property
    def termination(self) -> str:
        """Why it ended."""
        return str(self.summary["termination"])

    @property
    def gap_estimate(self) -> dict[str, float] | None:
        """An estimate of ``gap`` from a random sample of x (``certify="sampled"``), where no gap is proved, or a far larger one: ``value``, the ends
        ``low`` and ``high`` of its confidence interval, ``confidence`` and the number of ``rows`` looked at. It is no proof."""
        estimate: dict[str, float] | None = self.summary.get("gap_estimate")
        return estimate

    @property
    def exact(self) -> bool:
        """Whether it is known to be optimal, up to rounding."""
        return bool(self.summary["exact"])

    def __repr__(self) -> str:
        proof = "" if self.gap is None else _above_optimum(self.mean_cost, self.gap, ", at most {} above the optimum")
        if (estimate := self.gap_estimate) is not None:
            confidence = f"with {100 * estimate['confidence']:.3g}% confidence"
            proof += _above_optimum(self.mean_cost, estimate["high"], f", {confidence} at most {{}} above the optimum (estimated)")
        return f"Pairing({self.num_pairs} pairs, mean cost {self.mean_cost:.6g}, {self.termination}{proof})"

    def to_scipy(self) -> coo_array:
        """The coupling as a sparse matrix, ``(n, m)``, of total mass 1.

        Examples
        --------
        >>> import himacl, numpy as np
        >>> x = np.float32([[0.0], [1.0]])
        >>> himacl.pair(x, x).to_scipy().toarray()
        array([[0.5, 0. ],
               [0. , 0.5]])
        """
        from scipy.sparse import coo_array

        pairs = self.pairs
        mass = np.full(len(pairs), 1.0 / max(len(pairs), 1))
        return coo_array((mass, (pairs[:, 0], pairs[:, 1])), shape=(len(self.y_of_x), len(self.x_of_y)))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes a folder as the command line's: ``permutation.npy``, ``summary.json``, ``potentials.npy``, and what a
        later ``warm_start`` takes up.

        ``himacl pair --warm-start FOLDER`` goes on from it, and :func:`load` reads it. The points are not written, so that
        ``himacl explore`` and ``himacl explain`` cannot open it: they want a folder of ``himacl pair``; :class:`Explainer` does in their
        place. A folder that holds something is refused.
        """
        if self.num_pairs != min(np.count_nonzero(self.y_of_x >= 0), np.count_nonzero(self.x_of_y >= 0)):
            raise InputError("a matching with several partners of an item is not written\nhint: np.save(path, result.pairs)")
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise FileError(f"output folder `{folder}` exists and is not empty\nhint: choose another one")
        folder.mkdir(parents=True, exist_ok=True)
        partners = np.where(self.y_of_x < 0, np.int64(_UNMATCHED), self.y_of_x).astype(np.uint32)
        _write(folder / "permutation.npy", lambda file: np.save(file, partners))
        if self._warm_start is not None:
            warm_start = self._warm_start
            _write(folder / "warm-start.safetensors", lambda file: file.write(warm_start))
        if self.potentials is not None:
            both = _rounded_down(np.concatenate(self.potentials))
            _write(folder / "potentials.npy", lambda file: np.save(file, both))
        text = json.dumps({"command": "pair", **self.summary}, indent=2) + "\n"
        _write(folder / "summary.json", lambda file: file.write(text.encode()))


def _rounded_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """float32 that is no larger, so that potentials still prove what they proved."""
    rounded = values.astype(np.float32)
    return np.where(rounded > values, np.nextafter(rounded, np.float32(-np.inf)), rounded).astype(np.float32)


def _write(path: Path, content: Callable[[IO[bytes]], Any]) -> None:
    """A file that appears whole or not at all."""
    temporary = path.with_name(f".himacl-{path.name}-{secrets.token_hex(8)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                content(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise FileError(f"cannot write `{path}`: {error.strerror}") from error


def load(folder: str | os.PathLike[str]) -> Pairing:
    """Reads a pairing that :meth:`Pairing.save` or ``himacl pair`` wrote.

    Of ``himacl pair --max-cost-quantile`` or ``--keep-by-margin`` it has all pairs; those that were kept are in ``pairs.parquet``, and how
    many in ``summary["rejection"]``. A matching with several partners of an item (``--x-capacity``) is in ``pairs.parquet`` alone, the kept
    pairs of it, which needs pyarrow.

    Examples
    --------
    >>> import himacl, numpy as np, tempfile
    >>> x = np.float32([[0.0], [1.0], [5.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     himacl.pair(x, x[::-1]).save(folder)
    ...     himacl.load(folder).y_of_x
    array([2, 1, 0])
    """
    folder = Path(folder)
    try:
        summary = json.loads((folder / "summary.json").read_text())
        several = not (folder / "permutation.npy").exists() and (folder / "pairs.parquet").exists()
        partners = None if several else np.load(folder / "permutation.npy", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise FileError(f"`{folder}` is not a finished pairing: {error}\nhint: name a folder that Pairing.save or `himacl pair` wrote") from error
    if partners is None:
        return _listed(folder, summary)
    if partners.dtype != np.uint32 or partners.ndim != 1 or summary.get("command") != "pair" or len(partners) != summary["n"]:
        raise FileError(f"`{folder}` is not a finished pairing: permutation.npy and summary.json do not fit")
    y_of_x = np.where(partners == _UNMATCHED, -1, partners.astype(np.int64))
    x_of_y = np.full(summary["m"], -1, dtype=np.int64)
    paired = y_of_x >= 0
    x_of_y[y_of_x[paired]] = np.flatnonzero(paired)
    warm_start = folder / "warm-start.safetensors"
    return replace(
        _saved(folder, summary, y_of_x, x_of_y), _warm_start=warm_start.read_bytes() if warm_start.exists() else None
    )


def _listed(folder: Path, summary: dict[str, Any]) -> Pairing:
    """A matching with several partners of an item, from the list of its pairs."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise FileError(
            f"`{folder}` is a matching with several partners of an item, whose pairs are in pairs.parquet, and pyarrow is not there to read it\n"
            f"hint: pip install pyarrow"
        ) from error
    table = parquet.read_table(folder / "pairs.parquet", columns=["x_index", "y_index"])
    pairs = np.stack([table.column(at).to_numpy().astype(np.int64) for at in range(2)], axis=1)
    y_of_x, x_of_y = np.full(summary["n"], -1, dtype=np.int64), np.full(summary["m"], -1, dtype=np.int64)
    # Of several partners the first: assigned last.
    y_of_x[pairs[::-1, 0]] = pairs[::-1, 1]
    x_of_y[pairs[::-1, 1]] = pairs[::-1, 0]
    return replace(_saved(folder, summary, y_of_x, x_of_y), _pairs=pairs)


def _saved(folder: Path, summary: dict[str, Any], y_of_x: NDArray[np.int64], x_of_y: NDArray[np.int64]) -> Pairing:
    """A pairing as its folder has it."""
    return Pairing(
        y_of_x=y_of_x,
        x_of_y=x_of_y,
        mean_cost=summary["mean_cost"],
        lower_bound=summary.get("dual_bound"),
        gap=summary.get("relative_gap"),
        potentials=_saved_potentials(folder, summary),
        summary=summary,
    )


def _saved_potentials(folder: Path, summary: dict[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if not (folder / "potentials.npy").exists():
        return None
    both = np.load(folder / "potentials.npy", allow_pickle=False).astype(np.float64)
    return both[: summary["n"]], both[summary["n"] :]


def pair(
    x: Any,
    y: Any,
    *,
    cost: Cost = "sqeuclidean",
    quality: Quality = "balanced",
    certify: bool | Literal["sampled"] = False,
    time_limit: float | None = None,
    warm_start: Pairing | str | os.PathLike[str] | Any | None = None,
    unmatched_cost: float | None = None,
    num_pairs: int | None = None,
    x_capacity: Any = 1,
    y_capacity: Any = 1,
    groups: tuple[Any, Any] | None = None,
    forbidden: Any | None = None,
    device: str = "auto",
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = None,
    **settings: Any,
) -> Pairing:
    """Pairs two sets of points one to one, at the least total cost, by hierarchical refinement.

    With as many x as y the result is a bijection; otherwise every point of the smaller side gets a partner of its own.

    Parameters
    ----------
    x : array, shape (n, d)
        The source points: a numpy array or memmap, or anything with ``__array__`` or ``__dlpack__`` (torch, jax).
        float32, float16 and bfloat16 in C order are read where they lie; other numbers are copied once to float32.
        Never changed.
    y : array, shape (m, d)
        The target points.
    cost : {'sqeuclidean', 'euclidean', 'cosine', 'neg-dot'}
        What a pair costs.
    quality : {'fast', 'balanced', 'best'}
        How much work to spend. ``balanced`` is as a rule within 0.01% of the optimum up to 16,384 points a side, ``best``
        optimal up to 65,536.
    certify : bool or 'sampled'
        Prove how far the result is above the optimum at most: ``lower_bound``, ``gap`` and ``potentials``.
        O(n m d) time in more than four dimensions. ``"sampled"``: where nothing is proved, estimate it from a sample of x
        (``gap_estimate``).
    time_limit : float, optional
        Stop improving after this many seconds; the first pairing is always finished.
    warm_start : Pairing, path, or array of int, shape (n,), optional
        Where to start: an earlier result on the same rows, its folder, or the partner of each x.
    unmatched_cost : float, optional
        An item stays single where no pair is worth it: two singles together cost this much, half of it each. Outliers then shift no
        other pair.
    num_pairs : int, optional
        The best matching of exactly so many pairs; the other items stay single. Exact up to 65,536 places a side, beyond that the price
        of singles is sought. Not with ``unmatched_cost`` or ``groups``.
    x_capacity, y_capacity : int or array of int, optional
        How many partners an item may have: one number, or one for each. Several on one side only.
    groups : tuple of two arrays, optional
        The category of each x and of each y, numbers or text: pairs are made inside categories only, each a problem of its own.
    forbidden : array of int, shape (k, 2), optional
        Pairs that may not be: a row of x and a row of y each.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; a GPU needs a package that was built with feature ``cuda``.
    seed : int
        Seed of every random choice. On the CPU the same seed gives the same bits, whatever the number of threads.
    threads : int, optional
        Worker threads; one for each core by default.
    progress : bool or callable, optional
        ``None``: a tqdm bar on a terminal or in a notebook for calls over two seconds, if tqdm is there; ``False``:
        nothing; a function gets each event as a dictionary.
    **settings
        ``max_rank``, ``leaf_size``, ``polish_block_size``, ``max_sweeps``, ``exact_limit``, ``max_rounds``: see the solver's documentation.

    Returns
    -------
    Pairing

    Raises
    ------
    InputError
        Also a ``ValueError``: shapes that do not fit, NaN or infinite values, zero vectors under the cosine cost, a setting
        outside its range.
    KeyboardInterrupt
        After Ctrl-C, as a rule within a second; nothing is kept.

    Notes
    -----
    Memory is O((n + m) d): the n by m matrix never exists. The method is Hierarchical Refinement (Halmos et al., ICML 2025)
    with exact leaves, overlapping sweeps and, where n allows, an exact end.

    Examples
    --------
    >>> import himacl, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(1000, 8)).astype(np.float32)
    >>> order = rng.permutation(1000)
    >>> result = himacl.pair(x, x[order], certify=True)
    >>> result.mean_cost
    0.0
    >>> bool((order[result.y_of_x] == np.arange(1000)).all())
    True

    Two of each side lie far off, and stay single:

    >>> x = np.float32([[0], [1], [2], [3], [100], [101]])
    >>> y = np.float32([[-100], [-101], [3], [2], [1], [0]])
    >>> himacl.pair(x, y, unmatched_cost=5.0).y_of_x
    array([ 5,  4,  3,  2, -1, -1])
    >>> himacl.pair(x, y, num_pairs=4).pairs.tolist()
    [[0, 5], [1, 4], [2, 3], [3, 2]]
    """
    from ._matching import is_plain, kind_of, pairing_of

    known_settings(settings, "pair", _SETTINGS, _ARGUMENTS)
    settings = {name: None if value is None else whole(value, name) for name, value in settings.items()}
    one_of(quality, "quality", ("fast", "balanced", "best"))
    time_limit = None if time_limit is None else number(time_limit, "time_limit")
    if unmatched_cost is not None and number(unmatched_cost, "unmatched_cost") < 0 and cost != "neg-dot":
        raise InputError(
            f"unmatched_cost is {unmatched_cost}, expected 0 or more: the cost {cost} is never negative, so no pair would be made\n"
            f"hint: two singles together cost so much; a pair that costs more is not made"
        )
    if not isinstance(certify, (bool, np.bool_)) and certify != "sampled":
        raise InputError(f"certify is {certify!r}, expected True, False or 'sampled'")
    rows = (as_rows(x, "x", apart=True), as_rows(y, "y", apart=True))
    terms = (unmatched_cost, num_pairs, x_capacity, y_capacity, forbidden, groups)
    if not is_plain(*terms):
        if warm_start is not None:
            raise InputError("a warm start is for one-to-one pairings\nhint: leave out warm_start, or what else was asked of the matching")
        if str(device) not in ("auto", "cpu"):
            raise InputError(f"device is {device}, but matchings that are not one to one run on the CPU\nhint: device='auto'")
        if certify == "sampled":
            raise InputError("certify='sampled' is for one-to-one pairings\nhint: certify=True")
        limits = {"quality": quality, "seed": _seed(seed), "time_limit": time_limit, "certify": bool(certify), **settings}
        kind, names = kind_of(*terms, sizes=(len(rows[0]), len(rows[1])))
        found = _himacl.match_points(*rows, str(cost), json.dumps(limits), kind, _threads(threads), listener(progress))
        more = {"cost": cost, "seed": seed, "quality": quality, "d": rows[0].shape[1], "priced": unmatched_cost is not None}
        return replace(pairing_of(found, more, names), _kind=kind)
    judged = {"certify": False, "estimate_gap": True} if certify == "sampled" else {"certify": bool(certify)}
    params = {"quality": quality, "seed": _seed(seed), "time_limit": time_limit, **judged, **settings}
    found = _himacl.pair(
        *rows,
        str(cost),
        json.dumps(params),
        _earlier(warm_start, len(rows[0])),
        str(device),
        _threads(threads),
        listener(progress),
    )
    potentials = (found["f"], found["g"]) if "f" in found else None
    summary = {"cost": cost, "seed": seed, "quality": quality, **json.loads(found["summary"])}
    return Pairing(
        y_of_x=found["y_of_x"],
        x_of_y=found["x_of_y"],
        mean_cost=found["mean_cost"],
        lower_bound=summary["dual_bound"],
        gap=summary["relative_gap"],
        potentials=potentials,
        summary=summary,
        _warm_start=found["warm_start"],
    )


def _earlier(warm_start: Any, n: int) -> bytes | NDArray[np.int64] | None:
    """Where to start, as the compiled module takes it."""
    if warm_start is None:
        return None
    if isinstance(warm_start, (str, os.PathLike)):
        warm_start = load(warm_start)
    if isinstance(warm_start, Pairing):
        return warm_start._warm_start if warm_start._warm_start is not None else warm_start.y_of_x
    partners = as_integers(warm_start, "warm_start")
    if partners.shape != (n,):
        raise InputError(f"warm_start has shape {partners.shape}, expected ({n},): the partner of each x")
    return partners
