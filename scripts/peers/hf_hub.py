#!/usr/bin/env python3
"""What the crate hf-hub does with servers that misbehave, and what it costs to build: the figures of docs/hub.md.

usage: hf_hub.py WORK_FOLDER [--version 1.0.0] [--release]      needs cargo, a C compiler and cmake

Makes a program in WORK_FOLDER that fetches one file by hf-hub's blocking client, runs it against a local server with one
fault after the other, and prints what became of the file in the cache.
"""

import argparse
import hashlib
import http.server
import os
import subprocess
import threading
import time
from pathlib import Path

PROGRAM = """
fn main() {
    let [endpoint, cache, range] = ["ENDPOINT", "CACHE", "RANGE"].map(|name| std::env::var(name).unwrap_or_default());
    let client = hf_hub::HFClient::builder().endpoint(endpoint).cache_dir(cache).build_sync().unwrap();
    let repo = client.model("org", "encoder");
    let got = if range.is_empty() {
        repo.download_file().filename("model.safetensors").send().map(|_| "ok".to_owned())
    } else {
        let got = repo.download_file_to_bytes().filename("model.safetensors").range(100..200).send();
        got.map(|bytes| format!("{} bytes", bytes.len()))
    };
    println!("{}", got.unwrap_or_else(|error| format!("error: {error}")));
}
"""
COMMIT = "0123456789abcdef0123456789abcdef01234567"
DATA = bytes(range(256)) * 40_000
SUM = hashlib.sha256(DATA).hexdigest()
FAULTS = {
    "none": "a sound server",
    "cut": "the body ends after 4 of 10 MB",
    "busy": "429 with `Retry-After: 30`",
    "altered": "one byte differs",
    "page": "a web page with status 200",
    "link": "`.incomplete` is a link to a file of the user's",
    "range": "the server ignores ranges; 100 bytes are asked for",
    "silent": "the server does not answer",
}


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    requests = 0

    def log_message(self, *_):
        pass

    def send(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def do_GET(self):
        Hub.requests += 1
        fault = self.path.split("/")[1]
        names = {"ETag": f'"{SUM}"', "X_Repo_Commit": COMMIT}
        if self.command == "HEAD":
            if fault == "silent":
                time.sleep(120)
            self.send(200, DATA, **names)
            return
        body, status = DATA, 200
        if fault == "busy":
            body, status = b"{}", 429
            names = {"Retry_After": 30}
        elif fault == "page":
            body = b"<!doctype html>Log in"
        elif fault == "altered":
            body = DATA[:-1] + b"!"
        self.send(status, body, **names)
        self.wfile.write(body[: 4_000_000 if fault == "cut" else None])
        if fault == "cut":
            self.close_connection = True

    do_HEAD = do_GET


def build(work, version, release):
    crate = work / "probe"
    if not crate.exists():
        subprocess.run(["cargo", "new", "--quiet", "--vcs", "none", crate], check=True)
        with open(crate / "Cargo.toml", "a") as manifest:
            manifest.write(f'hf-hub = {{ version = "={version}", features = ["blocking", "rustls-tls"] }}\n')
            manifest.write('\n[profile.release]\nlto = "thin"\nstrip = "symbols"\n')
    (crate / "src/main.rs").write_text(PROGRAM)
    before = os.times()
    subprocess.run(["cargo", "build", "--quiet"] + ["--release"] * release, cwd=crate, check=True)
    seconds = os.times().children_user - before.children_user
    tree = ["cargo", "tree", "--edges", "normal", "--prefix", "none", "--no-dedupe"]
    crates = set(subprocess.run(tree, cwd=crate, check=True, capture_output=True, text=True).stdout.splitlines())
    binary = crate / "target" / ("release" if release else "debug") / "probe"
    print(f"{len(crates) - 1} crates, {seconds:.0f} s of processor time, {binary.stat().st_size / 1e6:.1f} MB\n")
    return binary


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--version", default="1.0.0")
    parser.add_argument("--release", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    binary = build(options.work.resolve(), options.version, options.release)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("| server | answer | requests | seconds | in the cache |\n|---|---|---|---|---|")
    for fault, described in FAULTS.items():
        cache = options.work / f"cache-{fault}-{time.time_ns()}"
        blobs = cache / "models--org--encoder/blobs"
        mine = options.work / "mine.txt"
        mine.write_text("mine")
        if fault == "link":
            blobs.mkdir(parents=True)
            (blobs / f"{SUM}.incomplete").symlink_to(mine.resolve())
        endpoint = f"http://127.0.0.1:{server.server_address[1]}/{fault}"
        settings = {"ENDPOINT": endpoint, "CACHE": str(cache), "RANGE": "1" * (fault == "range")}
        Hub.requests, start = 0, time.time()
        try:
            ran = subprocess.run([binary], env={**os.environ, **settings}, capture_output=True, text=True, timeout=60)
            answer = ran.stdout.strip()
        except subprocess.TimeoutExpired:
            answer = "none within a minute"
        seconds = time.time() - start
        found = sorted(blobs.iterdir()) if blobs.exists() else []
        files = ", ".join(f"{path.name[:4]}...{path.suffix} of {path.stat().st_size} bytes" for path in found)
        if fault == "link" and mine.read_bytes() != b"mine":
            files += "; the user's file is overwritten"
        print(f"| {described} | {answer} | {Hub.requests} | {seconds:.1f} | {files} |", flush=True)


if __name__ == "__main__":
    main()
