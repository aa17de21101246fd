#!/usr/bin/env bash
# Starts the program of the same name in bin/, with the CUDA libraries on its path: those of the system, of CUDA_HOME, or of the Python
# packages of NVIDIA (PyTorch brings them).
here=$(cd "$(dirname "$0")" && pwd)
folders=${CUDA_HOME:+$CUDA_HOME/lib64:}
if ! ldconfig -p 2>/dev/null | grep -q 'libcublas\.so\.13'; then
    found=$(python3 -c '
import importlib.util
spec = importlib.util.find_spec("nvidia")
print(":".join(f"{place}/cu13/lib" for place in (spec.submodule_search_locations if spec else [])))' 2>/dev/null)
    folders=$folders$found
fi
LD_LIBRARY_PATH=$folders${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$here/bin/$(basename "$0")" "$@"
