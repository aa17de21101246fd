"""Stand-ins for the CUDA libraries: static archives whose functions open the real library at the first call.

    stand_ins.py WORKSPACE OUTPUT

candle-core links libcuda, cuBLAS and cuRAND by name, so that a program linked to the real ones does not even start where they are missing.
One linked to these starts anywhere: without a driver `cuInit` answers CUDA_ERROR_NO_DEVICE, and the program goes on with the CPU.

The names come from cudarc's own declarations, in the version that the workspace locks. x86-64 Linux (System V calls) only.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Library:
    """A library to stand in for."""

    name: str  # as the linker knows it
    module: str  # where cudarc declares its functions
    file: str  # what to open at run time
    missing: int  # what every function answers where there is none
    says_so: bool  # whether functions that return text say that it is missing


LIBRARIES = [
    Library("cuda", "driver", "libcuda.so.1", 100, False),  # CUDA_ERROR_NO_DEVICE
    Library("cublas", "cublas", "libcublas.so.13", 1, True),  # CUBLAS_STATUS_NOT_INITIALIZED
    Library("cublasLt", "cublaslt", "libcublasLt.so.13", 1, True),
    Library("curand", "curand", "libcurand.so.10", 203, True),  # CURAND_STATUS_INITIALIZATION_FAILED
    Library("nvrtc", "nvrtc", "libnvrtc.so.13", 7, True),  # NVRTC_ERROR_BUILTIN_OPERATION_FAILURE
]

# Looks a function up, once: the slot then holds its address.
FINDER = r"""
#include <dlfcn.h>
#include <string.h>
__attribute__((visibility("hidden"))) void *stand_in_@LIB@_slots[@COUNT@];
static const char *const names[] = {@NAMES@};
static long missing(void) { return @MISSING@; }
static const char *missing_text(void) { return "@FILE@ was not found"; }
__attribute__((visibility("hidden"))) void *stand_in_@LIB@_find(long i) {
  static void *library;
  static int tried;
  if (!__atomic_load_n(&tried, __ATOMIC_ACQUIRE)) {
    /* Two threads that come at once open it twice, which counts references and does no harm. */
    __atomic_store_n(&library, dlopen("@FILE@", RTLD_LAZY | RTLD_LOCAL), __ATOMIC_RELEASE);
    __atomic_store_n(&tried, 1, __ATOMIC_RELEASE);
  }
  void *opened = __atomic_load_n(&library, __ATOMIC_ACQUIRE);
  void *function = opened ? dlsym(opened, names[i]) : 0;
  if (!function) {
    int text = @SAYS_SO@ && strstr(names[i], "Get") && (strstr(names[i], "String") || strstr(names[i], "Name"));
    function = text ? (void *)missing_text : (void *)missing;
  }
  __atomic_store_n(&stand_in_@LIB@_slots[i], function, __ATOMIC_RELEASE);
  return function;
}
"""

# One function: jumps through its slot, or by way of the finder the first time.
ENTRY = """
.section .text.{function},"ax",@progbits
.globl {function}
.type {function},@function
{function}:
 endbr64
 movq stand_in_{library}_slots+{offset}(%rip),%r11
 testq %r11,%r11
 jz 1f
 jmp *%r11
1: pushq ${index}
 jmp stand_in_{library}_first
.size {function},.-{function}
"""

INTEGERS = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"]


def first_call(library: str) -> str:
    """Saves every register that can hold an argument, finds the function, and goes on into it."""
    push = "".join(f" pushq %{register}\n" for register in INTEGERS)
    pop = "".join(f" popq %{register}\n" for register in reversed(INTEGERS))
    save = "".join(f" movdqu %xmm{k},{16 * k}(%rsp)\n" for k in range(8))
    restore = "".join(f" movdqu {16 * k}(%rsp),%xmm{k}\n" for k in range(8))
    return (
        f".text\nstand_in_{library}_first:\n pushq %rbp\n movq %rsp,%rbp\n{push} subq $128,%rsp\n{save}"
        f" movq 8(%rbp),%rdi\n pushq %rbx\n movq %rsp,%rbx\n andq $-16,%rsp\n call stand_in_{library}_find\n"
        f" movq %rbx,%rsp\n popq %rbx\n movq %rax,%r11\n{restore} addq $128,%rsp\n{pop}"
        ' popq %rbp\n addq $8,%rsp\n jmp *%r11\n.section .note.GNU-stack,"",@progbits\n'
    )


def run(*command: object, **options: object) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], check=True, **options)


def cudarc_folder(workspace: Path) -> Path:
    metadata = run(
        "cargo", "metadata", "--format-version=1", "--all-features", "--locked",
        cwd=workspace, stdout=subprocess.PIPE,
    )
    packages = json.loads(metadata.stdout)["packages"]
    manifests = [package["manifest_path"] for package in packages if package["name"] == "cudarc"]
    if len(manifests) != 1:
        raise SystemExit(f"expected one cudarc among the packages of {workspace}, found {len(manifests)}")
    return Path(manifests[0]).parent


def build(library: Library, cudarc: Path, output: Path) -> None:
    declarations = (cudarc / "src" / library.module / "sys/mod.rs").read_text()
    functions = sorted(set(re.findall(r"\bfn ((?:cu|nvrtc)\w*)\(", declarations)) - {"culib"})
    if not functions:
        raise SystemExit(f"cudarc declares no functions of {library.name} in {cudarc}")
    folder = output / "stand-ins"
    folder.mkdir(exist_ok=True)
    finder = FINDER
    for key, value in {
        "LIB": library.name,
        "COUNT": str(len(functions)),
        "NAMES": ", ".join(f'"{function}"' for function in functions),
        "FILE": library.file,
        "MISSING": str(library.missing),
        "SAYS_SO": str(int(library.says_so)),
    }.items():
        finder = finder.replace(f"@{key}@", value)
    entries = "".join(
        ENTRY.format(function=function, library=library.name, offset=8 * index, index=index)
        for index, function in enumerate(functions)
    )
    (folder / f"{library.name}.c").write_text(finder)
    (folder / f"{library.name}_entries.s").write_text(entries + first_call(library.name))
    objects = []
    for source in (f"{library.name}.c", f"{library.name}_entries.s"):
        objects.append(folder / f"{source}.o")
        run("gcc", "-O2", "-fPIC", "-c", folder / source, "-o", objects[-1])
    joined = folder / f"{library.name}.o"
    run("ld", "-r", "-o", joined, *objects)
    archive = output / f"lib{library.name}.a"
    archive.unlink(missing_ok=True)
    run("ar", "crs", archive, joined)


def main() -> None:
    workspace, output = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    cudarc = cudarc_folder(workspace)
    stamp = output / "stand-ins.txt"
    made_of = f"{cudarc}\n{Path(__file__).read_text()}"
    if stamp.is_file() and stamp.read_text() == made_of:
        return
    for library in LIBRARIES:
        build(library, cudarc, output)
    stamp.write_text(made_of)


if __name__ == "__main__":
    main()
