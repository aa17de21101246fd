"""Pairing cells of two AnnData objects: slices, time points, modalities.

Needs anndata: ``pip install himacl[anndata]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._errors import InputError
from ._pair import Pairing
from ._pair import pair as _pair

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["pair", "transfer"]


def _representation(data: AnnData, use_rep: str | None, name: str) -> Any:
    """The rows that are paired: ``obsm[use_rep]``, or ``X``."""
    if use_rep is None or use_rep == "X":
        rows = data.X
        return rows.toarray() if hasattr(rows, "toarray") else rows
    if use_rep not in data.obsm:
        raise InputError(f"{name}.obsm has no `{use_rep}`; it has: {', '.join(data.obsm) or 'nothing'}\nhint: scanpy.pp.pca({name}) makes X_pca")
    return np.asarray(data.obsm[use_rep])


def pair(a: AnnData, b: AnnData, *, use_rep: str | None = "X_pca", key: str = "himacl", **settings: Any) -> Pairing:
    """Pairs the cells of ``a`` with those of ``b`` and writes the partners back.

    Parameters
    ----------
    a, b : AnnData
        The two sides. Their representations must be of one space: PCA of both together, or an integrated embedding.
    use_rep : str, optional
        The key in ``obsm`` by which cells are compared; ``"X"`` or ``None`` for the expression itself.
    key : str
        ``a.obs[f"{key}_partner"]`` gets the partner's name (missing where a cell stays single),
        ``a.obs[f"{key}_partner_index"]`` its row in ``b``, -1 for none; the same the other way round; ``a.uns[key]`` the figures.
    **settings
        Handed to :func:`himacl.pair`.

    Returns
    -------
    Pairing
    """
    found = _pair(_representation(a, use_rep, "a"), _representation(b, use_rep, "b"), **settings)
    for data, other, partners in ((a, b, found.y_of_x), (b, a, found.x_of_y)):
        names = np.asarray(other.obs_names, dtype=object)[np.maximum(partners, 0)]
        names[partners < 0] = None
        data.obs[f"{key}_partner"] = names
        data.obs[f"{key}_partner_index"] = partners
        data.uns[key] = {"mean_cost": found.mean_cost, "num_pairs": found.num_pairs, "termination": found.termination}
    return found


def transfer(a: AnnData, b: AnnData, pairing: Pairing, *, layer: str | None = None, obs: str | None = None, key_added: str | None = None) -> Any:
    """Brings expression or labels of ``b`` to the partners in ``a``.

    Parameters
    ----------
    a, b : AnnData
        As they were paired.
    pairing : Pairing
        What :func:`pair` returned.
    layer : str, optional
        The layer of ``b`` to bring; ``X`` by default. Cells without a partner get zeros.
    obs : str, optional
        A column of ``b.obs`` to bring instead. Cells without a partner get missing values.
    key_added : str, optional
        Where it goes: ``a.obsm[key_added]`` for expression, ``a.obs[key_added]`` for a column; by default
        ``"transferred_X"`` or the like.

    Returns
    -------
    array or Series
        What was written.
    """
    partners = pairing.y_of_x
    if len(partners) != a.n_obs or len(pairing.x_of_y) != b.n_obs:
        raise InputError(f"the pairing is of {len(partners)} and {len(pairing.x_of_y)} cells, a and b have {a.n_obs} and {b.n_obs}")
    single = partners < 0
    if obs is not None:
        if obs not in b.obs:
            raise InputError(f"b.obs has no column `{obs}`; it has: {', '.join(b.obs.columns) or 'nothing'}")
        values = b.obs[obs].iloc[np.maximum(partners, 0)].set_axis(a.obs_names).mask(single)
        name = key_added or f"transferred_{obs}"
        a.obs[name] = values
        return a.obs[name]
    source = b.X if layer is None else b.layers[layer]
    rows = source[np.maximum(partners, 0)]
    if hasattr(rows, "multiply"):
        from scipy.sparse import diags_array

        rows = diags_array((~single).astype(rows.dtype)) @ rows
    else:
        rows = np.where(single[:, None], 0, rows)
    name = key_added or f"transferred_{layer or 'X'}"
    a.obsm[name] = rows
    return rows
