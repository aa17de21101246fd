"""Optimal maps between two unpaired sets of one space."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _himacl
from ._arrays import as_rows
from ._errors import InputError
from ._estimator import Fitted
from ._arguments import seed as _seed
from ._arguments import threads as _threads
from ._progress import Progress, listener


class ConvexGradient(Fitted[_himacl.ConvexGradient]):
    """The optimal transport map T between two unpaired sets of one space, for the squared distance.

    T is the gradient of a convex function, found by the dual problem: nothing is paired. It maps rows that were never seen,
    and its inverse is exact. Where rows that were held out say that bends add nothing, T is the Gaussian map.

    Parameters
    ----------
    units : int
        Units (bends) for each dimension.
    steps : int
        Steps of the optimiser.
    batch_size : int
        Rows of either side in a step; all where there are no more. Large batches matter.
    seed, threads, progress :
        As for :func:`himacl.pair`.

    Attributes
    ----------
    bends_ : bool
        Whether T bends, or is the Gaussian map.
    gain_, gain_standard_error_ : float
        By how much the dual value of the bent map is below that of the Gaussian map on rows held out, in the units of the
        squared distance, and the standard error of that.

    Examples
    --------
    >>> import himacl, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = (rng.normal(size=(2000, 2)).astype(np.float32) for _ in range(2))
    >>> y = y + 2 * np.tanh(3 * y)                      # what the map is to find
    >>> map = himacl.ConvexGradient(steps=300, units=4).fit(x, y)
    >>> map.bends_
    True
    >>> bool(np.abs(map.inverse_transform(map.transform(x)) - x).max() < 1e-2)
    True
    """

    bends_: bool
    gain_: float
    gain_standard_error_: float
    n_features_in_: int
    _compiled = {"_map": _himacl.ConvexGradient}

    def __init__(
        self,
        *,
        units: int = 1,
        steps: int = 1000,
        batch_size: int = 4096,
        seed: int = 0,
        threads: int | None = None,
        progress: Progress = None,
    ) -> None:
        self.units = units
        self.steps = steps
        self.batch_size = batch_size
        self.seed = seed
        self.threads = threads
        self.progress = progress

    def fit(self, X: Any, y: Any = None) -> ConvexGradient:
        """Finds the map from the rows of ``X (n, d)`` to those of ``y (m, d)``; their order and numbers do not matter."""
        if y is None:
            raise InputError("fit takes both sides: fit(x, y)")
        units, steps = _positive(self.units, "units"), _positive(self.steps, "steps")
        batch_size = _positive(self.batch_size, "batch_size")
        rows = (as_rows(X, "X"), as_rows(y, "y"))
        self._map, self.bends_, gain, error = _himacl.fit_convex_gradient(
            *rows, units, steps, batch_size, _seed(self.seed), _threads(self.threads), listener(self.progress)
        )
        # The dual value is that of |y|^2 / 2.
        self.gain_, self.gain_standard_error_ = 2.0 * gain, 2.0 * error
        self.n_features_in_ = rows[0].shape[1]
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """T of each row, ``(n, d)``."""
        return self._fitted().forward(as_rows(X, "X"), _threads(self.threads))

    def inverse_transform(self, X: Any) -> NDArray[np.float32]:
        """The rows whose images these are, ``(m, d)``."""
        return self._fitted().backward(as_rows(X, "X"), _threads(self.threads))

    def potential(self, X: Any) -> NDArray[np.float32]:
        """The convex function whose gradient T is, ``(n,)``, up to a constant."""
        return self._fitted().potential(as_rows(X, "X"), _threads(self.threads))

    def fit_transform(self, X: Any, y: Any = None) -> NDArray[np.float32]:
        """:meth:`fit`, then :meth:`transform`."""
        return self.fit(X, y).transform(X)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the map as a safetensors file."""
        self._fitted().save(Path(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ConvexGradient:
        """The map of a file that :meth:`save` wrote."""
        loaded = cls()
        loaded._map = _himacl.ConvexGradient.load(Path(path))
        loaded.n_features_in_ = loaded._map.dimension()
        return loaded


def _positive(value: Any, name: str) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} is {value!r}, expected a whole number of at least 1")
    return int(value)
