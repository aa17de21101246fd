"""Matchings that are not one to one, and those of given costs, against scipy on the expanded matrix."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import himacl
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.spatial.distance import cdist

NEVER = 1e6


def least(matrix: np.ndarray, price: float) -> float:
    """The least cost of pairs and singles: a stand-in for each item, half of the price with it."""
    n, m = matrix.shape
    whole = np.full((n + m, m + n), 0.5 * price)
    whole[:n, :m] = np.where(np.isfinite(matrix), matrix, NEVER)
    whole[n:, m:] = 0.0
    rows, columns = linear_sum_assignment(whole)
    return float(whole[rows, columns].sum())


def least_of(matrix: np.ndarray, count: int) -> float:
    """The least cost of so many pairs."""
    n, m = matrix.shape
    whole = np.zeros((n + m - count, m + n - count))
    whole[:n, :m] = np.where(np.isfinite(matrix), matrix, NEVER)
    whole[n:, m:] = NEVER
    rows, columns = linear_sum_assignment(whole)
    return float(whole[rows, columns].sum())


@pytest.fixture
def sets(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two sets with outliers, and their squared distances."""
    x, y = rng.normal(size=(300, 4)).astype(np.float32), rng.normal(size=(340, 4)).astype(np.float32)
    x[:40] += 9.0
    y[:60] -= 9.0
    return x, y, cdist(x.astype(np.float64), y.astype(np.float64), "sqeuclidean")


def test_singles(sets: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, matrix = sets
    price = 3.0
    found = himacl.pair(x, y, unmatched_cost=price, quality="best")
    pairs = found.pairs
    singles = len(x) + len(y) - 2 * len(pairs)
    assert found.objective == pytest.approx(matrix[pairs[:, 0], pairs[:, 1]].sum() + 0.5 * price * singles)
    assert found.objective == pytest.approx(least(matrix, price), rel=1e-6)
    assert (found.y_of_x == -1).sum() == len(x) - len(pairs) and found.num_pairs == len(pairs)
    assert found.summary["singles"] == {"x": len(x) - len(pairs), "y": len(y) - len(pairs)}
    assert found.gap is not None and found.gap < 1e-6
    assert found.potentials is not None
    f, g = found.potentials
    assert (f[:, None] + g[None, :] <= matrix + 1e-3).all() and max(f.max(), g.max()) <= 0.5 * price + 1e-9


def test_a_number_of_pairs(sets: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, matrix = sets
    for count in (1, 200, 300):
        found = himacl.pair(x, y, num_pairs=count, quality="best")
        assert found.num_pairs == count
        assert found.total_cost == pytest.approx(least_of(matrix, count), rel=1e-6, abs=1e-6)
        assert found.lower_bound is not None and found.lower_bound <= found.mean_cost + 1e-9


def test_several_partners(sets: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, matrix = sets
    capacity = np.arange(len(x)) % 3
    found = himacl.pair(x, y, x_capacity=capacity, quality="best")
    assert (np.bincount(found.pairs[:, 0], minlength=len(x)) == capacity).all()
    rows, columns = linear_sum_assignment(np.repeat(matrix, capacity, axis=0))
    assert found.total_cost == pytest.approx(float(np.repeat(matrix, capacity, axis=0)[rows, columns].sum()), rel=1e-6)
    assert (found.y_of_x[capacity == 0] == -1).all() and found.num_pairs == len(found.pairs)
    with pytest.raises(himacl.InputError, match="x_capacity.*y_capacity"):
        himacl.pair(x, y, x_capacity=2, y_capacity=2)


def test_categories_and_forbidden_pairs(sets: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, matrix = sets
    labels = (np.array(["a", "b", "c"])[np.arange(len(x)) % 3], np.array(["b", "c", "d"])[np.arange(len(y)) % 3])
    forbidden = np.stack([np.arange(100), np.arange(100)], axis=1)
    found = himacl.pair(x, y, groups=labels, forbidden=forbidden, quality="best")
    pairs = found.pairs
    assert (labels[0][pairs[:, 0]] == labels[1][pairs[:, 1]]).all()
    assert not {tuple(pair) for pair in forbidden.tolist()} & {tuple(pair) for pair in pairs.tolist()}
    allowed = np.where(labels[0][:, None] == labels[1][None, :], matrix, np.inf)
    allowed[forbidden[:, 0], forbidden[:, 1]] = np.inf
    assert found.total_cost == pytest.approx(least_of(allowed, len(pairs)), rel=1e-6)
    assert found.summary["groups_of_x_only"] == {"count": 1, "names": ["a"]}
    assert found.summary["groups_of_y_only"] == {"count": 1, "names": ["d"]}


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_matrix(rng: np.random.Generator, dtype: str, order: str) -> None:
    matrix = np.array(rng.integers(0, 1000, size=(90, 120)), dtype=dtype, order=order)  # type: ignore[call-overload]
    rows, columns = linear_sum_assignment(matrix)
    found = himacl.pair_costs(matrix)
    assert found.total_cost == matrix[rows, columns].sum() and found.exact and found.num_pairs == 90
    assert himacl.pair_costs(matrix, num_pairs=30).total_cost == pytest.approx(least_of(matrix.astype(np.float64), 30))
    assert himacl.pair_costs(matrix, unmatched_cost=8.0).objective == pytest.approx(least(matrix.astype(np.float64), 8.0))


def test_candidates(rng: np.random.Generator) -> None:
    n = 200
    x = np.concatenate([np.arange(n), rng.integers(0, n, size=5 * n)])
    y = np.concatenate([rng.permutation(n), rng.integers(0, n, size=5 * n)])
    keys = np.unique(x * n + y)
    cost = rng.random(len(keys))
    listed = coo_array((cost, (keys // n, keys % n)), shape=(n, n))
    matrix = np.full((n, n), np.inf)
    matrix[keys // n, keys % n] = cost
    found = himacl.pair_candidates(listed)
    assert found.total_cost == pytest.approx(least_of(matrix, n)) and found.exact
    assert himacl.pair_candidates(listed.tocsr()).pairs.tolist() == found.pairs.tolist()
    with pytest.raises(himacl.InputError, match="2 x items .0, 1. need 2 places"):
        himacl.pair_candidates(coo_array(([1.0, 1.0, 1.0], ([0, 1, 2], [0, 0, 1])), shape=(3, 3)))
    with pytest.raises(himacl.InputError, match="expected a sparse array"):
        himacl.pair_candidates(matrix)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda x: himacl.pair(x, x, unmatched_cost=1.0, num_pairs=2), "unmatched_cost.*num_pairs"),
        (lambda x: himacl.pair(x, x, num_pairs=9), "9 pairs are asked for"),
        (lambda x: himacl.pair(x, x, num_pairs=0), "num_pairs is 0"),
        (lambda x: himacl.pair(x, x, unmatched_cost=float("nan")), "unmatched_cost"),
        (lambda x: himacl.pair(x, x, x_capacity=[1, 2]), "2 capacities for `x`, expected 4"),
        (lambda x: himacl.pair(x, x, x_capacity=-1), "x_capacity has -1"),
        (lambda x: himacl.pair(x, x, forbidden=[[0, 4]]), "y index 4, expected one from 0 below 4"),
        (lambda x: himacl.pair(x, x, forbidden=[[1, 1], [-1, 0]]), "pair 1 of forbidden has the x index -1"),
        (lambda x: himacl.pair(x, x, forbidden=[[2**32 + 3, 0]]), "x index 4294967299"),
        (lambda x: himacl.pair_costs(np.ones((3, 3)), forbidden=[[0, 3]]), "y index 3, expected one from 0 below 3"),
        (lambda x: himacl.pair(x, x, num_pairs=2.5), "num_pairs is 2.5, expected a whole number"),
        (lambda x: himacl.pair(x, x, unmatched_cost=-1), "unmatched_cost is -1, expected 0 or more"),
        (lambda x: himacl.pair(x, x, groups=([1.0, np.nan, 1.0, 1.0], [1.0] * 4)), "row 1 of the groups of x is nan"),
        (lambda x: himacl.pair(x, x, groups=(["a"] * 4, ["a", "a", "a", None])), "row 3 of the groups of y is None"),
        (lambda x: himacl.pair(x, x, groups=([0], [1, 1, 1, 1])), "1 categories for `x`, expected 4"),
        (lambda x: himacl.pair(x, x, num_pairs=2, warm_start=[0, 1, 2, 3]), "a warm start is for one-to-one"),
        (lambda x: himacl.pair(x, x, num_pairs=2, device="cuda"), "run on the CPU"),
        (lambda x: himacl.pair_costs([[1.0, float("nan")]]), "row 0, column 1"),
        (lambda x: himacl.pair_costs(x[0]), "expected two dimensions"),
    ],
)
def test_what_is_refused(wrong: Callable[[np.ndarray], object], match: str) -> None:
    with pytest.raises(himacl.InputError, match=match):
        wrong(np.float32([[0], [1], [2], [3]]))


def test_singles_are_saved_and_several_partners_are_not(tmp_path: Path) -> None:
    x = np.float32([[0], [1], [2], [30]])
    found = himacl.pair(x, x[:3], unmatched_cost=1.0)
    found.save(tmp_path / "saved")
    loaded = himacl.load(tmp_path / "saved")
    assert loaded.y_of_x.tolist() == [0, 1, 2, -1] and loaded.num_pairs == 3 and loaded.objective == 0.5
    several = himacl.pair(x, x[:2], y_capacity=2)
    assert several.num_pairs == 4
    with pytest.raises(himacl.InputError, match="several partners"):
        several.save(tmp_path / "several")


def test_categories_of_any_type_are_by_their_names() -> None:
    x = np.float32([[0], [1], [2], [3]])
    of_x = np.array(["a", 1, "b", 1], dtype=object)
    found = himacl.pair(x, x, groups=(of_x, np.array(["1", "b", "1", "c"])))
    assert found.pairs.tolist() == [[1, 0], [2, 1], [3, 2]]
    assert found.summary["groups_of_x_only"]["names"] == ["a"]


def test_several_partners_are_read_from_the_list(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    np.save(tmp_path / "x.npy", np.float32([[0], [10]]))
    np.save(tmp_path / "y.npy", np.float32([[0], [1], [10], [11]]))
    command = ["himacl", "pair", "--x", "x.npy", "--y", "y.npy", "--x-capacity", "2", "-o", "out"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    loaded = himacl.load(tmp_path / "out")
    assert loaded.pairs.tolist() == [[0, 0], [0, 1], [1, 2], [1, 3]] and loaded.num_pairs == 4
    assert loaded.y_of_x.tolist() == [0, 2] and loaded.x_of_y.tolist() == [0, 0, 1, 1]
    with pytest.raises(OSError, match="is not a finished pairing"):
        himacl.load(tmp_path)
