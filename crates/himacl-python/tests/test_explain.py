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
