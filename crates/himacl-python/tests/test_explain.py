"""Explanations of pairs."""

import himacl
import numpy as np
import pytest


@pytest.fixture(scope="module")
def sides():
    generator = np.random.default_rng(4)
    kinds = np.arange(60) % 3
    places = 5.0 * np.eye(6)[kinds] + generator.normal(size=(60, 6))
    texts = [f"a {('cat', 'dog', 'boat')[kind]} called {item}" for item, kind in enumerate(kinds)]
    noise = generator.normal(scale=0.3, size=(2, 60, 6))
    return np.float32(places + noise[0]), np.float32(places + noise[1]), texts


def test_an_explanation_is_what_the_points_say(sides):
    x, y, texts = sides
    pairing = himacl.pair(x, y, certify=True)
    found = himacl.Explainer(x, y, pairing, y_texts=texts).explain(x=7, k=4)
    costs = ((x[7] - y) ** 2).sum(1)
    assert found["y"] == pairing.y_of_x[7] and found["cost"] == pytest.approx(costs[found["y"]], rel=1e-5)
    assert found["nearest_of_x"]["item"] == costs.argmin()
    f, g = pairing.potentials
    reduced = costs - f[7] - g
    reduced[found["y"]] = np.inf
    assert [rival["item"] for rival in found["runners_up_of_x"]] == list(np.argsort(reduced)[:4])
    centred = (x[7] - x.mean(0)) @ (y[found["y"]] - y.mean(0))
    assert found["score"] == pytest.approx(centred, rel=1e-4)
    words = [word["word"] for word in found["directions"][0]["positive_words"] + found["directions"][0]["negative_words"]]
    assert "dog" in words
    for removal in found["removals"]:
        kept = np.delete(np.arange(60), removal["removed"])
        again = himacl.pair(x[kept], y).y_of_x
        assert again[kept.tolist().index(7)] == removal["partner"]


def test_potentials_are_found_where_there_are_none(sides):
    x, y, _ = sides
    pairing = himacl.pair(x, y, certify=True)
    with_them = himacl.Explainer(x, y, pairing).explain(y=3)
    without = himacl.Explainer(x, y, pairing.y_of_x).explain(y=3)
    assert with_them["x"] == without["x"] == pairing.x_of_y[3]
    assert with_them["margin"] >= -1e-6 and without["margin"] >= -1e-6


def squared(x, y):
    return ((x[:, None] - y[None]) ** 2).sum(2)


def test_all_partners_of_an_item(sides):
    x, y, _ = sides
    matching = himacl.pair(x, y[:20], y_capacity=3, certify=True)
    explainer = himacl.Explainer(x, y[:20], matching)
    for item in (0, 11):
        found = explainer.explain_all(y=item)
        partners = [pair[0] for pair in matching.pairs.tolist() if pair[1] == item]
        assert len(partners) == 3 and [pair["x"] for pair in found] == partners
        assert explainer.explain(y=item)["x"] == partners[0]
        for pair in found:
            assert sorted([pair["x"], *pair["other_partners_of_y"]]) == partners
            assert pair["cost"] == pytest.approx(squared(x, y)[pair["x"], item], rel=1e-5)
            assert pair["margin"] >= -1e-6


@pytest.mark.parametrize("certify", [True, False])
@pytest.mark.parametrize("asked", [{"unmatched_cost": 1.0}, {"num_pairs": 30}])
def test_what_a_single_item_might_have_had(sides, asked, certify):
    x, y, _ = sides
    matching = himacl.pair(x, y, **asked, certify=certify)
    explainer = himacl.Explainer(x, y, matching)
    costs = squared(x, y)
    singles = np.flatnonzero(matching.y_of_x < 0)
    assert 0 < len(singles) < 60
    item = int(singles[0])
    assert explainer.explain(x=item) is None and explainer.explain_all(x=item) == []
    found = explainer.single(x=item, k=3)
    assert (found["side"], found["item"], found["nearest"]["item"]) == ("x", item, costs[item].argmin())
    assert len(found["runners_up"]) == 3 and found["margin"] >= -1e-6
    # A partner for it, whoever that is, makes the whole dearer by the margin at least.
    price = matching.summary["unmatched_cost"]
    for partner in found["runners_up"]:
        rest = [np.delete(np.arange(60), item), np.delete(np.arange(60), partner["item"])]
        others = himacl.pair_costs(costs[np.ix_(*rest)].astype(np.float64), unmatched_cost=price).objective
        forced = others + costs[item, partner["item"]]
        whole = himacl.pair_costs(costs.astype(np.float64), unmatched_cost=price).objective
        assert forced - whole >= found["margin"] - 1e-4
    paired = int(np.flatnonzero(matching.y_of_x >= 0)[0])
    assert explainer.single(x=paired) is None


def test_categories_and_forbidden_pairs_bind_what_might_have_been(sides):
    x, y, _ = sides
    kinds = np.arange(60) % 3
    never = [[7, int(himacl.pair(x, y, groups=(kinds, kinds)).y_of_x[7])]]
    matching = himacl.pair(x, y, groups=(kinds, kinds), forbidden=never)
    found = himacl.Explainer(x, y, matching).explain(x=7, k=60)
    partners = [found["y"]] + [rival["item"] for rival in found["runners_up_of_x"]]
    assert never[0][1] not in partners and {int(kinds[item]) for item in partners} == {int(kinds[7])}


def test_the_cost_is_that_of_the_pairing(sides):
    x, y, _ = sides
    pairing = himacl.pair(x, y, cost="cosine", certify=True)
    found = himacl.Explainer(x, y, pairing).explain(x=0)
    assert found["cost"] == pytest.approx(1 - (x[0] @ y[found["y"]]) / np.linalg.norm(x[0]) / np.linalg.norm(y[found["y"]]), abs=1e-5)
    with pytest.raises(himacl.InputError, match="the pairing was made for cosine"):
        himacl.Explainer(x, y, pairing, cost="sqeuclidean")
    with pytest.raises(himacl.InputError, match="one of given costs"):
        himacl.Explainer(x, y, himacl.pair_costs(squared(x, y)))


def test_no_partner_and_wrong_rows(sides):
    x, y, _ = sides
    pairing = himacl.pair(x[:50], y)
    explainer = himacl.Explainer(x[:50], y, pairing)
    single = int(np.flatnonzero(pairing.x_of_y < 0)[0])
    assert explainer.explain(y=single) is None
    for wrong in ({}, {"x": 1, "y": 1}, {"x": 50}, {"x": -1}):
        with pytest.raises(himacl.InputError, match="expected"):
            explainer.explain(**wrong)
    with pytest.raises(himacl.InputError, match="y_texts has 1 texts, expected 60"):
        himacl.Explainer(x[:50], y, pairing, y_texts=["one"])
