#!/usr/bin/env bash
# Packs what runs on a machine that has an NVIDIA driver and the CUDA 13 libraries (cuBLAS, cuRAND), such as any with a Python package of
# PyTorch for CUDA 13: scripts/cuda-package.sh [FOLDER] [TOOLKIT-FOLDER]
#
#     FOLDER/himacl ...        the command; finds the libraries by itself
#     FOLDER/hiref-bench ...   the benchmarks, `kernels` among them
#     FOLDER/device-tests      the solver's tests on every device
#
# Builds first; the machine that it runs on needs no GPU, no CUDA, and neither Rust nor Python on the other.
set -euo pipefail
cd "$(dirname "$0")/.."

package=${1:-target/cuda/package}
eval "$(scripts/cuda-toolkit.sh "${2:-target/cuda}")"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/cuda/build}

cargo build --release --features cuda --locked
tests=$(cargo test --release --features cuda --locked --test device --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\/device-[^"]*\)".*/\1/p' | tail -1)

rm -rf "$package"
mkdir -p "$package/bin"
strip -o "$package/bin/himacl" "$CARGO_TARGET_DIR/release/himacl"
strip -o "$package/bin/hiref-bench" "$CARGO_TARGET_DIR/release/hiref-bench"
strip -o "$package/bin/device-tests" "$tests"
for name in himacl hiref-bench device-tests; do
    install -m 755 scripts/cuda/launcher.sh "$package/$name"
done
du -sh "$package" >&2
