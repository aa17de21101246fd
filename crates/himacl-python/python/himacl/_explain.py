"""Why two items are partners."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from . import _himacl
from ._arrays import as_integers, as_rows
from ._errors import InputError
from ._matching import Kind
from ._arguments import seed as _seed
from ._arguments import threads as _threads
from ._pair import Cost, Pairing
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
        found by a short solve that starts from it. A :class:`Pairing` may be of any kind that :func:`pair` makes: with several
        partners, single items, categories, forbidden pairs.
    cost : str, optional
        The cost that the pairing makes small: that of a :class:`Pairing`, else squared Euclidean.
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

    With a price of singles an item may stay alone; all its partners and what it might have had are told, too:

    >>> matching = himacl.pair(x, x[:3] + 0.1, unmatched_cost=1.0, certify=True)
    >>> explainer = himacl.Explainer(x, x[:3] + 0.1, matching)
    >>> len(explainer.explain_all(x=2)), explainer.single(x=3)["nearest"]["item"]
    (1, 2)
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        pairing: Pairing | Any,
        *,
        cost: Cost | None = None,
        x_texts: Sequence[str | None] | None = None,
        y_texts: Sequence[str | None] | None = None,
        seed: int = 0,
        threads: int | None = None,
        progress: Progress = None,
    ) -> None:
        rows = (as_rows(x, "x"), as_rows(y, "y"))
        potentials, matching = None, None
        if isinstance(pairing, Pairing):
            made_for = pairing.summary.get("cost", cost)
            if made_for in ("matrix", "candidates"):
                raise InputError("the pairing is one of given costs, which points do not explain\nhint: himacl.pair(x, y)")
            if cost not in (None, made_for):
                raise InputError(f"cost is {cost}, but the pairing was made for {made_for}\nhint: leave out cost")
            cost, y_of_x = made_for, pairing.y_of_x
            if pairing._kind is not None:
                matching = (pairing.pairs, _priced(pairing, pairing._kind))
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
        self._threads = _threads(threads)
        self._inner = _himacl.Explainer(
            *rows, y_of_x, matching, cost or "sqeuclidean", potentials, texts, _seed(seed), self._threads, listener(progress)
        )

    def explain(self, *, x: int | None = None, y: int | None = None, k: int = 5) -> dict[str, Any] | None:
        """Explains the pair of a row of x, or of a row of y; ``None`` where it has no partner. Of several partners the first.

        Returns
        -------
        dict
            ``x``, ``y``, ``cost``, ``reduced_cost``, ``margin`` (by how much at least the whole pairing gets dearer without this
            pair), ``nearest_of_x``, ``nearest_of_y``, ``runners_up_of_x``, ``runners_up_of_y``, ``score`` and the ``directions``
            whose contributions add up to it, ``removals`` (single x items without which x would have another partner) and the
            ``path`` from x to y.
        """
        found = self.explain_all(x=x, y=y, k=k)
        return found[0] if found else None

    def explain_all(self, *, x: int | None = None, y: int | None = None, k: int = 5) -> list[dict[str, Any]]:
        """Explains all pairs of a row of x, or of a row of y, as :meth:`explain` does one; ``other_partners_of_x`` and
        ``other_partners_of_y`` name the partners that each has besides."""
        row, of_y = self._item(x, y)
        return list(json.loads(self._inner.explain(row, of_y, k, self._threads)))

    def single(self, *, x: int | None = None, y: int | None = None, k: int = 5) -> dict[str, Any] | None:
        """What a row of x, or of y, that has no partner might have had; ``None`` where it has one.

        Returns
        -------
        dict
            ``side``, ``item``, ``nearest`` (the item of the other side at the least cost, whoever has it), ``runners_up`` and
            ``margin``: by how much at least the whole pairing gets dearer with a partner for it (``None``: it may have none).
        """
        row, of_y = self._item(x, y)
        found = self._inner.single(row, of_y, k, self._threads)
        return None if found is None else dict(json.loads(found))

    def _item(self, x: int | None, y: int | None) -> tuple[int, bool]:
        if (x is None) == (y is None):
            raise InputError("expected a row of x or a row of y, one of them")
        of_y = x is None
        row = y if x is None else x
        size = self._sizes[int(of_y)]
        if row is None or not 0 <= row < size:
            raise InputError(f"{'y' if of_y else 'x'} is {row}, expected a row from 0 to {size - 1}")
        return row, of_y


def _priced(pairing: Pairing, kind: Kind) -> Kind:
    """The same kind of matching, where a number of pairs is said by the price of singles that goes with it."""
    price = pairing.summary["unmatched_cost"]
    return (price, kind[1] if price is None else None, *kind[2:])
