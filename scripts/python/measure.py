"""The same pairing through the package and through the command line, side by side: seconds and peak memory.

Usage: python scripts/python/measure.py [--rounds N] [--output FILE.jsonl]     (himacl must be installed; Linux)

Each solve runs in a fresh process, turn by turn. `solve` is the time from points in memory to a pairing in memory: the call itself in
Python, the summary's phases but load and write on the command line. `process` is the whole process, its start and its files included;
`processor` the processor time of the call, and of the whole process of the command.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SETS = {"2^20 x 2": (1 << 20, 2), "65,536 x 64": (1 << 16, 64)}
CALL = """
import json, resource, sys, time
import numpy as np, himacl
x, y = (np.load(f"{sys.argv[1]}/{side}.npy") for side in "xy")
himacl.pair(x[:16], y[:16])
rss = lambda name: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
before = rss("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
began, processor = time.perf_counter(), time.process_time()
found = himacl.pair(x, y, progress=False)
seconds = time.perf_counter() - began
print(json.dumps({"solve": seconds, "processor": time.process_time() - processor, "mean_cost": found.mean_cost, "points_mib": (x.nbytes + y.nbytes) / 2**20,
                  "peak_above_points_mib": (rss("VmHWM") - before) / 1024}))
"""


def clouds(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """A half-moon and an S-curve in the plane; else two draws of one normal distribution."""
    rng = np.random.default_rng(0)
    if d != 2:
        return tuple(rng.normal(size=(n, d)).astype(np.float32) for _ in range(2))  # type: ignore[return-value]
    moon, curve = rng.uniform(0, np.pi, n), rng.uniform(-1.5 * np.pi, 1.5 * np.pi, n)
    x = np.stack([np.cos(moon), np.sin(moon)], axis=1)
    y = np.stack([np.sin(curve), np.sign(curve) * (np.cos(curve) - 1)], axis=1)
    return tuple((side + 0.05 * rng.normal(size=(n, 2))).astype(np.float32) for side in (x, y))  # type: ignore[return-value]


def by_package(folder: Path) -> dict[str, float]:
    """The call in a process of its own."""
    began = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", CALL, folder], check=True, capture_output=True, text=True).stdout
    return {**json.loads(out), "process": time.perf_counter() - began}


def by_command(folder: Path) -> dict[str, float]:
    """The command `himacl pair`."""
    with tempfile.TemporaryDirectory() as out:
        command = ["himacl", "--quiet", "--progress", "none", "pair", "--x", folder / "x.npy", "--y", folder / "y.npy", "-o", f"{out}/o"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        summary = json.loads(Path(out, "o", "summary.json").read_text())
    phases = {name: value for name, value in summary["seconds"].items() if name not in ("fingerprint", "load", "write", "total") and value}
    return {
        "solve": sum(phases.values()),
        "process": seconds,
        "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "mean_cost": summary["mean_cost"],
        "peak_mib": summary["peak_rss_bytes"] / 2**20,
    }


def main() -> None:
    """Measures all sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows = []
    for name, (n, d) in SETS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for side, cloud in zip("xy", clouds(n, d), strict=True):
                np.save(folder / f"{side}.npy", cloud)
            for _ in range(arguments.rounds):
                for how, measure in (("package", by_package), ("command", by_command)):
                    rows.append({"set": name, "by": how, **measure(folder)})
                    print(rows[-1], flush=True)
        of = {how: [row for row in rows if row["set"] == name and row["by"] == how] for how in ("package", "command")}
        costs = {row["mean_cost"] for how in of.values() for row in how}
        print(f"{name}: costs {costs}; package / command, medians:")
        for what in ("solve", "process", "processor"):
            package, command = (statistics.median(row[what] for row in of[how]) for how in ("package", "command"))
            print(f"  {what}: {package:.2f} / {command:.2f} s = {package / command:.3f}")
        assert len(costs) == 1, "the same seed gives the same bits"
    if arguments.output:
        arguments.output.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
