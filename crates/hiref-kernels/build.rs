//! With `cuda`: compiles kernels/*.cu to PTX by nvcc. With `emulation`: compiles the same files by the host's C++ compiler.

use std::env;
#[cfg(feature = "cuda")]
use std::{path::PathBuf, process::Command};

/// One file for each op.
const SOURCES: [&str; 5] = ["gather", "balanced_projection", "block_costs", "block_assignment", "least_reduced_costs"];

fn main() {
    println!("cargo:rerun-if-changed=kernels");
    println!("cargo:rerun-if-changed=emulation");
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH", "CUDA_COMPUTE_CAP"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    #[cfg(feature = "cuda")]
    compile_to_ptx();
    #[cfg(feature = "emulation")]
    compile_for_the_host();
    // Silences the unused list where neither is wanted.
    let _ = (SOURCES, env::var_os("OUT_DIR"));
}

#[cfg(feature = "cuda")]
fn compile_to_ptx() {
    // 90 is Hopper; PTX runs on newer cards too.
    let capability = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "90".to_owned());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for source in SOURCES {
        let status = Command::new(nvcc())
            .arg(format!("-gencode=arch=compute_{capability},code=compute_{capability}"))
            .args(["--ptx", "-O3", "-std=c++17", "-lineinfo", "-o"])
            .arg(out.join(format!("{source}.ptx")))
            .arg(format!("kernels/{source}.cu"))
            .status();
        let hint = "hint: set NVCC or CUDA_HOME, or run `eval \"$(scripts/cuda-toolkit.sh)\"`";
        match status {
            Ok(status) => assert!(status.success(), "nvcc failed on kernels/{source}.cu"),
            Err(error) => panic!("cannot run nvcc: {error}\n{hint}"),
        }
    }
}

#[cfg(feature = "cuda")]
fn nvcc() -> PathBuf {
    if let Some(path) = env::var_os("NVCC") {
        return path.into();
    }
    let homes = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(env::var_os);
    let found = homes.map(|home| PathBuf::from(home).join("bin/nvcc")).find(|path| path.exists());
    found.unwrap_or_else(|| "nvcc".into())
}

#[cfg(feature = "emulation")]
fn compile_for_the_host() {
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .define("HIREF_EMULATION", None)
        // longjmp between fibres is what the fortified one forbids.
        .flag("-U_FORTIFY_SOURCE")
        .flag("-Wno-unknown-pragmas")
        .include("kernels")
        .include("emulation")
        .opt_level(2)
        .file("emulation/emulation.cpp")
        .compile("hiref_emulation");
}
