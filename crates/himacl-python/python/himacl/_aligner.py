"""A map between two spaces, from a few known pairs or none."""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import _himacl
from ._arrays import as_pairs, as_rows
from ._errors import InputError
from ._estimator import Fitted
from ._arguments import seed as _seed
from ._arguments import threads as _threads
from ._progress import Progress, listener

Mode = Literal["shared-space", "anchors", "unpaired"]


class Mapper(Fitted[_himacl.Map]):
    """What a fitted map does, however it was found."""

    _compiled = {"_map": _himacl.Map, "_anchors_only": _himacl.Map}
    threads: int | None

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Source rows among the target's embeddings: unit rows, ``(n, e)``, to be compared with targets by cosine."""
        return self._fitted().forward(as_rows(X, "X"), _threads(self.threads))

    def inverse_transform(self, X: Any) -> NDArray[np.float32]:
        """Target rows among the source's embeddings: unit rows, ``(m, d)``; by a map of its own."""
        return self._fitted().backward(as_rows(X, "X"), _threads(self.threads))

    def transform_prepared(self, X: Any) -> NDArray[np.float32]:
        """Source rows mapped to the prepared space (centred, projected, partly whitened), where comparisons are sharper."""
        return self._fitted().forward_prepared(as_rows(X, "X"), _threads(self.threads))

    def target_prepared(self, Y: Any) -> NDArray[np.float32]:
        """Target rows in the prepared space, to be compared with :meth:`transform_prepared`."""
        return self._fitted().target_prepared(as_rows(Y, "Y"), _threads(self.threads))

    def joint(self, X: Any, Y: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both sides in coordinates whose inner products are the scores, the mean of both directions' cosines."""
        return self._fitted().joint(as_rows(X, "X"), as_rows(Y, "Y"), _threads(self.threads))


class Aligner(Mapper):
    """Aligns two spaces of embeddings and pairs their items one to one.

    Parameters
    ----------
    mode : {'anchors', 'unpaired', 'shared-space'}
        What is known: a few pairs; none, or very few; or that one model embeds both sides together.
    seed : int
        Seed of every random choice.
    threads : int, optional
        Worker threads; one for each core by default.
    progress : bool or callable, optional
        As for :func:`himacl.pair`.
    settings : dict, optional
        The aligner's settings by name, such as ``{"folds": 4, "unpaired": {"starts": 2}}``: see the recipes' ``[alignment]``.

    Attributes
    ----------
    pairs_ : ndarray of int64, shape (k, 2)
        The known pairs, then those found, by rows of both sides.
    confidence_ : ndarray of float32, shape (k,)
        How far each is to be trusted; only the order counts. Infinite for known pairs.
    report_ : dict
        How the alignment came about; ``report_["unpaired"]["shares_too_little"]`` says where it is not to be trusted.

    Examples
    --------
    >>> import himacl, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(300, 16)).astype(np.float32)
    >>> y = x @ np.linalg.qr(rng.normal(size=(16, 16)))[0].astype(np.float32)
    >>> aligner = himacl.Aligner().fit(x, y, anchors=[(i, i) for i in range(40)])
    >>> bool((aligner.pairs_[:, 0] == aligner.pairs_[:, 1]).mean() > 0.99)
    True
    """

    pairs_: NDArray[np.int64]
    confidence_: NDArray[np.float32]
    report_: dict[str, Any]
    n_features_in_: int

    def __init__(
        self,
        mode: Mode = "anchors",
        *,
        seed: int = 0,
        threads: int | None = None,
        progress: Progress = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.mode = mode
        self.seed = seed
        self.threads = threads
        self.progress = progress
        self.settings = settings

    def fit(self, X: Any, y: Any = None, *, anchors: Any = None) -> Aligner:
        """Aligns the source ``X (n, d)`` with the target ``y (m, e)``.

        ``anchors`` are the known pairs, ``(k, 2)``: a row of the source and a row of the target each.
        """
        if y is None:
            raise InputError("fit takes both sides: fit(x, y)")
        rows = (as_rows(X, "X"), as_rows(y, "y"))
        known = as_pairs(anchors, "anchors")
        if self.mode == "anchors" and known is None:
            raise InputError('no known pairs are given\nhint: fit(x, y, anchors=...), or mode="unpaired"')
        params = {**(self.settings or {}), "seed": _seed(self.seed)}
        found = _himacl.align(
            *rows, str(self.mode), known, json.dumps(params), _threads(self.threads), listener(self.progress)
        )
        self._map, pairs, confidence, report, self._anchors_only = found
        if known is not None and self.mode != "shared-space":
            pairs = np.concatenate([known, pairs])
            confidence = np.concatenate([np.full(len(known), np.inf, np.float32), confidence])
        self.pairs_, self.confidence_, self.report_ = pairs, confidence, json.loads(report)
        self.n_features_in_ = rows[0].shape[1]
        return self

    def fit_transform(self, X: Any, y: Any = None, *, anchors: Any = None) -> NDArray[np.float32]:
        """:meth:`fit`, then :meth:`transform`."""
        return self.fit(X, y, anchors=anchors).transform(X)
