#!/usr/bin/env bash
# The measurements of the solver, one after the other; run them alone on the machine.
#
# Usage: scripts/benchmark-solver.sh NAME...
#
#   quality             fixtures with a known optimum, at balanced and best
#   gmm-bsp             same-distribution mixtures, n = 4096, d = 2, 16, 64, beside ot.bsp with 16 plans, and with 256 and
#                       1024 of random slices
#   gmm-bsp-one-thread  the same without repetition, with one thread for all (ot.bsp uses one in any case)
#   gmm-bsp-trees       the same beside ot.bsp with 16, 64 and 256 plans of its default slices, d = 16 and 64
#   algorithm-1         splits and leaves alone (the published algorithm) beside balanced, n = 4096 and 65,536
#   mixture-16384       n = 16,384, d = 2, 16, 64, to the certified optimum
#   mixture-65536       n = 65,536, d = 64, beside ot.bsp of random slices and mini-batches of 1024
#   warm-start          cold and warm solves after a perturbation
#   toy-ode             n = 8192 and 200,000, where the optimum is 8
#   half-moon-exact     W1, n = 32 to 16,384, to the certified optimum
#   peers-1024          all peers on the three sets of the paper, n = 1024
#   half-moon-bsp       n = 2^20, squared Euclidean, beside ot.bsp with 16 plans, and with 64
#   half-moon-w1        n = 2^20, Euclidean, certified
#   half-moon-scaling   n = 2^14 to 2^20
#   mixture-1048576     n = 2^20, d = 64
#   figures             the figures, from the results that there are
#
#   small               all of the above but those with 2^20 points and the figures
#   million             those with 2^20 points
#
# Results: $OUT/NAME.jsonl and NAME.md (default benchmarks/raw), figures in $OUT/figures. The peers run under $PYTHON
# (default target/peers-venv/bin/python, made by scripts/peers/setup.sh). $REPEAT (default 3) is the number of rounds of
# comparisons below 2^20 points. $FIXTURES (default tests/fixtures) may hold halfmoon_scurve_1048576_{x,y}.npy, which then
# takes the place of the generated half moon.
set -euo pipefail
cd "$(dirname "$0")/.."

OUT=${OUT:-benchmarks/raw}
PYTHON=${PYTHON:-target/peers-venv/bin/python}
REPEAT=${REPEAT:-3}
FIXTURES=${FIXTURES:-tests/fixtures}
BENCH=${CARGO_TARGET_DIR:-target}/release/hiref-bench
SMALL=(quality gmm-bsp gmm-bsp-one-thread gmm-bsp-trees algorithm-1 mixture-16384 mixture-65536 warm-start toy-ode half-moon-exact peers-1024)
MILLION=(half-moon-bsp half-moon-w1 half-moon-scaling mixture-1048576)
GMM=gmm_same_d2_4096,gmm_same_d16_4096,gmm_same_d64_4096
GMM_PEERS=bsp:16,bsp-random:256,bsp-random:1024

million_half_moon=half-moon:1048576
if [[ -f $FIXTURES/halfmoon_scurve_1048576_x.npy ]]; then
    million_half_moon=halfmoon_scurve_1048576
fi

usage() {
    sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"
}

# Runs hiref-bench with the given arguments and puts machine, commit and command above its table.
measure() {
    local name=$1
    shift
    printf '\n== %s\n' "$name"
    "$BENCH" "$@" --output "$OUT/$name.jsonl"
    local table commit said
    # Where the interpreter and the fixtures are is this machine's affair.
    said=$(printf '%s' "$*" | sed -E 's/--(python|fixtures) [^ ]+ //g')
    table=$(cat "$OUT/$name.md")
    commit=$(git rev-parse --short HEAD)$(git diff --quiet HEAD -- crates Cargo.lock || echo ', with local changes')
    {
        printf '# %s\n\n' "$name"
        printf '%s; %s, %s cores, %s; commit %s.\n\n' "$(date -u +%Y-%m-%d)" "$(processor)" "$(nproc)" "$(memory)" "$commit"
        printf '    hiref-bench %s --output %s\n\n' "$said" "$name.jsonl"
        printf '%s\n' "$table"
    } >"$OUT/$name.md"
}

processor() {
    sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1
}

memory() {
    awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo 2>/dev/null
}

compare() {
    local name=$1
    shift
    measure "$name" compare --fixtures "$FIXTURES" --python "$PYTHON" "$@"
}

figures() {
    local folder=$OUT/figures set=$FIXTURES/halfmoon_scurve_1024
    mkdir -p "$folder"
    local name
    for name in half-moon-scaling half-moon-exact toy-ode; do
        if [[ -f $OUT/$name.jsonl ]]; then
            "$BENCH" plot curves "$OUT/$name.jsonl" --output "$folder/$name"
        fi
    done
    local sides=(--x "${set}_x.npy" --y "${set}_y.npy") couplings
    couplings=$(mktemp -d)
    "$BENCH" solve "${sides[@]}" --output "$couplings/hiref.npy"
    "$BENCH" solve "${sides[@]}" --quality exact --output "$couplings/exact.npy"
    "$PYTHON" scripts/peers/run.py sinkhorn "${sides[@]}" --output "$couplings/sinkhorn.npy"
    "$BENCH" plot map "${sides[@]}" --panel "hierarchical refinement=$couplings/hiref.npy" \
        --panel "Sinkhorn, barycentric map=$couplings/sinkhorn.npy" --panel "exact=$couplings/exact.npy" \
        --output "$folder/map.svg"
    rm -r "$couplings"
}

run() {
    case $1 in
        quality) measure "$1" quality --fixtures "$FIXTURES" --qualities balanced,best --certify ;;
        gmm-bsp)
            compare "$1" --set "$GMM" --ours balanced,best --peers "$GMM_PEERS" --repeat "$REPEAT"
            ;;
        gmm-bsp-one-thread)
            compare "$1" --set "$GMM" --ours balanced,best --peers "$GMM_PEERS" --threads 1
            ;;
        gmm-bsp-trees)
            compare "$1" --set gmm_same_d16_4096,gmm_same_d64_4096 --ours balanced --peers bsp:16,bsp:64,bsp:256 \
                --timeout 3600
            ;;
        algorithm-1)
            compare "$1" --set gmm_same_d16_4096,gmm_same_d64_4096,mixture:65536:64 --ours unpolished,balanced
            ;;
        mixture-65536)
            compare "$1" --set mixture:65536:64 --timeout 3600 --peers bsp-random:16,minibatch:1024
            ;;
        warm-start)
            measure "$1" warm-start --set mixture:4096:16,mixture:65536:64,half-moon:65536 --noise 0.001,0.01,0.03,0.1
            ;;
        toy-ode) measure "$1" scaling --kind toy-ode --sizes 8192,200000 ;;
        half-moon-exact)
            measure "$1" scaling --kind half-moon --cost euclidean --quality best --certify \
                --sizes 32,64,128,256,512,1024,2048,4096,8192,16384
            ;;
        peers-1024)
            compare "$1" --set halfmoon_scurve_1024,checkerboard_1024,maf_moon_ring_1024 --ours balanced \
                --peers bsp:64,minibatch:128,emd,lsa,sinkhorn,lr-sinkhorn:40,progot --repeat "$REPEAT"
            ;;
        mixture-16384)
            for d in 2 16 64; do
                measure "$1-d$d" scaling --kind mixture --dimension "$d" --from 14 --to 14 --quality best --certify
            done
            ;;
        half-moon-bsp) compare "$1" --set "$million_half_moon" --peers bsp:16,bsp:64 --repeat 2 ;;
        half-moon-w1) measure "$1" scaling --kind half-moon --from 20 --to 20 --cost euclidean --certify ;;
        half-moon-scaling) measure "$1" scaling --kind half-moon --from 14 --to 20 ;;
        mixture-1048576)
            measure "$1" scaling --kind mixture --dimension 64 --from 20 --to 20
            ;;
        figures) figures ;;
        small) for name in "${SMALL[@]}"; do run "$name"; done ;;
        million) for name in "${MILLION[@]}"; do run "$name"; done ;;
        *)
            echo "no measurement is called \`$1\`" >&2
            usage >&2
            exit 2
            ;;
    esac
}

if [[ $# -eq 0 ]]; then
    usage
    exit 2
fi
cargo build --release --locked --workspace
mkdir -p "$OUT"
for name in "$@"; do
    run "$name"
done
