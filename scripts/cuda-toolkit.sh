#!/usr/bin/env bash
# Sets up what `cargo build --features cuda` needs, on a machine without a GPU, a driver or a CUDA installation (x86-64 Linux with
# gcc, binutils and Python 3), and prints the variables that a build needs:
#
#     eval "$(scripts/cuda-toolkit.sh)"            # into target/cuda, or scripts/cuda-toolkit.sh DIR
#     cargo build --release --features cuda
#
# A second run finds everything in place. CUDA_COMPUTE_CAP (default 90, Hopper) chooses the oldest card that the kernels run on.
# Who has a CUDA toolkit and a driver needs none of this: the plain cargo command works there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${1:-$here/../target/cuda}
mkdir -p "$target"
target=$(cd "$target" && pwd)

# One release throughout: nvidia-cuda-nvcc does not pin nvvm and crt, and newer ones write PTX that this ptxas and older drivers refuse.
wheels=(nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85)
compiler=$target/packages/nvidia/cu13
if [ ! -x "$compiler/bin/nvcc" ] || [ "$(cat "$target/packages.txt" 2>/dev/null)" != "${wheels[*]}" ]; then
    rm -rf "$target/packages"
    python3 -m venv "$target/venv" >&2
    "$target/venv/bin/pip" install --quiet --no-deps --only-binary=:all: --disable-pip-version-check \
        --target "$target/packages" "${wheels[@]}" >&2
    echo "${wheels[*]}" >"$target/packages.txt"
fi
# nvcc looks for its libraries in lib64.
ln -sfn lib "$compiler/lib64"

# A CUDA_HOME of links: headers and libraries of the packages, stand-ins for the driver's and cuBLAS's libraries.
mkdir -p "$target/home/bin" "$target/home/lib64"
ln -sfn "$compiler/include" "$target/home/include"
ln -sfn "$compiler/nvvm" "$target/home/nvvm"
for library in libcudadevrt.a libcudart_static.a; do ln -sfn "$compiler/lib/$library" "$target/home/lib64/$library"; done
# candle-kernels asks for the shared runtime by name; the static one needs nothing at run time.
ln -sfn "$compiler/lib/libcudart_static.a" "$target/home/lib64/libcudart.a"
python3 "$here/cuda/stand_ins.py" "$here/.." "$target/home/lib64" >&2
install -m 755 "$here/cuda/nvcc.sh" "$target/home/bin/nvcc"

echo "export CUDA_HOME='$target/home' NVCC='$target/home/bin/nvcc' HIMACL_NVCC='$compiler/bin/nvcc'" \
    "CUDARC_CUDA_VERSION=13000 CUDA_COMPUTE_CAP=\"\${CUDA_COMPUTE_CAP:-90}\""
