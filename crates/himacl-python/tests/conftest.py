"""What the tests share."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def clouds(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two clouds of one size, float32."""
    return rng.normal(size=(400, 5)).astype(np.float32), rng.normal(size=(400, 5)).astype(np.float32)
