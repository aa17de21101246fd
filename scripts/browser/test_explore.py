"""The explorer: every view opens, search finds, hostile captions are text, the keyboard is enough."""

import pytest
from conftest import HOSTILE, ITEMS, himacl

VIEWS = ["report", "map", "pairs", "pair", "path", "tree"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_opens(open_page, page_file, scheme):
    page = open_page(page_file.as_uri(), color_scheme=scheme)
    for view in VIEWS:
        page.click(f"#tab-{view}")
        shown = page.locator(f"#view-{view}")
        assert shown.is_visible() and shown.inner_text().strip()
        assert page.locator(".view:visible").count() == 1
    assert f"{ITEMS} pairs" in page.locator("#view-tree").inner_text()


def test_the_map_draws_points_of_both_sides(page):
    page.click("#tab-map")
    page.wait_for_function("Map2.frames > 0")
    colours = page.evaluate("""() => {
        Map2.drawNow();
        const { gl, canvas } = Map2, pixels = new Uint8Array(4 * canvas.width * canvas.height);
        gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
        const seen = new Set();
        for (let at = 0; at < pixels.length; at += 4) seen.add(pixels.slice(at, at + 3).join());
        return gl.getError() ? -gl.getError() : seen.size;
    }""")
    page.uncheck("#map-lines")
    points = page.evaluate("""() => {
        Map2.drawNow();
        const { gl, canvas } = Map2, pixels = new Uint8Array(4 * canvas.width * canvas.height);
        gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
        let drawn = 0;
        for (let at = 0; at < pixels.length; at += 4) drawn += pixels[at] < 250 || pixels[at + 1] < 250;
        return drawn;
    }""")
    assert colours > 20 and points > 2 * ITEMS, "an empty canvas, or one with lines alone"


def test_a_click_on_the_map_opens_the_pair(page):
    page.click("#tab-map")
    page.wait_for_function("Map2.frames > 0")
    at = page.evaluate("""() => {
        const { width, height, side } = Map2.view(), item = 17;
        return [0, 1].map((k) => (App.data.planeX[2 * item + k] / 65535 - Map2.middle[k]) * side).map((v, k) => k ? height / 2 - v : width / 2 + v);
    }""")
    page.locator("#map-canvas").click(position={"x": at[0], "y": at[1]})
    assert page.locator("#view-pair").is_visible()
    # Whatever item lies there, what is shown is a pair.
    assert page.locator("#view-pair .card h2").count() >= 2


def test_search_finds_and_orders_hold(page):
    page.click("#tab-pairs")
    page.fill("#pair-filter", "dog number 21")
    assert page.locator("#pair-list tbody tr").count() == 1
    assert "a dog number 21" in page.locator("#pair-list tbody").inner_text()
    page.fill("#pair-filter", "nothing like it")
    assert page.locator("#pair-list tbody tr").count() == 0
    page.fill("#pair-filter", "")
    page.select_option("#pair-order", "dear")
    costs = [float(text) for text in page.locator("#pair-list tbody td:nth-child(3)").all_inner_texts()]
    assert len(costs) == 40 and costs == sorted(costs, reverse=True)


def test_hostile_captions_are_text(page):
    for item, text in enumerate(HOSTILE):
        page.evaluate(f"App.show(App.data.sides[0], {item})")
        shown = page.locator("#view-pair .card.x .words").first.inner_text()
        assert shown.strip() == text.strip()
    for view in VIEWS:
        page.click(f"#tab-{view}")
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    page.wait_for_timeout(100)
    assert page.evaluate("window.broken") is None
    assert page.locator("main img, main b, main script").count() == 0


def test_one_pair_says_why_and_what_else(page):
    page.evaluate("App.show(App.data.sides[0], 20)")
    view = page.locator("#view-pair")
    text = view.inner_text()
    assert "a cat number 20" in text and "What else this x might have had" in text
    why = view.locator(".card:has(.ends)").first.inner_text()
    assert "cat" in why, "the first direction is the one of the kinds"
    assert view.locator(".thumb").count() > 0
    view.locator("button:has-text('What lies between')").click()
    assert page.locator("#view-path").is_visible()
    assert "cat" in page.locator("#path-steps").inner_text()


def test_groups_are_named_by_their_words(page):
    page.click("#tab-tree")
    names = page.locator("#view-tree details.node details.node > summary").all_inner_texts()
    assert {name.split(",")[0].split()[0] for name in names} == {"cat", "dog", "tree", "boat"}, names
    page.locator("#view-tree details.node details.node > summary").first.click()
    page.locator("#view-tree button:has-text('List these pairs')").nth(1).click()
    assert page.locator("#view-pairs").is_visible()
    assert "of the group" in page.locator("#pair-count").inner_text()


def test_the_keyboard_is_enough(page):
    def press(*keys):
        for key in keys:
            page.keyboard.press(key)

    focused = "document.activeElement.id || document.activeElement.textContent"
    press("Tab")
    assert "Skip" in page.evaluate(focused)
    press("Tab")
    assert page.evaluate(focused) == "tab-report"
    press("ArrowRight")
    assert page.evaluate(focused) == "tab-map" and page.locator("#view-map").is_visible()
    page.wait_for_function("Map2.frames > 0")
    for _ in range(10):
        press("Tab")
        if page.evaluate(focused) == "map-canvas":
            break
    before = page.evaluate("Map2.zoom")
    press("+", "ArrowLeft")
    assert page.evaluate("Map2.zoom") > before
    press("Enter")
    assert page.locator("#view-pair").is_visible()
    page.locator("#tab-pair").focus()
    press("ArrowLeft")
    for _ in range(60):
        press("Tab")
        if page.evaluate("document.activeElement.className") == "link":
            break
    press("Enter")
    assert page.locator("#view-pair").is_visible()


def test_a_second_layout_can_be_chosen(open_page, page_file, folder):
    himacl("explore", "--pairs", "pairs", "--x-texts", "texts.txt", "--tsne", "-o", "near.html", "--quiet", cwd=folder)
    himacl("explore", "--pairs", "pairs", "--x-texts", "texts.txt", "--tsne", "-o", "again.html", "--threads", "1", "--quiet", cwd=folder)
    assert (folder / "near.html").read_bytes() == (folder / "again.html").read_bytes(), "the threads do not matter"
    page = open_page((folder / "near.html").as_uri() + "#map")
    # The nearest y of an x is of its kind.
    same = page.evaluate("""() => {
        const { nearX: x, nearY: y, n, m } = App.data;
        const nearest = (i) => [...Array(m).keys()].map((j) => [(x[2 * i] - y[2 * j]) ** 2 + (x[2 * i + 1] - y[2 * j + 1]) ** 2, j]).sort((a, b) => a[0] - b[0])[0][1];
        return [...Array(n).keys()].filter((i) => nearest(i) % 4 === i % 4).length;
    }""")
    assert same >= ITEMS - 3
    page.wait_for_function("Map2.frames > 0")
    pixels = """() => {
        Map2.drawNow();
        const { gl, canvas } = Map2, pixels = new Uint8Array(4 * canvas.width * canvas.height);
        gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
        return pixels.reduce((sum, value, at) => (sum * 31 + value * (at % 1009)) % 1000000007, 7);
    }"""
    before = page.evaluate(pixels)
    page.locator("#map-layout").focus()
    page.keyboard.press("ArrowDown")
    assert "neighbours in the directions" in page.locator("#view-map").inner_text()
    after = page.evaluate(pixels)
    assert before != after
    # A click opens what lies there now.
    at = page.evaluate("""() => {
        const { width, height, side } = Map2.view(), item = 17;
        return [0, 1].map((k) => (App.data.nearX[2 * item + k] / 65535 - Map2.middle[k]) * side).map((v, k) => k ? height / 2 - v : width / 2 + v);
    }""")
    page.locator("#map-canvas").click(position={"x": at[0], "y": at[1]})
    assert page.locator("#view-pair .card h2").count() >= 2
    page.click("#tab-map")
    page.select_option("#map-layout", "plane")
    assert page.evaluate(pixels) == before


def test_an_address_leads_to_a_pair(open_page, page_file):
    page = open_page(page_file.as_uri() + "#pair/y30")
    assert page.locator("#view-pair").is_visible()
    assert "y row 30" in page.locator("#view-pair").inner_text()
    assert page.evaluate("[...App.data.sides[1].pairs(30)].map((pair) => App.data.pairY[pair])") == [30]


def test_it_is_read_without_scripts(browser, page_file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert f"{ITEMS} pairs" in page.locator("#view-report").inner_text()
    context.close()
