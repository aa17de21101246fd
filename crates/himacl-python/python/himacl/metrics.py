"""Metrics of maps and pairings whose true partners are known; computed by tiles, never the whole matrix."""

from __future__ import annotations

import json
from typing import Any

from . import _himacl
from ._arrays import as_integers, as_rows
from ._errors import InputError
from ._arguments import threads as _threads

__all__ = ["foscttm", "pairing_accuracy", "retrieval", "sinkhorn_divergence"]


def retrieval(x: Any, y: Any, *, csls_neighbours: int = 0, threads: int | None = None) -> dict[str, float]:
    """Retrieval in both directions by inner products; row i of ``x`` belongs to row i of ``y``.

    Cosine retrieval needs unit rows. With ``csls_neighbours`` above 0, scores are corrected for hubs by so many neighbours.

    Returns
    -------
    dict
        ``image_to_text_R@1`` and so on for x to y, ``text_to_image_R@1`` and so on for y to x (open_clip's names), mean and
        median ranks, ``foscttm`` and ``distinct_nearest``.

    Examples
    --------
    >>> import himacl, numpy as np
    >>> himacl.metrics.retrieval(np.eye(4), np.eye(4))["image_to_text_R@1"]
    1.0
    """
    rows = (as_rows(x, "x"), as_rows(y, "y"))
    if rows[0].shape != rows[1].shape:
        raise InputError(f"x has shape {rows[0].shape} and y {rows[1].shape}, expected the same: row i belongs to row i")
    return dict(json.loads(_himacl.retrieval(*rows, csls_neighbours, _threads(threads))))


def foscttm(x: Any, y: Any, *, threads: int | None = None) -> float:
    """Fraction of samples closer than the true match, mean of both directions; 0 is perfect, 0.5 is chance.

    Examples
    --------
    >>> import himacl, numpy as np
    >>> himacl.metrics.foscttm(np.eye(4), np.eye(4))
    0.0
    """
    return retrieval(x, y, threads=threads)["foscttm"]


def pairing_accuracy(x: Any, y: Any, truth: Any, pairing: Any = None, *, threads: int | None = None) -> dict[str, float]:
    """How many true partners are found by nearest neighbours, mutual ones and, where given, a pairing.

    ``truth (n,)`` is the true partner of each x; ``pairing (n,)`` the one found, -1 for none.
    """
    rows = (as_rows(x, "x"), as_rows(y, "y"))
    found = None if pairing is None else as_integers(pairing, "pairing")
    return dict(json.loads(_himacl.pairing_accuracy(*rows, as_integers(truth, "truth"), found, _threads(threads))))


def sinkhorn_divergence(a: Any, b: Any, *, threads: int | None = None) -> float:
    """The debiased entropic distance between two clouds of points; 0 for equal ones."""
    return float(_himacl.sinkhorn_divergence(as_rows(a, "a"), as_rows(b, "b"), _threads(threads)))
