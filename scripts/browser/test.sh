#!/usr/bin/env bash
# Opens the pages of `himacl` in Debian's Chromium and uses them as a person would.
#
# Usage: scripts/browser/test.sh [PYTEST ARGUMENTS...]
# Needs chromium, Python with venv (scripts/setup-debian.sh), and a package index.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/browser-venv
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement scripts/browser/requirements.txt
cargo build --quiet --locked --bin himacl
HIMACL=${HIMACL:-${CARGO_TARGET_DIR:-target}/debug/himacl} "$venv/bin/python" -m pytest --rootdir scripts/browser -p no:cacheprovider \
    scripts/browser "$@"
