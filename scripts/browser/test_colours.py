"""Colours by columns of the metadata: on the map, in its key, in the list, of one pair, in the report."""

import pytest
from conftest import ITEMS, himacl, write_npy

KINDS = ["<i>kind 0</i>", *(f"kind {kind}" for kind in range(1, 14))]


def kind(item):
    """Fourteen kinds, the lower ones more often; every tenth item has none."""
    return "" if item % 10 == 9 else KINDS[item % 14 if item % 3 else item % 5]


@pytest.fixture(scope="module")
def coloured(folder):
    """Pages of the same pairs, with a table of kinds (`text`) and numbers (`row`), as --atlas writes it of ITEMS - 1 items and one."""
    write_npy(folder / "few.npy", [[float(item * item), 1.0] for item in range(ITEMS - 1)])
    write_npy(folder / "one.npy", [[5.0, 1.0]])
    (folder / "kinds.txt").write_text("\n".join(kind(item) for item in range(ITEMS - 1)) + "\n")
    (folder / "kind.txt").write_text(kind(ITEMS - 1) + "\n")
    himacl("pair", "--x", "few.npy", "--y", "one.npy", "--output", "few", "--quiet", cwd=folder)
    himacl("explore", "--pairs", "few", "--x-texts", "kinds.txt", "--y-texts", "kind.txt", "--atlas", "table.parquet", "-o", "few.html", "--quiet", cwd=folder)
    common = ["explore", "--pairs", "pairs", "--x-texts", "texts.txt", "--x-metadata", "table.parquet", "--colour", "text", "--colour", "row", "--quiet"]
    himacl(*common, "--y-texts", "texts.txt", "--y-metadata", "table.parquet", "-o", "both.html", cwd=folder)
    himacl(*common, "-o", "one.html", cwd=folder)
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_map_has_a_colour_for_each_class_and_a_key(open_page, coloured, scheme):
    page = open_page((coloured / "both.html").as_uri() + "#map", color_scheme=scheme)
    page.wait_for_function("Map2.frames > 0")
    keys = page.locator("#map-key .key").all_inner_texts()
    known = [kind(item) for item in range(ITEMS)]
    missing = 2 * known.count("")
    assert len(keys) == 13 and keys[-2:] == ["3 other values", f"missing ({missing})"]
    counts = [known.count(name) for name in keys[:11]]
    assert counts == sorted(counts, reverse=True), "the most frequent are named"
    assert "<i>kind 0</i>" in keys, "a name is text"
    page.uncheck("#map-lines")
    seen = page.evaluate("""() => {
        Map2.drawNow();
        const { gl, canvas } = Map2, pixels = new Uint8Array(4 * canvas.width * canvas.height);
        gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
        const seen = new Set();
        for (let at = 0; at < pixels.length; at += 4) seen.add(pixels.slice(at, at + 3).join());
        return [...KINDS, OTHERS, MISSING].map((colour) => seen.has(colour.join()));
    }""")
    assert all(seen), seen


def test_numbers_have_a_scale_with_marks(open_page, coloured):
    page = open_page((coloured / "both.html").as_uri() + "#map")
    page.select_option("#map-colour", label="row")
    marks = [float(mark) for mark in page.locator("#map-key .marks span").all_inner_texts()]
    assert len(marks) == 5 and marks == sorted(marks) and marks[0] < marks[4]
    assert page.locator("#map-key .ramp").is_visible()
    first, last = page.evaluate("""() => {
        const way = Colours.columns()[1], side = App.data.sides[0], order = [...Array(side.count).keys()].sort((a, b) => way.value(side, a) - way.value(side, b));
        return [order[0], order[order.length - 1]].map((item) => way.of(side, item));
    }""")
    assert first == [68, 1, 84] and last[0] > 240 and last[2] < 60


def test_a_side_without_the_column_is_grey_and_named(open_page, coloured):
    page = open_page((coloured / "one.html").as_uri() + "#map")
    assert page.locator("#map-key .key").last.inner_text() == "all y: they have no such column"
    assert page.evaluate("Colours.columns()[0].of(App.data.sides[1], 0)") == [140, 140, 140]
    page.evaluate("App.show(App.data.sides[0], 0)")
    assert page.locator("#view-pair .card.x table.columns").count() == 1
    assert page.locator("#view-pair .card.y table.columns").count() == 0


def test_values_are_in_the_list_and_of_one_pair(open_page, coloured):
    page = open_page((coloured / "both.html").as_uri() + "#pairs")
    assert page.locator("#pair-list thead th").all_inner_texts()[-2:] == ["text", "row"]
    page.select_option("#pair-order", "rows")
    cell = page.locator("#pair-list tbody tr").first.locator("td.value").first
    assert cell.inner_text().split("\n") == ["<i>kind 0</i>", "<i>kind 0</i>"]
    tenth = page.locator("#pair-list tbody tr").nth(9).locator("td.value").first
    assert "missing" in tenth.inner_text()
    page.fill("#pair-filter", "<i>kind")
    assert page.locator("#pair-list tbody tr").count() == sum(kind(item) == KINDS[0] for item in range(ITEMS))
    page.fill("#pair-filter", "")
    page.select_option("#pair-order", "column1-high")
    values = page.evaluate("Pairs.shown.map((i) => Colours.columns()[1].value(App.data.sides[0], i))")
    assert values == sorted(values, reverse=True)
    page.evaluate("App.show(App.data.sides[0], 1)")
    assert "kind 1" in page.locator("#view-pair .card.x table.columns").inner_text()


def test_the_keyboard_chooses_the_colour(open_page, coloured):
    page = open_page((coloured / "both.html").as_uri() + "#map")
    page.locator("#map-colour").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#map-colour").input_value() == "column1"
    assert page.locator("#map-key .ramp").is_visible()


def test_the_report_says_how_partners_agree(open_page, coloured):
    page = open_page((coloured / "both.html").as_uri())
    text = page.locator("#view-report").inner_text()
    known = sum(kind(item) != "" for item in range(ITEMS))
    assert "By text" in text and f"of {known} pairs" in text and "3 others" in text
    assert "rank correlation of partners" in text
