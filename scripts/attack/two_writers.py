#!/usr/bin/env python3
"""Two himacl processes at once write to one place, again and again: one wins, the other exits with 2 and says who holds it.

    scripts/attack/two_writers.py target/release/himacl [--rounds N]

A process that comes when the other has ended already is refused because the output exists; such rounds are counted apart.
"""

import argparse
import collections
import re
import sys
import tempfile
from pathlib import Path

from common import Place, leftovers, result

COMMANDS = ["pair", "embed", "train", "train-two", "apply", "apply-file", "eval"]


def rounds(place, name, mode, count):
    flag = {"fresh": [], "force": ["--force"], "resume": ["--resume"]}[mode]
    place.clear()
    assert place.run(place.command(name, "a")).returncode == 0
    old = place.files()
    place.clear()
    assert place.run(place.command(name, "b")).returncode == 0
    expected, seen = result(place.files()), collections.Counter()
    for _ in range(count):
        place.restore(old if mode == "force" else {})
        both = [place.start(place.command(name, "b", *flag)) for _ in range(2)]
        ends = [(process.communicate()[1], process.returncode, process.pid) for process in both]
        winners = [end for end in ends if end[1] == 0]
        losers = [end for end in ends if end[1] == 2]
        right = result(place.files()) == expected and not leftovers(place.files())
        if len(winners) == 2 and right and flag:
            seen["one after the other"] += 1
        elif len(winners) == 1 and len(losers) == 1 and right:
            named = re.search(r"in use by process (\d+) on \S+", losers[0][0])
            if named and int(named[1]) == winners[0][2]:
                seen["one wins, owner named"] += 1
            elif "exists" in losers[0][0] and not flag:
                seen["one after the other"] += 1
            else:
                seen["WRONG"] += 1
                print(losers[0][0])
        else:
            seen["WRONG"] += 1
            print([(end[1], end[0][-300:]) for end in ends], leftovers(place.files()))
    print(f"{name:12} {mode:8} {dict(seen)}", flush=True)
    return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--memory", type=float, help="address space of each process, in GiB")
    args = parser.parse_args()
    total = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(args.binary, Path(folder) / "place", args.memory)
        for name in COMMANDS:
            modes = ["fresh", "force"] + ([] if name in ("apply", "apply-file", "eval") else ["resume"])
            for mode in modes:
                total += rounds(place, name, mode, args.rounds)
    print(dict(total))
    return 1 if total["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
