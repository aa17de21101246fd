#!/usr/bin/env python3
"""Damages files of every format that himacl reads, and gives them to it.

    scripts/attack/mutations.py target/release/himacl [--count 10000] [--seed 0] [--only FORMAT] [--keep FOLDER]

Each file is a small good one with a few changes: bits flipped, bytes cut off, doubled, exchanged or made extreme, numbers in headers and text
replaced by huge ones. The run must end within 10 s, with status 0, 1 or 2, without a panic, and never hold more than 1 GiB. What fails is kept.
Needs numpy, pyarrow and pillow.
"""

import argparse
import collections
import gzip
import io
import os
import random
import re
import shutil
import struct
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import Place
from PIL import Image

SECONDS = 10
BYTES = 1 << 30
PICTURES = 20
WORDS = "a cat and the dog under stars moon".split()


def of(write):
    """The bytes that `write` puts into a file."""
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def picture(kind, seed=0, size=(20, 16)):
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    return of(lambda out: Image.fromarray(pixels).save(out, kind))


def tar(members):
    def write(out):
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, content in members:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return of(write)


def safetensors(rows):
    header = b'{"emb":{"dtype":"F32","shape":[%d,%d],"data_offsets":[0,%d]}}' % (*rows.shape, rows.nbytes)
    return struct.pack("<Q", len(header)) + header + rows.tobytes()


def good_files():
    """By format: the file's name, its bytes, the command line that reads it as `IN`, and where it goes."""
    rows = np.random.default_rng(1).normal(size=(24, 6)).astype(np.float32)
    captions = [" ".join(random.Random(i).choices(WORDS, k=4)) for i in range(12)]
    listed = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 6)
    meta = pa.table({"key": [f"{i:03}" for i in range(8)], "caption": captions[:8], "width": list(range(8))})
    parquet = lambda table, **options: of(lambda out: pq.write_table(table, out, **options))
    pair = "pair --x IN --y y.npy -o out"
    pair_key = "pair --x IN --x-key emb --y y.npy -o out"
    text = "embed --encoder all-minilm-l6-v2 --local encoder --input IN --modality text --max-error-rate 1 -o out"
    seen = "embed --encoder efficientnet-lite0 --local lite --input IN --modality image --max-error-rate 1 -o out"
    table = "".join(f"{i}.jpg\t{caption}\n" for i, caption in enumerate(captions))
    lines = "".join('{"filepath": "%d.jpg", "title": "%s", "n": %d}\n' % (i, c, i) for i, c in enumerate(captions))
    shard = tar([(f"{i:03}.{end}", data) for i in range(4) for end, data in (("txt", captions[i].encode()), ("json", b'{"a": 1}'))])
    embeddings = pa.table({"key": [str(i) for i in range(24)], "emb": listed})
    header = "filepath\ttitle\n"
    files = {
        "npy": ("x.npy", of(lambda out: np.save(out, rows)), pair),
        "npy-f16": ("x.npy", of(lambda out: np.save(out, rows.astype(np.float16))), pair),
        "npy-fortran": ("x.npy", of(lambda out: np.save(out, np.asfortranarray(rows.astype(np.float64)))), pair),
        "npz": ("x.npz", of(lambda out: np.savez_compressed(out, emb=rows)), pair_key),
        "parquet-zstd": ("x.parquet", parquet(embeddings, compression="zstd"), pair_key),
        "parquet-snappy": ("x.parquet", parquet(embeddings, compression="snappy", use_dictionary=False), pair_key),
        "parquet-plain": ("x.parquet", parquet(embeddings, compression="none"), pair_key),
        "metadata": ("set/metadata/metadata_0.parquet", parquet(meta), "pair --x set --y y8.npy -o out"),
        "safetensors": ("x.safetensors", safetensors(rows), pair),
        "text": ("c.txt", "\n".join(captions).encode(), text),
        "tsv": ("c.tsv", (header + table).encode(), text),
        "csv": ("c.csv", (header + table).replace("\t", ",").encode(), text),
        "csv-gzip": ("c.csv.gz", gzip.compress((header + table).replace("\t", ",").encode()), text),
        "jsonl": ("c.jsonl", lines.encode(), text),
        "captions-parquet": ("c.parquet", parquet(pa.table({"caption": captions, "url": captions})), text),
        "tar": ("c.tar", shard, text),
        "tar-gzip": ("c.tar.gz", gzip.compress(shard), text),
        "anchors": ("a.csv", "".join(f"{i},{i}\n" for i in range(20)).encode(), "train --config anchored.toml"),
        "tokenizer": ("encoder2/tokenizer.json", None, text.replace("local encoder", "local encoder2").replace("IN", "good.txt")),
        "config": ("encoder2/config.json", None, text.replace("local encoder", "local encoder2").replace("IN", "good.txt")),
        "weights": ("encoder2/model.safetensors", None, text.replace("local encoder", "local encoder2").replace("IN", "good.txt")),
        "warm-start": ("warm/warm-start.safetensors", None, "pair --x x-a.npy --y y-a.npy --warm-start warm -o out"),
        "permutation": ("p.npy", of(lambda out: np.save(out, np.arange(80, dtype=np.uint32))), "pair --x x-a.npy --y y-a.npy --warm-start IN -o out"),
        "recipe": ("r.toml", None, "train --config IN"),
    }
    for kind, end in (("PNG", "png"), ("JPEG", "jpg"), ("GIF", "gif"), ("WEBP", "webp"), ("BMP", "bmp"), ("TIFF", "tif")):
        files[end] = (f"pics/p.{end}", picture(kind), seen.replace("IN", "pics"))
    return files


def mutate(data, numbers):
    """One damaged version."""
    data = bytearray(data)
    for _ in range(numbers.choice([1, 1, 1, 2, 3, 8])):
        size = len(data)
        if size == 0:
            return bytes(data)
        # Headers and footers are where sizes are.
        at = numbers.choice([numbers.randrange(size), numbers.randrange(min(size, 128)), size - 1 - numbers.randrange(min(size, 128))])
        length = numbers.choice([1, 2, 4, 8, 64, 512])
        kind = numbers.randrange(9)
        if kind == 0:
            data[at] ^= 1 << numbers.randrange(8)
        elif kind == 1:
            data[at : at + length] = bytes(numbers.randrange(256) for _ in range(len(data[at : at + length])))
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length] * numbers.choice([1, 2, 50])
        elif kind == 5:
            width = numbers.choice([1, 2, 4, 8])
            value = numbers.choice([0, 1, (1 << 8 * width) - 1, (1 << 8 * width - 1) - 1, 1 << (8 * width - 1)])
            data[at : at + width] = value.to_bytes(width, numbers.choice(["little", "big"]))[: len(data[at : at + width])]
        elif kind == 6:
            found = list(re.finditer(rb"\d+", bytes(data)))
            if found:
                match = numbers.choice(found)
                new = numbers.choice([b"0", b"-1", b"4294967296", b"99999999999", b"18446744073709551615", b"1" * 40, b"1e308", b"0.5"])
                data[match.start() : match.end()] = new
        elif kind == 7:
            data[at:at] = numbers.choice([b"\0", b"\xff\xfe", b'"', b"\n", b"{" * 2000, b"[" * 2000, b",", b"\t", b"\r", b"\\u0000", "\u202e".encode()])
        else:
            other = numbers.randrange(size)
            data[at : at + length], data[other : other + length] = data[other : other + length], data[at : at + length]
    return bytes(data)


class Attack:
    def __init__(self, place, keep):
        self.place, self.keep = place, keep
        self.counts, self.wrong = collections.Counter(), []

    def run(self, words):
        """Status, messages, seconds and the most memory held."""
        started = time.monotonic()
        process = self.place.start(words)
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        messages = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        timer.cancel()
        return process.returncode, messages, time.monotonic() - started, usage.ru_maxrss << 10

    def attack(self, name, files, words):
        """Runs on damaged files, by their paths."""
        for path, data in files.items():
            (self.place.root / path).write_bytes(data)
        shutil.rmtree(self.place.root / "out", ignore_errors=True)
        status, messages, seconds, most = self.run(words)
        self.counts[name, status] += len(files)
        problem = None
        if seconds >= SECONDS:
            problem = f"{seconds:.1f} s"
        elif status not in (0, 1, 2) or "panicked" in messages:
            problem = f"status {status}: {messages[-300:]}"
        elif most > BYTES:
            problem = f"{most >> 20} MiB"
        if problem:
            kept = self.keep / f"{name}-{sum(self.counts.values())}"
            kept.mkdir()
            for path, data in files.items():
                (kept / Path(path).name).write_bytes(data)
            self.wrong.append(f"{kept}: {problem}")
            print(f"WRONG {self.wrong[-1]}", flush=True)


def prepare(root):
    """The inputs beside those that are damaged."""
    rows = np.random.default_rng(2).normal(size=(24, 6)).astype(np.float32)
    np.save(root / "y.npy", rows)
    np.save(root / "y8.npy", rows[:8])
    (root / "set/metadata").mkdir(parents=True)
    (root / "set/img_emb").mkdir()
    np.save(root / "set/img_emb/img_emb_0.npy", rows[:8])
    (root / "good.txt").write_text("a cat\nthe moon\n")
    (root / "pics").mkdir()
    shutil.copytree(root / "encoder", root / "encoder2")
    (root / "anchored.toml").write_text(
        (root / "one-a.toml").read_text().replace("hide_pairs = true", "hide_pairs = false").replace("anchors = 20", "anchors = 'a.csv'").replace("held_out = 0.25", "")
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append")
    parser.add_argument("--keep", type=Path, default=Path("failed-inputs"))
    parser.add_argument("--lite0", type=Path, help="folder with EfficientNet-Lite0's model.safetensors, for pictures")
    arguments = parser.parse_args()
    arguments.keep.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Place(arguments.binary, folder)
        prepare(place.root)
        attack = Attack(place, arguments.keep)
        done = place.run("pair --x x-a.npy --y y-a.npy -o warm".split())
        assert done.returncode == 0, done.stderr
        files = good_files()
        if arguments.lite0:
            shutil.copytree(arguments.lite0, place.root / "lite")
        else:
            files = {name: file for name, file in files.items() if "lite" not in file[2]}
            print("without pictures: they need --lite0")
        files = {name: file for name, file in files.items() if not arguments.only or name in arguments.only}
        for name, (path, data, line) in files.items():
            if data is None:
                data = (place.root / ("one-a.toml" if name == "recipe" else path)).read_bytes()
            words = [*line.replace("IN", path).split(), "--device", "cpu", "--threads", "1"]
            attack.attack(name, {path: data}, words)
            assert attack.counts[name, 0] == 1, (name, attack.counts)
            numbers = random.Random(f"{arguments.seed} {name}")
            # Loading the encoder of pictures takes longer than looking at many.
            together = PICTURES if path.startswith("pics/") else 1
            for _ in range(arguments.count // len(files) // together):
                at = Path(path)
                paths = [path] if together == 1 else [str(at.with_stem(f"p{k}")) for k in range(together)]
                attack.attack(name, {path: mutate(data, numbers) for path in paths}, words)
            # Some files are read by other formats' commands, too.
            if together == 1:
                (place.root / path).write_bytes(data)
            else:
                shutil.rmtree(place.root / "pics")
                (place.root / "pics").mkdir()
            ended = {status: attack.counts[name, status] for status in (0, 1, 2)}
            print(f"{name}: {ended}, others {sum(c for (n, s), c in attack.counts.items() if n == name and s not in (0, 1, 2))}", flush=True)
    print(f"{sum(attack.counts.values())} files, {len(attack.wrong)} wrong")
    return 1 if attack.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
