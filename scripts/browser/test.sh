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
if [ -z "${HIMACL:-}" ]; then
    # The command that the end-to-end tests run: after these, nothing is left to be built.
    cargo test --quiet --workspace --locked --no-run
    HIMACL=${CARGO_TARGET_DIR:-target}/debug/himacl-under-test
fi
HIMACL=$HIMACL "$venv/bin/python" -m pytest --rootdir scripts/browser -p no:cacheprovider \
    scripts/browser "$@"
