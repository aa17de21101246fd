#!/usr/bin/env bash
# Everything that only a GPU can show, in under ten minutes. Two steps, on two machines:
#
#     scripts/gpu-checks.sh pack [FOLDER]         here: builds and packs (under 48 MiB); no GPU needed
#     scripts/gpu-checks.sh run [FOLDER] [OUT]    there: runs all checks, each with a time limit of its own; needs a driver,
#                                                 the CUDA 13 libraries and Python with NumPy and PyTorch, no Rust, no network
#
# FOLDER is target/gpu by default; it and this checkout are all that the second machine needs. OUT (default: $OUT, else target/gpu-results)
# gets checks.json, written anew after each check, so that what is done stays if the time runs out, and logs.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${2:-target/gpu}
case ${1:-} in
pack)
    scripts/cuda-package.sh "$folder"
    tar -C "$folder" -czf "$folder.tar.gz" .
    rm -rf "${folder:?}"/*
    mv "$folder.tar.gz" "$folder/package.tar.gz"
    limit=$((48 << 20))
    size=$(du -sb "$folder" | cut -f1)
    if [ "$size" -gt "$limit" ]; then
        echo "the package has $size bytes, expected at most $limit" >&2
        exit 1
    fi
    ;;
run)
    out=${3:-${OUT:-target/gpu-results}}
    mkdir -p "$out"
    if [ -f "$folder/package.tar.gz" ]; then
        unpacked=$(mktemp -d)
        tar -C "$unpacked" -xzf "$folder/package.tar.gz"
        folder=$unpacked
    fi
    exec python3 scripts/cuda/checks.py --package "$folder" --output "$out"
    ;;
*)
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
