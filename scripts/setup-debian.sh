#!/usr/bin/env bash
# Installs what a fresh Debian machine lacks to build the workspace and the Python package and to test the pages: C and C++ compilers, a
# linker, Python with venv, Chromium. Rust itself comes from rustup, which reads rust-toolchain.toml. With --check, only reports: exit status 1 if something is missing.
set -euo pipefail

missing=()
{ command -v cc >/dev/null && command -v c++ >/dev/null; } || missing+=(build-essential)
command -v git >/dev/null || missing+=(git)
command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
command -v chromium >/dev/null || missing+=(chromium)
if ! command -v cargo >/dev/null; then
    echo "cargo is not on the PATH: install Rust with rustup (https://rustup.rs)" >&2
    exit 2
fi
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "${1:-}" = --check ]; then
    echo "missing packages: ${missing[*]}" >&2
    exit 1
fi
run() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }
run apt-get update
run apt-get install -y --no-install-recommends "${missing[@]}"
