"""Exact optima of problems with more points on one side than on the other, by SciPy's rectangular assignment solver.

Usage: python unequal.py FIXTURES_FOLDER > FIXTURES_FOLDER/unequal.tsv

Each problem takes the first `n` rows of NAME_x.npy and the first `m` rows of NAME_y.npy; the value is the mean cost over
the min(n, m) pairs of an optimal pairing, in float64. Needs numpy and scipy.
"""

import sys
from pathlib import Path

import numpy as np
import scipy
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

PROBLEMS = [
    ("gmm_same_d2_4096", 3000, 4096, ("sqeuclidean", "euclidean")),
    ("gmm_same_d2_4096", 4096, 3000, ("sqeuclidean", "euclidean")),
    ("gmm_same_d16_4096", 3000, 4096, ("sqeuclidean", "euclidean", "cosine", "neg-dot")),
    ("gmm_same_d16_4096", 4096, 3000, ("sqeuclidean", "euclidean", "cosine", "neg-dot")),
    ("halfmoon_scurve_4096", 3000, 4096, ("sqeuclidean", "euclidean")),
    ("halfmoon_scurve_4096", 4096, 3000, ("sqeuclidean", "euclidean")),
]


def cost_matrix(x, y, cost):
    return -x @ y.T if cost == "neg-dot" else cdist(x, y, cost)


def main():
    folder = Path(sys.argv[1])
    print(f"# scripts/golden/unequal.py, numpy {np.__version__}, scipy {scipy.__version__}")
    print("# set, rows of x, rows of y, cost, optimum")
    for name, n, m, costs in PROBLEMS:
        x = np.load(folder / f"{name}_x.npy").astype(np.float64)[:n]
        y = np.load(folder / f"{name}_y.npy").astype(np.float64)[:m]
        for cost in costs:
            matrix = cost_matrix(x, y, cost)
            optimum = float(matrix[linear_sum_assignment(matrix)].mean())
            print(name, n, m, cost, optimum, sep="\t", flush=True)


if __name__ == "__main__":
    main()
