#!/usr/bin/env bash
# Type-checks and lints everything with the `cuda` feature, without a GPU: scripts/cuda-check.sh [TOOLKIT-FOLDER]
# The kernels themselves are compiled by nvcc on the way; what they compute is checked by `cargo test`, on the emulator.
set -euo pipefail
cd "$(dirname "$0")/.."

eval "$(scripts/cuda-toolkit.sh "${1:-target/cuda}")"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/cuda/build}
# The release profile, so that a later build finds the dependencies.
cargo clippy --release --workspace --all-targets --features cuda --locked -- -D warnings
