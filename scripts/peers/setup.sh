#!/usr/bin/env bash
# Makes the virtual environment that `hiref-bench compare` runs the peers in.
#
# Usage: scripts/peers/setup.sh [FOLDER [REQUIREMENTS]]
#        (defaults: target/peers-venv, requirements.txt; needs Python 3.11 or later, 0.9 GB of disk)
# requirements-neural.txt has what `himacl-experiments monge` runs as well.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=${1:-target/peers-venv}
requirements=${2:-requirements.txt}
python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "scripts/peers/$requirements"
"$folder/bin/python" -c 'import jax, numpy, ot, ott, scipy
print(f"POT {ot.__version__}, ott-jax {ott.__version__}, jax {jax.__version__}, scipy {scipy.__version__}, numpy {numpy.__version__}")'
echo "ready: pass --python $folder/bin/python to hiref-bench compare"
