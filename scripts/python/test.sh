#!/usr/bin/env bash
# Builds the wheel, installs it into a virtual environment of its own and runs the package's tests, stubs and examples.
#
# Usage: scripts/python/test.sh [--torch auto|yes|no] [--wheel FILE] [--profile NAME] [PYTEST ARGUMENTS...]
#   --torch   the tests with PyTorch too, 6 GB on disk; auto: where 25 GB are free (default)
#   --wheel   test this wheel instead of building one
#   --profile the profile of Cargo that the wheel is built by: release (default), or dev, which takes what the Rust tests have built
# Needs Rust, Python 3.10 or later with venv (scripts/setup-debian.sh), and a package index.
set -euo pipefail
cd "$(dirname "$0")/../.."

torch=auto wheel= profile=release
while [ $# -gt 0 ]; do
    case $1 in
        --torch) torch=$2; shift 2 ;;
        --wheel) wheel=$2; shift 2 ;;
        --profile) profile=$2; shift 2 ;;
        *) break ;;
    esac
done
venv=target/python-venv
python3 -m venv "$venv"
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" --requirement scripts/python/requirements.txt
if [ "$torch" = auto ]; then
    free=$(df --output=avail -k target | tail -1)
    if [ "$free" -gt $((25 << 20)) ]; then torch=yes; else torch=no; echo "tests with PyTorch are left out: less than 25 GB are free"; fi
fi
[ "$torch" = no ] || "${pip[@]}" --requirement scripts/python/requirements-torch.txt

if [ -z "$wheel" ]; then
    rm -rf target/wheels
    "$venv/bin/maturin" build --profile "$profile" --locked --out target/wheels
    wheel=$(echo target/wheels/himacl-*.whl)
fi
"${pip[@]}" --force-reinstall --no-deps "$wheel"
# The examples and the tests start `himacl` as a user would.
PATH="$PWD/$venv/bin:$PATH" "$venv/bin/python" -m pytest "$@"
