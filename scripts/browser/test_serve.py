"""The server: answers as `himacl search` does, holds under many requests, refuses what is not for it."""

import json
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import os
import pytest
from conftest import ITEMS, himacl

RECIPE = """
[data]
source = "x.npy"
target = "y.npy"
hide_pairs = true
anchors = 40
held_out = 20
[alignment]
mode = "anchors"
[map]
inverse = true
[train]
epochs = 1
[output]
dir = "run"
"""


@contextmanager
def served(folder, *arguments):
    command = [os.path.abspath(os.environ["HIMACL"]), "serve", "--run", "run", "--port", "0", "--x-images", "pictures", *arguments, "--quiet"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), address
        yield address.rstrip("/")
    finally:
        process.terminate()
    assert process.wait(20) == 0


@pytest.fixture(scope="module")
def server(folder):
    (folder / "recipe.toml").write_text(RECIPE)
    himacl("train", "--config", "recipe.toml", "--quiet", cwd=folder)
    with served(folder, "--x-texts", "texts.txt", "--y-texts", "texts.txt") as address:
        yield address


def ask(address, body=None, headers=()):
    """The status and the answer."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(address, data, dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def rows(folder):
    data = (folder / "x.npy").read_bytes()[-ITEMS * 8 * 4:]
    import struct

    return [list(struct.unpack("<8f", data[32 * row:32 * row + 32])) for row in range(ITEMS)]


def query(values):
    """What clip-retrieval's client sends."""
    return {"text": None, "image": None, "image_url": None, "embedding_input": values, "deduplicate": True, "use_safety_model": True,
            "use_violence_detector": True, "indice_name": "himacl", "use_mclip": False, "aesthetic_score": 9, "aesthetic_weight": 0.5,
            "modality": "text", "num_images": 5, "num_result_ids": 5, "verbose": False, "side": "target"}


def test_it_answers_as_search_does(server, folder):
    found = json.loads(himacl("search", "--run", "run", "--embedding", "x.npy", "--side", "source", "-k", "5", "--json", cwd=folder))
    # Both sides have eight coordinates: the server cannot tell which is asked, and says so.
    status, answer = ask(server + "/knn-service", query(rows(folder)[3]))
    assert status == 400 and b"--side" in answer
    status, answer = ask(server + "/knn-service", {**query(rows(folder)[3]), "query_side": "source"})
    assert status == 200
    answer = json.loads(answer)
    assert [hit["id"] for hit in answer] == [hit["row"] for hit in found[3]["hits"]]
    assert all({"id", "similarity", "caption"} <= hit.keys() for hit in answer)
    assert json.loads(ask(server + "/indices-list")[1]) == ["himacl"]
    metadata = json.loads(ask(server + "/metadata", {"ids": [7], "indice_name": "himacl"})[1])
    assert metadata == [{"id": 7, "metadata": {"caption": "a boat number 7"}}]


def test_every_hit_has_what_clients_read(server, folder):
    # As many as there are to be ids, as the front end asks; a caption though there are no texts, and a picture.
    body = {**query(rows(folder)[3]), "query_side": "target", "side": "source", "num_images": 5, "num_result_ids": 9}
    with served(folder, "--no-explorer") as address:
        hits = json.loads(ask(address + "/knn-service", body)[1])
    assert len(hits) == 9
    assert all(hit["caption"] == "" and hit["url"].startswith(address + "/picture/source/") for hit in hits)


def test_two_hundred_at_a_time(server, folder):
    bodies = [{**query(row), "query_side": "source"} for row in rows(folder)]
    gate = threading.Barrier(200)

    def one(at):
        gate.wait()
        return ask(server + "/knn-service", bodies[at % ITEMS])

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(one, range(200)))
    assert {status for status, _ in answers} == {200}
    assert all(len(json.loads(answer)) == 5 for _, answer in answers)


def test_what_is_not_for_it_is_refused(server):
    status, picture = ask(server + "/picture/source/3")
    assert status == 200 and picture[:2] == b"\xff\xd8"
    for path in ["/picture/source/999", "/picture/target/3", "/picture/source/..%2f..%2fetc%2fpasswd", "/picture/..%2f/1", "/etc/passwd",
                 "/picture/source/-1", "//etc/passwd"]:
        assert ask(server + path)[0] in (400, 404), path
    # As it is, without a client that tidies up.
    host, port = server.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        raw.sendall(b"GET /picture/source/../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := raw.recv(4096):
            answer += part
    assert b" 404 " in answer.split(b"\r\n")[0] and b"root:" not in answer
    try:
        assert ask(server + "/knn-service", b"[" * (9 << 20))[0] == 413
    except urllib.error.URLError as error:
        # The refusal may come, and the connection end, while the body is on its way.
        assert isinstance(error.reason, (BrokenPipeError, ConnectionResetError)), error
    assert ask(server + "/knn-service", b"{")[0] == 400
    for body in [{}, {"image": "!"}, {"image": "aGFsbG8="}, {"embedding_input": [1.0]}, {"embedding_input": []}, {"image_url": "http://127.0.0.1/"}]:
        assert ask(server + "/knn-service", body)[0] == 400, body
    for header in [("Host", "evil.example"), ("Origin", "https://evil.example")]:
        assert ask(server + "/indices-list", headers=[header])[0] == 403


def test_its_page_explores_and_searches(server, open_page, folder):
    page = open_page(server + "/")
    page.click("#tab-search")
    answer = ask(server + "/knn-service", {**query(rows(folder)[20]), "query_side": "source"})[1].decode()
    page.route("**/knn-service", lambda route: route.fulfill(status=200, content_type="application/json", body=answer))
    page.fill("#search-text", "anything")
    page.keyboard.press("Enter")
    page.wait_for_selector(".hits li")
    assert page.locator(".hits li").count() == 5
    page.locator(".hits li button").first.click()
    assert page.locator("#view-pair").is_visible()
