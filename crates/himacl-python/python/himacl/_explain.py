"""Why two items are partners."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from . import _himacl
from ._arrays import as_integers, as_rows
from ._errors import InputError
from ._pair import Cost, Pairing, _threads
from ._progress import Progress, listener

__all__ = ["Explainer"]


class Explainer:
    """Explains pairs: what each item might have had instead, what carries the match, what would change it.

    Parameters
    ----------
    x, y : array-like, shapes (n, d) and (m, d)
        The points as they were paired: for a trained map, both sides of :meth:`himacl.Aligner.joint`, with ``cost="cosine"``.
    pairing : Pairing or array of int, shape (n,)
        Who is paired with whom; -1 for no partner. The potentials of a certified :class:`Pairing` are used; else they are
        found by a short solve that starts from it.
    cost : str
        The cost that the pairing makes small.
    x_texts, y_texts : sequence of str or None, optional
        Texts of the items, whose words name directions.

    Examples
    --------
    >>> import himacl, numpy as np
    >>> x = np.float32([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0], [4.0, 4.0]])
    >>> explainer = himacl.Explainer(x, x + 0.1, [0, 1, 2, 3])
    >>> found = explainer.explain(x=2)
    >>> found["y"], round(found["cost"], 2), found["nearest_of_x"]["item"]
    (2, 0.02, 2)
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        pairing: Pairing | Any,
        *,
        cost: Cost = "sqeuclidean",
        x_texts: Sequence[str | None] | None = None,
        y_texts: Sequence[str | None] | None = None,
        seed: int = 0,
        threads: int | None = None,
        progress: Progress = None,
    ) -> None:
        rows = (as_rows(x, "x"), as_rows(y, "y"))
        potentials = None
        if isinstance(pairing, Pairing):
            y_of_x = pairing.y_of_x
            if pairing.potentials is not None:
                potentials = (pairing.potentials[0].tolist(), pairing.potentials[1].tolist())
        else:
            y_of_x = as_integers(pairing, "pairing")
        self._sizes = (len(rows[0]), len(rows[1]))
        texts: list[str | None] = []
        for name, given, size in (("x_texts", x_texts, self._sizes[0]), ("y_texts", y_texts, self._sizes[1])):
            if given is not None and len(given) != size:
                raise InputError(f"{name} has {len(given)} texts, expected {size}: one for each row")
            texts.extend([None] * size if given is None else given)
        if len(y_of_x) != self._sizes[0]:
            raise InputError(f"pairing has {len(y_of_x)} entries, expected {self._sizes[0]}: one for each row of x")
        self._inner = _himacl.Explainer(*rows, y_of_x, cost, potentials, texts, seed, _threads(threads), listener(progress))
        self._threads = _threads(threads)

    def explain(self, *, x: int | None = None, y: int | None = None, k: int = 5) -> dict[str, Any] | None:
        """Explains the pair of a row of x, or of a row of y; ``None`` where it has no partner.

        Returns
        -------
        dict
            ``x``, ``y``, ``cost``, ``reduced_cost``, ``margin`` (by how much at least the whole pairing gets dearer without this
            pair), ``nearest_of_x``, ``nearest_of_y``, ``runners_up_of_x``, ``runners_up_of_y``, ``score`` and the ``directions``
            whose contributions add up to it, ``removals`` (single x items without which x would have another partner) and the
            ``path`` from x to y.
        """
        if (x is None) == (y is None):
            raise InputError("expected a row of x or a row of y, one of them")
        of_y = x is None
        row = y if x is None else x
        size = self._sizes[int(of_y)]
        if row is None or not 0 <= row < size:
            raise InputError(f"{'y' if of_y else 'x'} is {row}, expected a row from 0 to {size - 1}")
        found = self._inner.explain(row, of_y, k, self._threads)
        return None if found is None else dict(json.loads(found))
