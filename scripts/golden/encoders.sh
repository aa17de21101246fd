#!/bin/sh
# Makes crates/himacl-encode/tests/golden/encoders anew, with PyTorch in a virtual environment of its own.
set -eu
cd "$(dirname "$0")/../.."
environment=${1:-target/golden-venv}
[ -d "$environment" ] || python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --requirement scripts/golden/encoders-requirements.txt
"$environment/bin/python" scripts/golden/encoders.py crates/himacl-encode/tests/golden/encoders
