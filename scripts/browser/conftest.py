"""Small sets of items with pictures and texts, a page made of them, and a browser that notes what it loads."""

import os
import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

HOSTILE = [
    "<script>window.broken = 1</script><img src=x onerror='window.broken = 2'>",
    "\"quoted\" 'twice' & &amp; </title></script><b>bold</b>",
    "\u202eright to left\u202c \u0639\u0631\u0628\u064a",
    "long " + "x" * 10_000,
    "{{ 7 * 7 }} ${7 * 7} %s \\u003cb\\u003e",
]
KINDS = ["cat", "dog", "tree", "boat"]
ITEMS = 121


def write_npy(path, rows):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}"
    header = header.ljust(64 * -(-(len(header) + 11) // 64) - 11) + "\n"
    body = b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body)


def write_png(path, colour):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = (b"\x00" + bytes(colour) * 20) * 20
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20, 20, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def himacl(*arguments, cwd):
    command = [os.path.abspath(os.environ["HIMACL"]), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Four kinds of items on both sides, with captions; the first captions are hostile."""
    folder = tmp_path_factory.mktemp("page")
    draw = random.Random(7)
    x, y, texts = [], [], []
    for item in range(ITEMS):
        kind = item % len(KINDS)
        place = [4.0 * (kind == k) for k in range(len(KINDS))] + [draw.gauss(0, 1) for _ in range(4)]
        x.append([value + draw.gauss(0, 0.1) for value in place])
        y.append([value + draw.gauss(0, 0.1) for value in place])
        texts.append(HOSTILE[item] if item < len(HOSTILE) else f"a {KINDS[kind]} number {item}")
    write_npy(folder / "x.npy", x)
    write_npy(folder / "y.npy", y)
    (folder / "texts.txt").write_text("\n".join(texts) + "\n")
    (folder / "pictures").mkdir()
    for item in range(ITEMS):
        write_png(folder / "pictures" / f"{item:04}.png", [40 * (item % 4), 80, 2 * item])
    himacl("pair", "--x", "x.npy", "--y", "y.npy", "--output", "pairs", "--quiet", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def page_file(folder):
    himacl("explore", "--pairs", "pairs", "--x-texts", "texts.txt", "--y-texts", "texts.txt", "--x-images", "pictures",
           "-o", "explore.html", "--quiet", cwd=folder)
    return folder / "explore.html"


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as driver:
        # WebGL without a graphics card; a sandbox needs rights that containers do not give.
        arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens an address; at the end nothing may have failed, and nothing may have been asked of another place."""
    pages = []

    def open_page(address, **options):
        context = browser.new_context(viewport={"width": 1200, "height": 800}, **options)
        page = context.new_page()
        page.asked, page.failed = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.failed.append(str(error)))
        page.on("console", lambda message: page.failed.append(message.text) if message.type == "error" else None)
        page.set_default_timeout(10_000)
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        pages.append((page, address))
        return page

    yield open_page
    for page, address in pages:
        assert page.failed == [], page.failed
        own = address.split("#")[0]
        own = own if own.startswith("file:") else "/".join(own.split("/")[:3]) + "/"
        foreign = [url for url in page.asked if not url.startswith((own, "blob:", "data:"))]
        assert foreign == [], foreign
        page.context.close()


@pytest.fixture
def page(open_page, page_file):
    return open_page(page_file.as_uri())
