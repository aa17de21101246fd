"""The comparison solvers against POT and scipy."""

from __future__ import annotations

import himacl
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist


@pytest.fixture
def small(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(60, 3)), rng.normal(size=(80, 3)) + 1.0


def test_sinkhorn_is_pots(small: tuple[np.ndarray, np.ndarray], rng: np.random.Generator) -> None:
    ot = pytest.importorskip("ot")
    x, y = small
    a, b = rng.uniform(1, 2, len(x)), rng.uniform(1, 2, len(y))
    matrix = cdist(x.astype(np.float32), y.astype(np.float32), "sqeuclidean")
    epsilon = 0.05 * matrix.mean()
    plan = ot.sinkhorn(a / a.sum(), b / b.sum(), matrix, epsilon, stopThr=1e-12, numItermax=100_000)
    found = himacl.baselines.sinkhorn(x, y, a, b, epsilon, tolerance=1e-9, max_iterations=100_000)
    assert np.abs(found.to_dense() - plan).max() < 1e-6
    assert found.coupling_cost == pytest.approx((plan * matrix).sum(), rel=1e-5)
    projected = (plan @ y.astype(np.float32)) / plan.sum(1, keepdims=True)
    assert np.abs(found.barycentric_projection() - projected).max() < 1e-4
    assert np.abs(found.entropic_map(x) - projected).max() < 1e-4
    f, g = found.potentials
    assert np.abs(np.exp((f[:, None] + g - matrix) / epsilon) * np.outer(a / a.sum(), b / b.sum()) - plan).max() < 1e-6


@pytest.mark.parametrize("solver", ["sinkhorn", "progot", "low_rank", "frlc", "minibatch"])
def test_rounded_pairs_are_one_to_one(small: tuple[np.ndarray, np.ndarray], solver: str) -> None:
    x, y = small
    settings = {"rank": 10} if solver in ("low_rank", "frlc") else {}
    found = getattr(himacl.baselines, solver)(x, y, **settings)
    pairs = found.pairs
    assert len(pairs) == 60 == len(set(pairs[:, 1]))
    matrix = cdist(x.astype(np.float32), y.astype(np.float32), "sqeuclidean")
    assert found.mean_cost == pytest.approx(matrix[pairs[:, 0], pairs[:, 1]].mean(), rel=1e-6)
    rows, columns = linear_sum_assignment(matrix)
    assert found.mean_cost >= matrix[rows, columns].mean() * (1 - 1e-6)
    again = getattr(himacl.baselines, solver)(x, y, **settings)
    assert (again.y_of_x == found.y_of_x).all()
    assert "cost" in repr(found)


def test_factors_make_the_plan(small: tuple[np.ndarray, np.ndarray]) -> None:
    found = himacl.baselines.frlc(*small, rank=5)
    q, r, inner = found.factors
    assert np.abs(q / inner.astype(np.float32) @ r.T - found.to_dense()).max() < 1e-6
    assert found.to_dense().sum() == pytest.approx(1.0, rel=1e-5)


def test_exact(small: tuple[np.ndarray, np.ndarray]) -> None:
    matrix = cdist(*(side.astype(np.float32) for side in small))
    rows, columns = linear_sum_assignment(matrix)
    found = himacl.baselines.exact(*small, cost="euclidean")
    assert found.mean_cost == pytest.approx(matrix[rows, columns].mean(), rel=1e-6)
    with pytest.raises(ValueError, match="at most 16384"):
        himacl.baselines.exact(np.zeros((16_385, 1)), np.zeros((2, 1)))


@pytest.mark.parametrize(
    ("solver", "settings", "said"),
    [
        ("sinkhorn", {"epsilon": -1.0}, "epsilon"),
        ("sinkhorn", {"a": np.ones(3)}, r"expected \(60,\)"),
        ("sinkhorn", {"a": np.zeros(60)}, "weight"),
        ("low_rank", {"rank": 0}, "rank"),
        ("low_rank", {"rank": 61}, "at most 60"),
        ("minibatch", {"batch_size": 0}, "batch_size"),
    ],
)
def test_refusals(small: tuple[np.ndarray, np.ndarray], solver: str, settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        getattr(himacl.baselines, solver)(*small, **settings)


def test_metrics_by_hand() -> None:
    x, y = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[[0, 2, 1]]
    figures = himacl.metrics.retrieval(x, y)
    assert figures["image_to_text_R@1"] == pytest.approx(1 / 3)
    assert himacl.metrics.foscttm(np.eye(3), np.eye(3)) == 0.0
    accuracy = himacl.metrics.pairing_accuracy(x, y, truth=[0, 2, 1], pairing=[0, 1, 2])
    assert accuracy["pairing_accuracy_nearest"] == 1.0
    assert accuracy["pairing_accuracy_bijection"] == pytest.approx(1 / 3)
    assert himacl.metrics.sinkhorn_divergence(x, x) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ValueError, match="row i belongs to row i"):
        himacl.metrics.retrieval(x, y[:2])
    with pytest.raises(ValueError, match="true partner"):
        himacl.metrics.pairing_accuracy(x, y, truth=[0, 2, -1])
