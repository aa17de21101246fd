#!/usr/bin/env bash
# nvcc, without candle-kernels' kernels for GGUF-quantised and mixture-of-experts models: nothing here uses them, and they are most of
# the compile time (432 of 446 s on two cores) and of the program's size. CANDLE_ALL_KERNELS=1 keeps them.
source=${!#} object='' folder=''
for ((at = 1; at < $#; at++)); do
    next=$((at + 1))
    case ${!at} in
    -o) object=${!next} ;;
    --output-directory) folder=${!next} ;;
    esac
done
if [ -z "${CANDLE_ALL_KERNELS:-}" ] && [ "${CARGO_PKG_NAME:-}" = candle-kernels ]; then
    case $source in
    *src/moe/*.cu | *src/mmq_gguf/*.cu | *src/mmvq_gguf.cu)
        # Functions that end the program if they are called after all.
        {
            echo '#include <stdlib.h>'
            grep -oE 'pub fn [A-Za-z0-9_]+' "$CARGO_MANIFEST_DIR/src/ffi.rs" |
                sed 's/pub fn \(.*\)/__attribute__((weak)) void \1(void) { abort(); }/'
        } | gcc -x c -O1 -fPIC -c -o "$object" -
        exit
        ;;
    *src/quantized.cu)
        printf '.version 9.0\n.target sm_%s\n.address_size 64\n' "${CUDA_COMPUTE_CAP:-90}" >"$folder/quantized.ptx"
        exit
        ;;
    esac
fi
exec "${HIMACL_NVCC:?set by scripts/cuda-toolkit.sh}" "$@"
