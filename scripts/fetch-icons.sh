#!/usr/bin/env bash
# Makes two sets of pictures with words from packages, and embeds them; row i of both files is the same icon:
#   OUT/mdi-pictures.npy, mdi-words.npy             2,153 Material Design icons, names and aliases
#   OUT/phosphor-pictures.npy, phosphor-words.npy   1,512 Phosphor icons, names and tags
# Pictures by EfficientNet-Lite0 (1280 coordinates), words by all-MiniLM-L6-v2 (384).
# Licences: Material Design Icons Apache-2.0, Phosphor Icons MIT.
# usage: scripts/fetch-icons.sh OUT EMOJI      EMOJI: what scripts/fetch-emoji.sh made, for its two encoders
# Needs npm, python3 with venv, and the command himacl on the PATH or named by HIMACL.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: $0 OUT EMOJI" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
encoders=$(cd "$2" && pwd)
himacl=${HIMACL:-himacl}
work=$(mktemp -d "$out/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT

npm_package() { # NAME@VERSION FOLDER
    local file
    file=$(cd "$work" && npm pack --silent "$1")
    mkdir "$work/$2"
    tar xzf "$work/$file" -C "$work/$2"
}
npm_package @mdi/svg@7.4.47 mdi
npm_package @phosphor-icons/core@2.1.1 phosphor
node --input-type=module -e \
    'import("file://" + process.argv[1]).then(({ icons }) => console.log(JSON.stringify(icons)))' \
    "$work/phosphor/package/dist/index.mjs" > "$work/icons.json"

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check resvg-py==0.5.0 numpy
"$work/venv/bin/python" "$here/embed/arrange_icons.py" "$work/mdi/package/meta.json" "$work/mdi/package/svg" \
    "$work/icons.json" "$work/phosphor/package/assets/regular" "$out"

for set in mdi phosphor; do
    "$himacl" embed --encoder efficientnet-lite0 --local "$encoders/lite0" --input "$out/$set" \
        --output "$out/$set-pictures" --force
    "$himacl" embed --encoder all-minilm-l6-v2 --local "$encoders/minilm" --input "$out/$set.txt" \
        --output "$out/$set-words" --force
    "$work/venv/bin/python" - "$out" "$set" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np

out, name = Path(sys.argv[1]), sys.argv[2]
for side, folder in (("pictures", "img_emb"), ("words", "text_emb")):
    parts = [np.load(path) for path in sorted((out / f"{name}-{side}" / folder).glob("*.npy"))]
    np.save(out / f"{name}-{side}.npy", np.concatenate(parts).astype(np.float32))
PYTHON
done
echo "$out"
