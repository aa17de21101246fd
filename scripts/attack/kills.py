#!/usr/bin/env python3
"""Kills himacl at every rename, unlink, mkdir, fsync, ... of a run, and checks what is left and what comes next.

    scripts/attack/kills.py target/release/himacl [--every N] [--only COMMAND]

For each command a fresh run, one with --force over an earlier result of other data, and one with --resume are killed by
strace, right before the k-th call of each kind, for every k. After each kill:

- no file of the user's, beside the results and among them, has changed;
- fresh or resumed: the same command with --resume ends with the result of a run that was never killed (`apply` and `eval`,
  which have no --resume, with --force);
- forced: --resume either ends with the new result, or is refused and the old result is whole, byte for byte; --force then
  ends with the new one;
- no temporary file, lock or result set aside is left after a good end.
"""

import argparse
import collections
import re
import sys
import tempfile
import time
from pathlib import Path

from common import Place, leftovers, result

CALLS = "rename renameat renameat2 unlink unlinkat mkdir mkdirat rmdir fsync fdatasync ftruncate flock".split()
COMMANDS = ["pair", "pair-external", "embed", "train", "train-two", "apply", "apply-file", "eval"]
# Files of the user's in the output folder, some of them beside the program's own in its folders.
MINE = {
    "pair": ["mine.txt"],
    "pair-external": ["mine.txt", "pairs/mine.parquet", "work/mine", "work/solve/mine.bin"],
    "embed": ["mine.txt", "text_emb/mine.npy", "stats/mine.json"],
    "train": ["mine.txt", "checkpoints/mine", "couplings/mine.safetensors"],
    "train-two": ["mine.txt", "main/mine", "main/seed-1/mine", "other/seed-1/mine.json"],
    "apply": ["mine.txt", "text_emb/mine.npy"],
    "apply-file": [],
    "eval": ["mine.txt"],
}


class Attack:
    def __init__(self, place, every):
        self.place, self.every = place, every
        self.kills, self.wrong = collections.Counter(), []

    def good(self, name, sort, *more):
        done = self.place.run(self.place.command(name, sort, *more))
        assert done.returncode == 0, (name, more, done.stderr)
        return self.place.files()

    def points(self, words):
        """The calls that the run makes, as (kind, k)."""
        log = self.place.root / "calls.log"
        self.place.run(words, ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}"])
        counts = collections.Counter()
        for line in log.read_text().splitlines():
            if match := re.match(r"(\d+) +(\w+)\(", line):
                counts[match[1], match[2]] += 1
        most = collections.Counter()
        for (_, call), count in counts.items():
            most[call] = max(most[call], count)
        return [(call, k) for call, count in sorted(most.items()) for k in range(1, count + 1)][:: self.every]

    def kill(self, words, call, k):
        tamper = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={k}", "-o", "/dev/null"]
        return self.place.run(words, ["strace", "-f", "-qq", *tamper]).returncode

    def series(self, name, mode, start, words, old, new, settle):
        """Kills a run that starts from the files `start` at every point."""
        place = self.place
        place.restore(start)
        points = self.points(words)
        started = time.monotonic()
        for call, k in points:
            place.restore(start)
            if self.kill(words, call, k) == 0:
                continue  # another thread counts otherwise than in the first run
            self.kills[name, mode] += 1
            problem = self.after(name, start, old, new, settle)
            if problem:
                self.wrong.append((name, mode, call, k, problem))
                print(f"WRONG {name} {mode} {call} {k}: {problem}", flush=True)
        count = self.kills[name, mode]
        print(f"{name:12} {mode:8} {count:5} kills, {time.monotonic() - started:6.1f} s", flush=True)

    def after(self, name, start, old, new, settle):
        place = self.place
        mine = {path: content for path, content in start.items() if path.rsplit("/", 1)[-1].startswith("mine")}
        lost = lambda: [path for path, content in mine.items() if place.files().get(path) != content]
        if lost():
            return f"touched {lost()}"
        if old is not None and settle == "--resume":
            done = place.run(place.command(name, "b", "--resume"))
            if done.returncode == 2 and "cannot be resumed" in done.stderr:
                if {path: content for path, content in place.files().items()} != old:
                    return "refused, but the old result is not whole"
            elif done.returncode != 0:
                return f"--resume: {done.returncode} {done.stderr[-300:]}"
            elif result(place.files()) != new:
                return "another result under the new settings"
            done = place.run(place.command(name, "b", "--force"))
        else:
            done = place.run(place.command(name, "b", settle))
        if done.returncode != 0:
            return f"{settle}: {done.returncode} {done.stderr[-300:]}"
        files = place.files()
        if result(files) != new:
            differ = {path for path in {*files, *new} if result(files).get(path) != new.get(path)}
            return f"another result: {sorted(differ)[:4]}"
        if leftovers(files):
            return f"left {leftovers(files)}"
        return f"touched {lost()}" if lost() else None

    def command(self, name):
        place = self.place
        settle = "--force" if name in ("apply", "apply-file", "eval") else "--resume"
        place.clear()
        new = result(self.good(name, "b"))
        place.clear()
        old = self.good(name, "a") | {path: b"mine" for path in MINE[name]}
        fresh = place.command(name, "b")
        self.series(name, "fresh", {}, fresh, None, new, settle)
        self.series(name, "force", old, place.command(name, "b", "--force"), old, new, settle)
        if settle == "--resume":
            place.clear()
            points = self.points(fresh)
            place.clear()
            self.kill(fresh, *points[len(points) // 2])
            half = place.files() | {path: b"mine" for path in MINE[name] if (place.root / "out" / path).parent.exists()}
            half = {path: content for path, content in half.items() if path != ".himacl-lock"}
            self.series(name, "resume", half, place.command(name, "b", "--resume"), None, new, settle)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--every", type=int, default=1, help="only every N-th point")
    parser.add_argument("--only", choices=COMMANDS, action="append")
    parser.add_argument("--memory", type=float, help="address space of each process, in GiB")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        attack = Attack(Place(args.binary, Path(folder) / "place", args.memory), args.every)
        for name in args.only or COMMANDS:
            attack.command(name)
    print(f"{sum(attack.kills.values())} kills, {len(attack.wrong)} wrong")
    return 1 if attack.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
