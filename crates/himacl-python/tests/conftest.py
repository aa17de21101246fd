"""What the tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def clouds(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two clouds of one size, float32."""
    return rng.normal(size=(400, 5)).astype(np.float32), rng.normal(size=(400, 5)).astype(np.float32)


@pytest.fixture(scope="session")
def quickstart() -> tuple[np.ndarray, np.ndarray]:
    """The embeddings of emoji of two vendors that the repository has: row i is the same emoji in both."""
    folder = ROOT / "models" / "quickstart"
    source, target = (next(folder.glob(f"*{name}*.npy")) for name in ("fluent", "noto"))
    return np.load(source, mmap_mode="r"), np.load(target, mmap_mode="r")
