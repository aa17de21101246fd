"""Items with several partners, and single ones: on the map, in the list, one by one."""

import pytest
from conftest import himacl, write_npy

PLACES, EACH, FAR = 30, 3, 5


@pytest.fixture(scope="module")
def matched(folder):
    """Three x around each y but the last; five x far from everything, which stay single."""
    y = [[float(10 * (place % 6)), float(10 * (place // 6)), 0.0] for place in range(PLACES)]
    x = [[y[item // EACH][0] + 0.1 * (item % EACH), y[item // EACH][1], 0.0] for item in range(EACH * (PLACES - 1))]
    x += [[0.0, 0.0, 1000.0 + item] for item in range(FAR)]
    write_npy(folder / "several_x.npy", x)
    write_npy(folder / "several_y.npy", y)
    (folder / "places.txt").write_text("\n".join(f"place {place}" for place in range(PLACES)) + "\n")
    himacl("pair", "--x", "several_x.npy", "--y", "several_y.npy", "--y-capacity", EACH, "--unmatched-cost", 30, "--output", "several", "--quiet", cwd=folder)
    himacl("explore", "--pairs", "several", "--y-texts", "places.txt", "-o", "several.html", "--quiet", cwd=folder)
    return folder / "several.html"


def test_all_partners_of_an_item_are_shown(open_page, matched):
    page = open_page(matched.as_uri() + "#pair/y4")
    partners = page.locator("#view-pair .partners")
    assert partners.get_attribute("aria-label") == "3 partners of y row 4"
    assert partners.locator("button").all_inner_texts() == ["x row 12", "x row 13", "x row 14"]
    assert partners.locator("[aria-current]").inner_text() == "x row 12"
    partners.locator("button").nth(2).focus()
    page.keyboard.press("Enter")
    assert "x row 14" in page.locator("#view-pair .card.x h2").inner_text()
    assert page.locator("#view-pair .partners [aria-current]").inner_text() == "x row 14"
    assert page.evaluate("location.hash") == "#pair/x14"
    text = page.locator("#view-report").text_content()
    assert "29 of 30 y have several partners, at most 3." in text and "5 of 92 x are single." in text and "1 of 30 y are single." in text


def test_single_items_are_in_the_list_with_their_nearest(open_page, matched):
    page = open_page(matched.as_uri() + "#pairs")
    assert page.locator("#pair-count").inner_text().startswith("87 pairs and 6 single items")
    page.select_option("#pair-kinds", "singles")
    rows = page.locator("#pair-list tbody tr")
    assert rows.count() == 6 and all("single" in text for text in rows.all_inner_texts())
    page.select_option("#pair-order", "rows")
    rows.first.locator("button.link").focus()
    page.keyboard.press("Enter")
    view = page.locator("#view-pair")
    assert "it is single" in view.inner_text() and "Nearest to it is place" in view.inner_text()
    assert view.locator("h2:has-text('What this x might have had')").count() == 1
    page.click("#tab-path")
    assert "no way to a partner" in page.locator("#view-path").inner_text()
    page.click("#tab-pairs")
    page.select_option("#pair-kinds", "pairs")
    page.fill("#pair-filter", "place 17")
    assert rows.count() == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_lead_to_all_partners_and_singles_are_crosses(open_page, matched, scheme):
    page = open_page(matched.as_uri() + "#map", color_scheme=scheme)
    page.wait_for_function("Map2.frames > 0")
    assert page.evaluate("Map2.buffers.line.numElements") == 2 * 87
    assert "crosses are single items" in page.locator("#view-map").inner_text()
    # Zoomed onto a single item: its middle is drawn, and nothing straight above or aside.
    drawn = page.evaluate("""() => {
        const side = App.data.sides[0], item = 87;
        Map2.middle = [0, 1].map((k) => side.plane[2 * item + k] / 65535);
        document.getElementById("map-lines").checked = false;
        Map2.drawNow();
        const { gl, canvas } = Map2, at = (dx, dy) => { const pixel = new Uint8Array(4); gl.readPixels(canvas.width / 2 + dx, canvas.height / 2 + dy, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel); return [...pixel.slice(0, 3)].join(); };
        const empty = at(200, 200);
        return [[0, 0], [5, 5], [-5, 5], [11, 0], [0, 11]].map(([dx, dy]) => at(dx, dy) !== empty);
    }""")
    assert drawn[:3] == [True, True, True] and drawn[3:] == [False, False], drawn
