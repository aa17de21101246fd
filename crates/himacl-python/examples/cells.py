"""Two slices of a tissue: each cell's partner in the other, by PCA of both together, and its expression brought over."""

import anndata
import himacl.anndata
import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
kinds = rng.normal(size=(6, 40)) * 1.5


def a_slice(cells: int, name: str) -> anndata.AnnData:
    """Counts of 40 genes in cells of six kinds."""
    kind = rng.integers(0, 6, cells)
    counts = rng.poisson(np.exp(1.0 + 0.4 * kinds[kind])).astype(np.float32)
    obs = pd.DataFrame({"kind": kind}, index=[f"{name}{i}" for i in range(cells)])
    return anndata.AnnData(np.log1p(counts), obs=obs)


early, late = a_slice(900, "early"), a_slice(1000, "late")
both = np.concatenate([early.X, late.X])
centred = both - both.mean(0)
scores = (centred @ np.linalg.svd(centred, full_matrices=False)[2][:10].T).astype(np.float32)
early.obsm["X_pca"], late.obsm["X_pca"] = scores[:900], scores[900:]

pairing = himacl.anndata.pair(early, late, use_rep="X_pca", cost="euclidean")
himacl.anndata.transfer(early, late, pairing)
kind = himacl.anndata.transfer(early, late, pairing, obs="kind")
print(pairing)
print(early.obs[["kind", "himacl_partner", "transferred_kind"]].head())
same = float((kind == early.obs["kind"]).mean())
print(f"{same:.1%} of the cells have a partner of their own kind")
assert same > 0.8 and early.obsm["transferred_X"].shape == (900, 40)
