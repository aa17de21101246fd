#!/usr/bin/env python3
"""How much memory `himacl pair` takes, beside what it says beforehand.

    scripts/memory.py BINARY [NAME...] [--work DIR]

Runs each problem below twice: with a limit that nothing meets, for the estimate, and to its end, for the peak of resident
memory (wait4: mapped inputs that lie in memory count, as they do in the estimate). Prints a Markdown table. Needs numpy.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# name: (points of x, of y, coordinates, stored as, further arguments)
PROBLEMS = {
    "balanced": (16384, 16384, 16, "f4", []),
    "balanced, 512 coordinates": (16384, 16384, 512, "f4", []),
    "balanced, 40,000": (40000, 40000, 64, "f4", []),
    "halves, normalised": (40000, 40000, 384, "f2", ["--cost", "cosine", "--normalize"]),
    "halves": (40000, 40000, 384, "f2", ["--cost", "cosine"]),
    "fast, 200,000": (200_000, 200_000, 64, "f4", ["--quality", "fast"]),
    "fast, 100,000, 384 coordinates": (100_000, 100_000, 384, "f4", ["--quality", "fast"]),
    "plane, 200,000": (200_000, 200_000, 2, "f4", []),
    "plane, 1,000,000": (1_000_000, 1_000_000, 2, "f4", []),
    "plane, proof": (200_000, 200_000, 2, "f4", ["--certify"]),
    "unequal": (20_000, 40_000, 8, "f4", []),
    "unequal, sampled gap": (100_000, 150_000, 32, "f4", ["--quality", "fast", "--certify=sampled"]),
    "few to many": (3, 200_000, 16, "f4", []),
    "best": (20_000, 20_000, 64, "f4", ["--quality", "best"]),
    "sixteen threads": (40_000, 40_000, 16, "f4", ["--threads", "16"]),
    "exact": (2048, 2048, 16, "f4", ["--solver", "exact"]),
    "exact, 6,000": (6000, 6000, 16, "f4", ["--solver", "exact"]),
    "exact, unequal": (3000, 6000, 16, "f4", ["--solver", "exact"]),
    "exact, sixteen threads": (6000, 6000, 16, "f4", ["--solver", "exact", "--threads", "16"]),
    "sinkhorn": (4000, 4000, 16, "f4", ["--solver", "sinkhorn", "--time-limit", "20"]),
    "sinkhorn, 20,000": (20_000, 20_000, 16, "f4", ["--solver", "sinkhorn", "--time-limit", "20"]),
    "progot": (3000, 3000, 16, "f4", ["--solver", "progot", "--time-limit", "20"]),
    "lot": (20_000, 20_000, 16, "f4", ["--solver", "lot", "--time-limit", "20"]),
    "frlc": (20_000, 20_000, 16, "f4", ["--solver", "frlc", "--time-limit", "20"]),
    "minibatch": (20_000, 20_000, 16, "f4", ["--solver", "minibatch"]),
    "minibatch, sixteen threads": (20_000, 20_000, 16, "f4", ["--solver", "minibatch", "--threads", "16"]),
    "partial": (10_000, 10_000, 16, "f4", ["--unmatched-cost", "20"]),
    "capacities": (20_000, 5_000, 16, "f4", ["--y-capacity", "4"]),
}
MIB = 1 << 20


# In a process of its own: the peak of one that is started from here counts what this one had taken before.
MAKE = "import numpy, sys; path, rows, dimension, kind, seed = sys.argv[1:]; numpy.save(path, numpy.random.default_rng(int(seed)).normal(size=(int(rows), int(dimension))).astype(kind))"


def points(*arguments):
    subprocess.run([sys.executable, "-c", MAKE, *map(str, arguments)], check=True)


def measure(binary, work, name):
    n, m, d, kind, extra = PROBLEMS[name]
    points(work / "x.npy", n, d, kind, 1)
    points(work / "y.npy", m, d, kind, 2)
    command = [binary, "pair", "--x", work / "x.npy", "--y", work / "y.npy", "-o", work / "out", "--progress", "none", "--force"]
    command = [str(part) for part in command] + (extra if "--threads" in extra else [*extra, "--threads", "2"])
    refused = subprocess.run([*command, "--max-memory", "0.000001"], capture_output=True, text=True, check=False)
    found = re.search(r"([\d.]+) (GiB|MiB)", refused.stderr)
    if not found:
        raise SystemExit(f"{name}: no estimate in: {refused.stderr}")
    estimate = float(found[1]) * (1024 if found[2] == "GiB" else 1)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 3):
        raise SystemExit(f"{name}: {message.decode()}")
    peak = usage.ru_maxrss * 1024 / MIB
    print(f"| {name} | {n} x {m} x {d}, {kind} | {estimate:.0f} | {peak:.0f} | {estimate / peak - 1:+.0%} | {usage.ru_utime:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROBLEMS))
    parser.add_argument("--work", type=pathlib.Path)
    arguments = parser.parse_args()
    print("| run | points | estimate, MiB | peak, MiB | estimate beside peak | user s |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        for name in arguments.names or PROBLEMS:
            measure(arguments.binary.resolve(), pathlib.Path(work), name)


if __name__ == "__main__":
    main()
