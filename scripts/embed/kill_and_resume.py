#!/usr/bin/env python3
"""Kills `himacl embed` at random moments, resumes it, and compares every byte with a run that was left alone.

usage: kill_and_resume.py HIMACL ENCODER_FOLDER TEXTS.txt OUTPUT [--lines N] [--kills 20] [--seed 0] [--shard-size 1000]

Also tells the peak memory of the whole run beside that of a run over the first tenth of the texts. Standard library only.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

# What tells about a run rather than about its result.
OF_THE_RUN = {"config.toml", "summary.json"}


def contents(folder):
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name not in OF_THE_RUN}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("himacl")
    parser.add_argument("encoder")
    parser.add_argument("texts")
    parser.add_argument("output", type=Path)
    parser.add_argument("--lines", type=int)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard-size", type=int, default=1000)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    lines = Path(args.texts).read_text(encoding="utf-8").splitlines(keepends=True)[: args.lines]
    whole, tenth = args.output / "texts.txt", args.output / "tenth.txt"
    whole.write_text("".join(lines), encoding="utf-8")
    tenth.write_text("".join(lines[: len(lines) // 10]), encoding="utf-8")

    def command(texts, folder, *more):
        return [args.himacl, "embed", "--encoder", "all-minilm-l6-v2", "--local", args.encoder, "--input", str(texts),
                "--shard-size", str(args.shard_size), "--output", str(folder), "--quiet", *more]

    def run(texts, name):
        folder = args.output / name
        shutil.rmtree(folder, ignore_errors=True)
        started = time.monotonic()
        subprocess.run(command(texts, folder), check=True, stdout=subprocess.DEVNULL)
        summary = json.loads((folder / "summary.json").read_text())
        print(f"{name}: {summary['rows']} rows, {summary['samples_per_second']:.1f} texts/s, "
              f"peak memory {summary['peak_rss_bytes'] / 2**20:.1f} MiB", flush=True)
        return folder, time.monotonic() - started

    run(tenth, "tenth")
    expected, seconds = run(whole, "whole")

    killed = args.output / "killed"
    shutil.rmtree(killed, ignore_errors=True)
    moments, kills = random.Random(args.seed), 0
    shards = -(-len(lines) // args.shard_size)

    def done():
        return len(list((killed / "stats").glob("*.json"))) if (killed / "stats").is_dir() else 0

    while kills < args.kills:
        process = subprocess.Popen(command(whole, killed, "--resume"), stdout=subprocess.DEVNULL)
        # Kills are spread over the whole run: between this one and the next lies a random share of the shards that are left,
        # so many on average that the last kill is near the end. Then any moment of a shard, or of starting up.
        left = max(0, shards - 1 - done())
        target = done() + int(moments.uniform(0.0, 2.0 * left / (args.kills - kills + 1)))
        while done() < target and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, seconds / shards))
        if process.poll() is not None:
            sys.exit(f"the run ended before kill {kills + 1}: fewer kills or more shards, please")
        process.kill()
        process.wait()
        kills += 1
        print(f"kill {kills}: {done()} of {shards} shards done", flush=True)
    subprocess.run(command(whole, killed, "--resume"), check=True, stdout=subprocess.DEVNULL)
    got, expected = contents(killed), contents(expected)
    if got != expected:
        differing = sorted(name for name in got.keys() | expected.keys() if got.get(name) != expected.get(name))
        sys.exit(f"{len(differing)} files differ: {differing[:5]}")
    print(f"killed {kills} times, resumed: {len(got)} files, byte for byte the same")


if __name__ == "__main__":
    main()
