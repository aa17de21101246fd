"""Cells of two slices: partners and transferred expression written back."""

from __future__ import annotations

import numpy as np
import pytest

anndata = pytest.importorskip("anndata")
import himacl.anndata as cells  # noqa: E402
import pandas as pd  # noqa: E402
from scipy import sparse  # noqa: E402


def slices(sparse_x: bool) -> tuple[object, object, np.ndarray]:
    rng = np.random.default_rng(0)
    order = rng.permutation(90)
    rep = rng.normal(size=(90, 6)).astype(np.float32)
    x = rng.poisson(2.0, size=(90, 11)).astype(np.float32)
    a = anndata.AnnData(np.zeros((100, 11), np.float32), obs=pd.DataFrame(index=[f"a{i}" for i in range(100)]))
    a.obsm["X_pca"] = np.concatenate([rep, rng.normal(size=(10, 6)).astype(np.float32) + 50])
    b = anndata.AnnData(sparse.csr_matrix(x[order]) if sparse_x else x[order], obs=pd.DataFrame({"kind": order % 3}, index=[f"b{i}" for i in range(90)]))
    b.obsm["X_pca"] = rep[order] + np.float32(0.001)
    return a, b, np.argsort(order)


@pytest.mark.parametrize("sparse_x", [False, True])
def test_partners_and_transfer(sparse_x: bool) -> None:
    a, b, truth = slices(sparse_x)
    found = cells.pair(a, b)
    assert (found.y_of_x[:90] == truth).all() and (found.y_of_x[90:] == -1).all()
    assert a.obs["himacl_partner"].iloc[0] == f"b{truth[0]}" and a.obs["himacl_partner"].iloc[95:].isna().all()
    assert (a.obs["himacl_partner_index"].to_numpy() == found.y_of_x).all()
    assert (b.obs["himacl_partner_index"].to_numpy() == found.x_of_y).all()
    assert a.uns["himacl"]["num_pairs"] == 90
    rows = cells.transfer(a, b, found)
    dense = rows.toarray() if sparse_x else rows
    full = b.X.toarray() if sparse_x else b.X
    assert (dense[:90] == full[truth]).all() and (dense[90:] == 0).all()
    assert a.obsm["transferred_X"].shape == (100, 11)
    kinds = cells.transfer(a, b, found, obs="kind")
    assert (kinds.iloc[:90].to_numpy() == b.obs["kind"].to_numpy()[truth]).all() and kinds.iloc[90:].isna().all()


def test_refusals() -> None:
    a, b, _ = slices(False)
    with pytest.raises(ValueError, match="X_umap.*X_pca"):
        cells.pair(a, b, use_rep="X_umap")
    found = cells.pair(a, b)
    with pytest.raises(ValueError, match="no column `age`"):
        cells.transfer(a, b, found, obs="age")
    with pytest.raises(ValueError, match="100 and 90 cells"):
        cells.transfer(b, a, found)
    assert cells.pair(a, b, use_rep="X").num_pairs == 90
