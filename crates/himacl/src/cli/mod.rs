//! The command line: arguments -> resolved settings -> one file per command -> exit status.

use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    ExitCode::from(2)
}
