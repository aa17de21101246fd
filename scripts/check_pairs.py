#!/usr/bin/env python3
"""Checks the result of `himacl pair` by a pass of its own, in constant memory: numpy, and pyarrow for the pairs' files.

    scripts/check_pairs.py X.npy Y.npy OUT [--cost sqeuclidean|cosine]

Each row of the smaller side has one partner, no row has two, the files of pairs say the same as permutation.npy, and the mean cost is that of
summary.json (nothing is centred or normalised).
"""

import argparse
import json
from pathlib import Path

import numpy as np

NONE = np.uint32(4294967295)
CHUNK = 1 << 16


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("x")
    parser.add_argument("y")
    parser.add_argument("output", type=Path)
    parser.add_argument("--cost", choices=["sqeuclidean", "cosine"], default="sqeuclidean")
    args = parser.parse_args()
    x, y = np.load(args.x, mmap_mode="r"), np.load(args.y, mmap_mode="r")
    y_of_x = np.load(args.output / "permutation.npy")
    assert y_of_x.shape == (len(x),) and y_of_x.dtype == np.uint32
    matched = np.flatnonzero(y_of_x != NONE)
    assert len(matched) == min(len(x), len(y)), f"{len(matched)} pairs"
    seen = np.zeros(len(y), bool)
    seen[y_of_x[matched]] = True
    assert seen.sum() == len(matched), "a row of y has two partners"
    total = 0.0
    for start in range(0, len(matched), CHUNK):
        rows = matched[start : start + CHUNK]
        a, b = x[rows].astype(np.float64), y[y_of_x[rows]].astype(np.float64)
        if args.cost == "sqeuclidean":
            total += ((a - b) ** 2).sum()
        else:
            total += (1 - (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))).sum()
    mean = total / len(matched)
    summary = json.loads((args.output / "summary.json").read_text())
    assert abs(mean - summary["mean_cost"]) <= 1e-9 * abs(mean), (mean, summary["mean_cost"])
    parts = sorted((args.output / "pairs").glob("part-*.parquet"))
    if parts:
        import pyarrow.parquet

        count = 0
        for part in parts:
            table = pyarrow.parquet.read_table(part)
            xs, ys = table["x_index"].to_numpy(), table["y_index"].to_numpy()
            assert (y_of_x[xs] == ys).all(), part
            count += len(xs)
        assert count == len(matched), f"{count} pairs in {len(parts)} files"
    print(f"{len(matched)} pairs, each row at most once; mean cost {mean:.9g}; {len(parts)} files of pairs")


if __name__ == "__main__":
    main()
