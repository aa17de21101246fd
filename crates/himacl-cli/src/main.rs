//! The `himacl` command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads of Candle's own pool.
const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";

fn main() -> ExitCode {
    // The work is already parallel over blocks and over runs; Candle's pool waits by spinning behind one lock, which cost
    // a quick-start run half as much time again.
    if std::env::var_os(CANDLE_THREADS).is_none() {
        // SAFETY: nothing in this process has started a thread yet that could read the environment.
        unsafe { std::env::set_var(CANDLE_THREADS, "1") };
    }
    himacl_cli::run(std::env::args_os()).into()
}
