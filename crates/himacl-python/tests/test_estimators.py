"""Aligner and MongeMap: known answers, and what scikit-learn expects."""

from __future__ import annotations

import pickle
from pathlib import Path

import himacl
import numpy as np
import pytest

FAST = {"candidates": [{"name": "only", "refinement": {"rounds": 4, "last_dimension": 32}}]}


@pytest.fixture
def rotated(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, the same points rotated and shuffled, and the row that each went to."""
    x = (rng.normal(size=(300, 12)) * np.linspace(2, 0.3, 12)).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0].astype(np.float32)
    order = rng.permutation(300)
    y = (x @ turn)[order]
    return x, y, np.argsort(order)


def test_anchors_find_the_rest(rotated: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, truth = rotated
    known = [(i, truth[i]) for i in range(30)]
    aligner = himacl.Aligner(settings=FAST).fit(x, y, anchors=known)
    assert (aligner.pairs_[:30] == known).all() and np.isinf(aligner.confidence_[:30]).all()
    assert len(aligner.pairs_) == 300 == len(aligner.confidence_)
    assert (truth[aligner.pairs_[:, 0]] == aligner.pairs_[:, 1]).mean() > 0.99
    assert aligner.report_["chosen"] in ("only", "anchors-only")
    mapped, targets = aligner.transform(x), y[truth] / np.linalg.norm(y[truth], axis=1, keepdims=True)
    assert mapped.shape == (300, 12) and np.allclose(np.linalg.norm(mapped, axis=1), 1, atol=1e-5)
    assert (mapped * targets).sum(1).mean() > 0.95
    back = aligner.inverse_transform(y[truth])
    assert (back * x / np.linalg.norm(x, axis=1, keepdims=True)).sum(1).mean() > 0.95
    prepared = aligner.transform_prepared(x) @ aligner.target_prepared(y).T
    assert (prepared.argmax(1) == truth).mean() > 0.99
    joint = aligner.joint(x, y[truth])
    assert himacl.metrics.retrieval(*joint)["image_to_text_R@1"] > 0.99


def test_shared_space(rotated: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x = rotated[0]
    aligner = himacl.Aligner("shared-space").fit(x + 0.5, x[::-1] - 0.5)
    assert (aligner.pairs_[:, 1] == 299 - aligner.pairs_[:, 0]).mean() > 0.95


def test_unpaired_warns_where_nothing_is_shared(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(120, 8)), rng.normal(size=(120, 8))
    settings = {"unpaired": {"starts": 2, "restarts": 4}}
    report = himacl.Aligner("unpaired", settings=settings).fit(x, y).report_
    assert report["unpaired"]["shares_too_little"]


def test_same_bits(rotated: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, y, truth = rotated
    known = [(i, truth[i]) for i in range(30)]
    one, two = (himacl.Aligner(settings=FAST, threads=threads).fit(x, y, anchors=known) for threads in (1, 3))
    assert (one.transform(x) == two.transform(x)).all() and (one.pairs_ == two.pairs_).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"anchors": None}, "no known pairs"),
        ({"anchors": [(0, 0)]}, "1 known pairs, expected at least 2"),
        ({"anchors": [(0, 0), (0, 1)]}, "occurs in two known pairs"),
        ({"anchors": [(0, 0), (1, 999)]}, "below 300"),
        ({"anchors": [(0, 0), (-1, 1)]}, "names row -1"),
        ({"anchors": [(0.5, 1.0)]}, "expected integers"),
        ({"anchors": [1, 2, 3]}, r"expected \(k, 2\)"),
        ({"y": None}, "both sides"),
        ({"y": np.full((300, 12), np.nan)}, "finite"),
    ],
)
def test_refusals(rotated: tuple[np.ndarray, np.ndarray, np.ndarray], change: dict, said: str) -> None:
    given = {"X": rotated[0], "y": rotated[1], "anchors": [(0, 0), (1, 1)], **change}
    with pytest.raises(himacl.InputError, match=said):
        himacl.Aligner().fit(**given)


def test_settings_are_checked(rotated: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="fold"):
        himacl.Aligner(settings={"fold": 3}).fit(*rotated[:2], anchors=[(0, 0), (1, 1)])
    with pytest.raises(himacl.NotFittedError, match="not fitted"):
        himacl.Aligner().transform(rotated[0])
    with pytest.raises(ValueError, match="mode is `nearest`"):
        himacl.Aligner("nearest").fit(*rotated[:2])


def test_scikit_learn(rotated: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    sklearn = pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    x, y, truth = rotated
    known = np.array([(i, truth[i]) for i in range(30)])
    aligner = himacl.Aligner(seed=3, settings=FAST)
    copy = clone(aligner)
    assert copy is not aligner and copy.get_params() == aligner.get_params()
    assert copy.set_params(seed=5).seed == 5 and aligner.seed == 3
    assert "seed=3" in repr(aligner)
    pipeline = Pipeline([("scale", StandardScaler(with_std=False)), ("align", aligner)])
    pipeline.fit(x, y, align__anchors=known)
    assert pipeline.transform(x).shape == (300, 12)
    assert np.allclose(pipeline.fit_transform(x, y, align__anchors=known), pipeline.transform(x))
    again = pickle.loads(pickle.dumps(pipeline))
    assert (again.transform(x) == pipeline.transform(x)).all()
    assert (again[-1].inverse_transform(y) == pipeline[-1].inverse_transform(y)).all()
    assert sklearn.utils.validation.check_is_fitted(again[-1]) is None


def test_monge_map(rotated: tuple[np.ndarray, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, y, truth = rotated
    known = [(i, truth[i]) for i in range(40)]
    recipe = {"alignment": {"folds": 0}}
    settings = {"epochs": 4, "width": 32, "layers": 1, "batch_size": 100, "recompute_every": 2, "recipe": recipe}
    learned = himacl.MongeMap(**settings).fit(x, y, anchors=known, evaluation=(x[:100], y[truth[:100]]))
    assert learned.report_["metrics"]["image_to_text_R@1"] > 0.9
    choice = learned.report_["map_choice"]
    assert choice["chosen"] == "trained" and "40 known pairs are too few" in choice["not_chosen_because"]
    assert learned.transform(x).shape == (300, 12) and learned.inverse_transform(y).shape == (300, 12)
    again = himacl.MongeMap(**settings).fit(x, y, anchors=known, evaluation=(x[:100], y[truth[:100]]))
    assert (again.transform(x) == learned.transform(x)).all()
    learned.save(tmp_path / "map")
    assert (himacl.MongeMap.load(tmp_path / "map").transform(x) == learned.transform(x)).all()
    assert (pickle.loads(pickle.dumps(learned)).transform(x) == learned.transform(x)).all()

    kept = himacl.MongeMap(folder=tmp_path / "run", **settings).fit(x, y, anchors=known)
    assert (kept.transform(x) == learned.transform(x)).all()
    assert (tmp_path / "run" / "metrics.jsonl").exists()
    with pytest.raises(OSError, match="something else"):
        himacl.MongeMap(folder=tmp_path / "run", **settings).fit(x + 1, y, anchors=known)
    with pytest.raises(ValueError, match="unknown key `train.epoch`"):
        himacl.MongeMap(recipe={"train": {"epoch": 3}}).fit(x, y, anchors=known)
    with pytest.raises(ValueError, match="kind"):
        himacl.MongeMap("spline").fit(x, y, anchors=known)


@pytest.fixture(scope="module")
def bent() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two unpaired sets, fresh rows, and what the optimal map between the two makes of them: an increasing function of each axis."""
    rng = np.random.default_rng(5)
    x, z, fresh = (rng.normal(size=(n, 3)).astype(np.float32) for n in (2048, 2048, 500))
    return x, _bend(z), fresh


def _bend(x: np.ndarray) -> np.ndarray:
    return 0.3 * x + 2 * np.tanh(2 * x)


def test_optimal_map_of_unpaired_sets(bent: tuple[np.ndarray, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, y, fresh = bent
    events: list[dict] = []
    settings = {"steps": 300, "units": 2, "seed": 1}
    learned = himacl.ConvexGradient(progress=events.append, **settings).fit(x, y)
    error = np.square(learned.transform(fresh) - _bend(fresh)).mean()
    centred = fresh - x.mean(0)
    linear = y.mean(0) + centred * (y.std(0) / x.std(0))
    assert error < 0.3 * np.square(linear - _bend(fresh)).mean(), error
    assert learned.bends_ and learned.gain_ > 2 * learned.gain_standard_error_
    assert np.abs(learned.inverse_transform(learned.transform(fresh)) - fresh).max() < 1e-2
    # T is the gradient of the potential.
    step = np.float32([1e-2, 0, 0])
    slope = (learned.potential(fresh + step) - learned.potential(fresh - step)) / 2e-2
    assert np.allclose(slope, learned.transform(fresh)[:, 0], atol=0.05)
    assert any(event["event"] == "advanced" for event in events)
    again = himacl.ConvexGradient(threads=1, **settings).fit(x, y)
    assert (again.transform(fresh) == learned.transform(fresh)).all()
    learned.save(tmp_path / "map.safetensors")
    for other in (himacl.ConvexGradient.load(tmp_path / "map.safetensors"), pickle.loads(pickle.dumps(again))):
        assert (other.transform(fresh) == learned.transform(fresh)).all() and other.n_features_in_ == 3


def test_gaussian_map_where_nothing_bends() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(1500, 3))
    y = rng.normal(size=(1000, 3)) @ np.diag([1.0, 2.0, 3.0]) + 1
    learned = himacl.ConvexGradient(steps=50).fit(x, y)
    assert not learned.bends_
    assert np.abs(learned.transform(x) - (1 + x * [1, 2, 3])).mean() < 0.2
    assert np.abs(learned.inverse_transform(learned.transform(x)) - x).max() < 1e-3


def test_convex_gradient_refuses(bent: tuple[np.ndarray, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, y, fresh = bent
    with pytest.raises(himacl.NotFittedError):
        himacl.ConvexGradient().transform(x)
    with pytest.raises(himacl.InputError, match="both sides"):
        himacl.ConvexGradient().fit(x)
    with pytest.raises(himacl.InputError, match="expected as many"):
        himacl.ConvexGradient().fit(x, y[:, :2])
    with pytest.raises(himacl.InputError, match="steps is 0"):
        himacl.ConvexGradient(steps=0).fit(x, y)
    with pytest.raises(himacl.InputError):
        himacl.ConvexGradient().fit(np.full((20, 3), np.nan), y)
    learned = himacl.ConvexGradient(steps=1).fit(x, y)
    with pytest.raises(himacl.InputError, match="2 coordinates, expected 3"):
        learned.transform(fresh[:, :2])
    (tmp_path / "other").write_bytes(b"nothing of the kind")
    with pytest.raises(himacl.InputError, match="is not a map"):
        himacl.ConvexGradient.load(tmp_path / "other")
    with pytest.raises(OSError, match="missing"):
        himacl.ConvexGradient.load(tmp_path / "missing")


@pytest.mark.parametrize(
    ("recipe", "match"),
    [
        ({"foo": 1}, "recipe has 'foo' = 1, expected a section"),
        ({"train.epochs": 1}, "recipe has 'train.epochs' = 1.*\nhint: recipe={'train': {'epochs': 1}}"),
        ({"train": {"epoch": 1}}, "unknown key `train.epoch`.*\nhint: did you mean `train.epochs`"),
        (5, "recipe is 5, expected a mapping"),
    ],
)
def test_keys_of_a_recipe_are_named(recipe: object, match: str) -> None:
    x = np.eye(20, dtype=np.float32)
    with pytest.raises(himacl.InputError, match=match):
        himacl.MongeMap(recipe=recipe).fit(x, x, anchors=[(0, 0)])  # type: ignore[arg-type]


def test_rows_of_another_space_are_refused_in_a_line() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(80, 8)).astype(np.float32), rng.normal(size=(80, 6)).astype(np.float32)
    aligner = himacl.Aligner().fit(x, y, anchors=[(i, i) for i in range(20)])
    with pytest.raises(himacl.InputError, match="^X has 5 coordinates, expected 8: those of the source\nhint: rows are to be embedded") as error:
        aligner.transform(x[:, :5])
    assert len(str(error.value).splitlines()) == 2
    with pytest.raises(himacl.InputError, match="Y has 8 coordinates, expected 6: those of the target\nhint: they fit the other side"):
        aligner.target_prepared(x)
    with pytest.raises(himacl.InputError, match="unknown field `foo`") as error:
        himacl.Aligner(settings={"foo": 1}).fit(x, y, anchors=[(0, 0)])
    assert "line 1" not in str(error.value)
