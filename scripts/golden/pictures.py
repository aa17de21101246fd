#!/usr/bin/env python3
"""Writes tests/fixtures/pictures: small files of kinds that decoders disagree about, and what Pillow makes of them.

usage: pictures.py OUTPUT        needs Pillow (13.0.0 made the files in the repository)
"""

import json
import sys
from pathlib import Path

from PIL import Image

# Cyan, magenta, yellow, black of the four quarters.
INKS = [(255, 0, 0, 0), (0, 200, 30, 10), (20, 10, 255, 60), (90, 120, 40, 128)]


def quarters(mode, colours, side=32):
    image = Image.new(mode, (2 * side, 2 * side))
    for index, colour in enumerate(colours):
        image.paste(colour, (index % 2 * side, index // 2 * side, (index % 2 + 1) * side, (index // 2 + 1) * side))
    return image


def main(output):
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    reds = [(255, 0, 0), (128, 0, 0), (0, 64, 0), (0, 0, 32)]
    quarters("CMYK", INKS).save(output / "cmyk.jpg", quality=95)
    quarters("L", [0, 90, 180, 255]).save(output / "gray.jpg", quality=95)
    quarters("RGB", reds).save(output / "progressive.jpg", quality=95, progressive=True)
    first, second = quarters("RGB", reds), quarters("RGB", reds[::-1])
    first.save(output / "animated.gif", save_all=True, append_images=[second])
    first.save(output / "animated.webp", save_all=True, append_images=[second], lossless=True)
    first.quantize(4).save(output / "palette.png")
    quarters("1", [0, 1, 1, 0]).save(output / "bits.png")
    expected = {}
    for path in sorted(output.iterdir()):
        if path.suffix == ".json":
            continue
        image = Image.open(path).convert("RGB")
        expected[path.name] = [image.getpixel((x, y)) for y in (16, 48) for x in (16, 48)]
    (output / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
