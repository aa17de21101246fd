"""Couplings of whole data sets for training in PyTorch: what torchcfm's sampler does within a batch, over everything.

Needs PyTorch: ``pip install himacl[torch]``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ._errors import InputError
from ._pair import Pairing, pair

__all__ = ["OTPlanSampler", "PairedDataset"]


def _flat(x: torch.Tensor) -> torch.Tensor:
    return x.detach().reshape(len(x), -1)


class OTPlanSampler:
    """A drop-in for ``torchcfm.OTPlanSampler``: the same calls, an exact plan without the matrix of costs.

    ``method="exact"`` pairs by :func:`himacl.pair`, so that a batch may be as large as the data set; ``"sinkhorn"`` draws from
    the entropic plan of regularisation ``reg``.

    Parameters
    ----------
    method : {'exact', 'sinkhorn'}
        The plan.
    reg : float
        Regularisation, in units of the squared distance, for ``"sinkhorn"``.
    **settings
        Handed to :func:`himacl.pair`, such as ``quality="fast"``.

    Examples
    --------
    >>> import torch
    >>> from himacl.torch import OTPlanSampler
    >>> x0, x1 = OTPlanSampler("exact").sample_plan(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.1], [0.1]]), replace=False)
    >>> (x1 - x0).flatten().tolist()
    [0.1..., 0.1...]
    """

    def __init__(self, method: str = "exact", reg: float = 0.05, *, seed: int | None = None, num_threads: Any = None, warn: bool = True, normalize_cost: bool = False, **settings: Any) -> None:
        if method not in ("exact", "sinkhorn"):
            raise InputError(f"method is `{method}`, expected exact or sinkhorn")
        self.method = method
        self.reg = reg
        self.normalize_cost = normalize_cost
        self.settings = {"progress": False, **settings}
        self._rng = np.random.default_rng(seed)

    def pairing(self, x0: torch.Tensor, x1: torch.Tensor) -> Pairing:
        """The pairing of two clouds of any shape ``(n, *dim)``, by squared distance."""
        return pair(_flat(x0), _flat(x1), **self.settings)

    def get_map(self, x0: torch.Tensor, x1: torch.Tensor) -> np.ndarray[Any, Any]:
        """The plan as a matrix, ``(n, m)``, of mass 1: O(n m) memory; :meth:`sample_plan` does without."""
        if self.method == "exact":
            return np.asarray(self.pairing(x0, x1).to_scipy().toarray())
        from . import baselines

        x, y = _flat(x0).double(), _flat(x1).double()
        reg = self.reg * float(torch.cdist(x, y).square().max()) if self.normalize_cost else self.reg
        plan = baselines.sinkhorn(x, y, epsilon=reg, progress=False).to_dense().astype(np.float64)
        return np.asarray(plan / plan.sum())

    def _indices(self, x0: torch.Tensor, x1: torch.Tensor, replace: bool) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        size = len(x0)
        if self.method == "exact":
            pairs = self.pairing(x0, x1).pairs
            chosen = self._rng.choice(len(pairs), size=min(size, len(pairs)) if not replace else size, replace=replace)
            return pairs[chosen, 0], pairs[chosen, 1]
        return self.sample_map(self.get_map(x0, x1), size, replace)

    def sample_map(self, pi: np.ndarray[Any, Any], batch_size: int, replace: bool = True) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Draws pairs of indices from a plan."""
        p = pi.ravel() / pi.sum()
        chosen = self._rng.choice(pi.size, p=p, size=batch_size, replace=replace)
        i, j = np.divmod(chosen, pi.shape[1])
        return i, j

    def sample_plan(self, x0: torch.Tensor, x1: torch.Tensor, replace: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws pairs of items from the plan; with ``replace=False`` and ``"exact"``, each pair once."""
        i, j = self._indices(x0, x1, replace)
        return x0[i], x1[j]

    def sample_plan_with_labels(
        self,
        x0: torch.Tensor,
        x1: torch.Tensor,
        y0: torch.Tensor | None = None,
        y1: torch.Tensor | None = None,
        replace: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """As :meth:`sample_plan`, with the labels of the items drawn."""
        i, j = self._indices(x0, x1, replace)
        return x0[i], x1[j], None if y0 is None else y0[i], None if y1 is None else y1[j]

    def sample_trajectory(self, X: torch.Tensor) -> np.ndarray[Any, Any]:
        """Trajectories through the populations ``X (n, times, *dim)`` along the plans between neighbouring times."""
        indices = [np.arange(len(X))]
        for t in range(X.shape[1] - 1):
            here = indices[-1]
            if self.method == "exact":
                indices.append(self.pairing(X[:, t], X[:, t + 1]).y_of_x[here])
                continue
            plan = self.get_map(X[:, t], X[:, t + 1])
            indices.append(np.array([self._rng.choice(plan.shape[1], p=plan[i] / plan[i].sum()) for i in here]))
        return np.stack([X[:, t][index].numpy() for t, index in enumerate(indices)], axis=1)


class PairedDataset(Dataset[tuple[Any, ...]]):  # type: ignore[misc]
    """Pairs of a whole source and a whole target for a ``DataLoader``.

    The pairing is solved once, when the data set is made; :meth:`repair` solves it again, from where it was, after the source
    was drawn anew. Items are ``(x0[i], x1[j])``, and the labels where there are any.

    Parameters
    ----------
    x0 : tensor, shape (n, *dim), or None
        The source; ``None``: standard normal noise of the shape of ``x1``.
    x1 : tensor, shape (m, *dim)
        The target.
    y1 : tensor, optional
        Labels of the target.
    seed : int
        Seed of the noise.
    **settings
        Handed to :func:`himacl.pair`.

    Examples
    --------
    >>> import torch
    >>> from himacl.torch import PairedDataset
    >>> pairs = PairedDataset(None, torch.zeros(4, 2))
    >>> len(pairs), pairs[0][0].shape
    (4, torch.Size([2]))
    """

    def __init__(self, x0: torch.Tensor | None, x1: torch.Tensor, y1: torch.Tensor | None = None, *, seed: int = 0, **settings: Any) -> None:
        self.x1, self.y1 = x1, y1
        self.settings = settings
        self.seed = seed
        self.epoch = 0
        self._noise = x0 is None
        self.x0 = self._draw() if x0 is None else x0
        self.pairing = pair(_flat(self.x0), _flat(x1), **settings)
        self._pairs = torch.from_numpy(self.pairing.pairs)

    def _draw(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return torch.randn(self.x1.shape, generator=generator, dtype=self.x1.dtype)

    def set_epoch(self, epoch: int) -> None:
        """Draws the noise of another epoch and pairs it with the target; does nothing where a source was given."""
        if self._noise and epoch != self.epoch:
            self.epoch = epoch
            self.repair(self._draw())

    def repair(self, x0: torch.Tensor, *, warm: bool = False) -> None:
        """Pairs the target with another source; ``warm`` starts from the pairing there is, for a source that moved a little."""
        self.x0 = x0
        self.pairing = pair(_flat(x0), _flat(self.x1), warm_start=self.pairing if warm else None, **self.settings)
        self._pairs = torch.from_numpy(self.pairing.pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        i, j = self._pairs[index]
        return (self.x0[i], self.x1[j]) if self.y1 is None else (self.x0[i], self.x1[j], self.y1[j])

    def __getitems__(self, indices: list[int]) -> list[tuple[Any, ...]]:
        i, j = self._pairs[torch.as_tensor(indices)].unbind(1)
        columns = (self.x0[i], self.x1[j]) if self.y1 is None else (self.x0[i], self.x1[j], self.y1[j])
        return list(zip(*columns, strict=True))

    def batches(self, batch_size: int, *, seed: int = 0) -> Iterator[tuple[Any, ...]]:
        """One epoch of shuffled batches, without the overhead of a ``DataLoader``."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        for start in range(0, len(self), batch_size):
            i, j = self._pairs[order[start : start + batch_size]].unbind(1)
            yield (self.x0[i], self.x1[j]) if self.y1 is None else (self.x0[i], self.x1[j], self.y1[j])
