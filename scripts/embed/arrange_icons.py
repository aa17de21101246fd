#!/usr/bin/env python3
"""Arranges unpacked icon packages as pictures with words whose rows correspond. Needs resvg-py, which draws them.

usage: arrange_icons.py MDI/meta.json MDI/svg PHOSPHOR/icons.json PHOSPHOR/assets/regular OUTPUT

Writes in OUTPUT, row by row:
  mdi/NNNN.png, mdi.txt             Material Design icons that are a base of their own and not deprecated
  phosphor/NNNN.png, phosphor.txt   Phosphor icons, drawn regular
Pictures have 256 by 256 pixels, black on white; a line is `name: word, word, ...`, the aliases or tags of the icon.
"""

import json
import sys
from pathlib import Path

from resvg_py import svg_to_bytes

SIDE = 256


def words(name):
    return name.replace("-", " ")


def arrange(icons, drawings, output, expected):
    """`icons` are (file name, words) in order."""
    if len(icons) != expected:
        sys.exit(f"{len(icons)} icons for {output}, expected {expected}: are these the pinned versions?")
    output.mkdir(parents=True, exist_ok=True)
    for row, (name, _) in enumerate(icons):
        drawing = (Path(drawings) / f"{name}.svg").read_text(encoding="utf-8")
        picture = svg_to_bytes(svg_string=drawing, width=SIDE, height=SIDE, background="white", skip_system_fonts=True)
        (output / f"{row:04}.png").write_bytes(bytes(picture))
    lines = [": ".join(filter(None, [words(name), ", ".join(map(words, more))])) + "\n" for name, more in icons]
    output.with_suffix(".txt").write_text("".join(lines), encoding="utf-8")


def main(mdi, mdi_drawings, phosphor, phosphor_drawings, output):
    entries = json.loads(Path(mdi).read_text(encoding="utf-8"))
    bases = [entry for entry in entries if entry["baseIconId"] == entry["id"] and not entry["deprecated"]]
    arrange([(entry["name"], entry["aliases"]) for entry in bases], mdi_drawings, Path(output) / "mdi", 2153)
    entries = json.loads(Path(phosphor).read_text(encoding="utf-8"))
    icons = [(entry["name"], [tag for tag in entry["tags"] if not tag.startswith("*")]) for entry in entries]
    arrange(icons, phosphor_drawings, Path(output) / "phosphor", 1512)


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
