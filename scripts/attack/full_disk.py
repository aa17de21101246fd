#!/usr/bin/env python3
"""Runs himacl on disks too small for its output, of fifty sizes, and checks what is left and what comes next.

    scripts/attack/full_disk.py target/release/himacl [--sizes 50] [--only COMMAND] [--memory GIB]

As kills.py, which has the rules, but that each run ends because its file system is full: a tmpfs whose room is set anew
before each run (needs root). Besides, the run must end with status 2 and say that there is no space.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import Place
from kills import COMMANDS, Attack

PAGE = 4096
ROOMY = 256 << 20


class FullDisk(Attack):
    def __init__(self, place, sizes):
        super().__init__(place, 1)
        self.sizes, self.problem = sizes, None

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.place.root.parent], check=True)

    def used(self):
        usage = os.statvfs(self.place.root)
        return (usage.f_blocks - usage.f_bfree) * usage.f_frsize

    def points(self, words):
        """Rooms from none to what the run leaves behind, and half as much again for what it removes before it ends."""
        before = self.used()
        old = sum(len(content) + PAGE for content in self.place.files().values())
        self.place.run(words)
        pages = int(1.5 * (self.used() - before + old)) // PAGE + 8
        return [("room", pages * k // self.sizes) for k in range(self.sizes)]

    def kill(self, words, call, k):
        self.resize(self.used() + k * PAGE)
        done = self.place.run(words)
        self.resize(ROOMY)
        self.problem = None
        if done.returncode not in (0, 2) or (done.returncode == 2 and "o space" not in done.stderr):
            self.problem = f"status {done.returncode}: {done.stderr[-300:]}"
        return done.returncode

    def after(self, *arguments):
        return self.problem or super().after(*arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--sizes", type=int, default=50)
    parser.add_argument("--only", choices=COMMANDS, action="append")
    parser.add_argument("--memory", type=float, help="address space of each process, in GiB")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", folder], check=True)
        try:
            attack = FullDisk(Place(args.binary, Path(folder) / "place", args.memory), args.sizes)
            for name in args.only or COMMANDS:
                attack.command(name)
        finally:
            subprocess.run(["umount", folder], check=True)
    print(f"{sum(attack.kills.values())} full disks, {len(attack.wrong)} wrong")
    return 1 if attack.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
