#!/usr/bin/env python3
"""Gaussian noise and real embeddings in few to many dimensions: what flow matching couples, and what HELLO is measured on.

    scripts/gaussian-to-embeddings.py EMBEDDINGS.npy... OUTPUT --size 16384 --dimension 32

Writes OUTPUT/x.npy, standard normal, and OUTPUT/y.npy: as many random rows of the embeddings, on their first principal axes,
scaled together to unit mean variance. Needs numpy.
"""

import argparse
import pathlib

import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("embeddings", nargs="+", type=pathlib.Path)
parser.add_argument("output", type=pathlib.Path)
parser.add_argument("--size", type=int, default=16384)
parser.add_argument("--dimension", type=int, default=32)
arguments = parser.parse_args()

rows = np.concatenate([np.load(path) for path in arguments.embeddings]).astype(np.float64)
rows -= rows.mean(0)
axes = np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, : arguments.dimension]
generator = np.random.default_rng(42)
chosen = generator.permutation(len(rows))[: arguments.size]
assert len(chosen) == arguments.size, f"{len(rows)} rows, {arguments.size} wanted"
y = rows[chosen] @ axes
arguments.output.mkdir(parents=True, exist_ok=True)
np.save(arguments.output / "x.npy", generator.normal(size=y.shape).astype(np.float32))
np.save(arguments.output / "y.npy", (y / y.std()).astype(np.float32))
