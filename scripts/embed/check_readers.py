#!/usr/bin/env python3
"""Reads the output of `himacl embed` with clip-retrieval's own reader, numpy and pandas, and compares what they find.

usage: check_readers.py OUTPUT [REFERENCE.npy]

With a reference, whose row i belongs to row i of the output, the cosine of each pair of rows must exceed 0.999.
Install scripts/embed/requirements.txt into a virtual environment first.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from embedding_reader import EmbeddingReader


def number(path):
    return int(path.stem.rsplit("_", 1)[-1])


def main(output, reference=None):
    output = Path(output)
    summary = json.loads((output / "summary.json").read_text())
    metadata = pd.concat(
        [pd.read_parquet(path) for path in sorted((output / "metadata").glob("*.parquet"), key=number)],
        ignore_index=True,
    )
    assert list(metadata.columns) == ["image_path", "caption", "key", "sha256"], list(metadata.columns)
    assert len(metadata) == summary["rows"], (len(metadata), summary["rows"])
    assert metadata["key"].is_unique
    for kind in ("img_emb", "text_emb"):
        if not (output / kind).is_dir():
            continue
        files = sorted((output / kind).glob("*.npy"), key=number)
        arrays = [np.load(path, mmap_mode="r") for path in files]
        assert all(array.dtype == np.float16 and array.flags.c_contiguous for array in arrays)
        ours = np.concatenate(arrays)
        assert len(ours) == summary["rows"]

        plain = EmbeddingReader(embeddings_folder=str(output / kind), file_format="npy")
        assert (plain.count, plain.dimension) == ours.shape, (plain.count, plain.dimension, ours.shape)
        reader = EmbeddingReader(
            embeddings_folder=str(output / kind),
            metadata_folder=str(output / "metadata"),
            meta_columns=["key", "caption", "sha256"],
            file_format="parquet_npy",
        )
        seen = 0
        by_key = {key: row for row, key in enumerate(metadata["key"])}
        for embeddings, rows in reader(batch_size=1000, start=0, end=reader.count, show_progress=False):
            places = [by_key[key] for key in rows["key"]]
            assert np.array_equal(embeddings, ours[places]), "the reader pairs embeddings with other metadata"
            assert list(rows["sha256"]) == list(metadata["sha256"][places])
            seen += len(rows)
        assert seen == len(ours)
        norms = np.linalg.norm(ours.astype(np.float64), axis=1)
        print(f"{kind}: {ours.shape[0]} rows of {ours.shape[1]}, norms {norms.min():.4f} to {norms.max():.4f}; "
              f"embedding-reader, numpy and pandas agree")
        if reference is not None:
            expected = np.load(reference).astype(np.float64)
            assert expected.shape == ours.shape, (expected.shape, ours.shape)
            cosine = (ours * expected).sum(axis=1) / norms / np.linalg.norm(expected, axis=1)
            print(f"  cosine with {reference}: min {cosine.min():.6f}, mean {cosine.mean():.6f}")
            if not cosine.min() > 0.999:
                sys.exit(f"row {cosine.argmin()} differs")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
