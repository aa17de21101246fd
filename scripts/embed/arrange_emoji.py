#!/usr/bin/env python3
"""Arranges unpacked emoji packages as datasets whose rows correspond. Needs resvg-py, which draws OpenMoji.

usage: arrange_emoji.py EMOJIBASE/en/data.json FLUENT_IMAGES NOTO_IMAGES OPENMOJI_DRAWINGS OUTPUT

Rows are the emoji of emojibase, in its order, that Fluent and Noto both have; OpenMoji has every one of them. Writes in
OUTPUT:
  fluent/NNNN.webp, noto/NNNN.png   pictures, by row
  openmoji/NNNN.png                 OpenMoji's drawings as pictures of 256 by 256 pixels on white, by row
  texts.txt                         `label: tag, tag, ...`, a line each
  names.txt                         labels
"""

import json
import shutil
import sys
from pathlib import Path

from resvg_py import svg_to_bytes

# What the encoder's preparation would enlarge or shrink to: nothing is resized twice.
SIDE = 256


def plain(name):
    """A code without the variation selector, which vendors write or leave out as they like."""
    return "-".join(part for part in name.lower().split("-") if part != "fe0f")


def text(entry):
    return entry["label"] + ": " + ", ".join(entry.get("tags", []))


def pictures(folder, extension):
    return {plain(path.stem): path for path in sorted(Path(folder).glob(f"*.{extension}"))}


def main(data, fluent, noto, openmoji, output):
    vendors = {"fluent": pictures(fluent, "webp"), "noto": pictures(noto, "png")}
    emoji = json.loads(Path(data).read_text(encoding="utf-8"))
    rows = [entry for entry in emoji if all(plain(entry["hexcode"]) in known for known in vendors.values())]
    if len(rows) != 1852:
        sys.exit(f"{len(rows)} emoji are in all three packages, expected 1852: are these the pinned versions?")
    output = Path(output)
    for vendor, known in vendors.items():
        folder = output / vendor
        folder.mkdir(parents=True, exist_ok=True)
        for row, entry in enumerate(rows):
            source = known[plain(entry["hexcode"])]
            shutil.copyfile(source, folder / f"{row:04}{source.suffix}")
    drawings = pictures(openmoji, "svg")
    (output / "openmoji").mkdir(parents=True, exist_ok=True)
    for row, entry in enumerate(rows):
        drawing = drawings.get(plain(entry["hexcode"]))
        if drawing is None:
            sys.exit(f"OpenMoji has no {entry['label']} ({entry['hexcode']}): is this the pinned version?")
        # No drawing has text: fonts of the machine change nothing.
        picture = svg_to_bytes(svg_path=str(drawing), width=SIDE, height=SIDE, background="white", skip_system_fonts=True)
        (output / "openmoji" / f"{row:04}.png").write_bytes(picture)
    (output / "texts.txt").write_text("".join(text(entry) + "\n" for entry in rows), encoding="utf-8")
    (output / "names.txt").write_text("".join(entry["label"] + "\n" for entry in rows), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
