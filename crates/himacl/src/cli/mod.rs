//! The command line: arguments -> resolved settings -> one file per command -> exit status.

mod args;
mod commands;
mod context;
mod device;
mod encoder_files;
mod printer;
mod progress;
mod table;
mod train_progress;

pub use context::Context;
pub use printer::{Printer, ProgressMode, Task};
pub use progress::SolveProgress;
pub use train_progress::TrainProgress;

use args::{Cli, Command};
use clap::Parser;
use commands::{apply, download, embed, encoders, eval, pair, report, train};
use std::process::ExitCode;

use crate::error::Error;

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done: status 0.
    Done,
    /// Finished, but not within what was asked (interrupted, for example): status 1.
    Partial,
}

/// Runs the command line of this process.
///
/// The exit status is 0 when done, 1 when finished but not within what was asked, 2 on an error (message on stderr).
pub fn main() -> ExitCode {
    limit_candle_threads();
    let cli = Cli::parse();
    let printer = Printer::new(cli.global.progress, cli.global.quiet);
    printer.install_log(cli.global.log_level);
    match run(&cli, printer.clone()) {
        Ok(ExitStatus::Done) => ExitCode::SUCCESS,
        Ok(ExitStatus::Partial) => ExitCode::from(1),
        Err(error) => {
            printer.error(&error);
            ExitCode::from(2)
        }
    }
}

/// Keeps Candle's own thread pool to one thread unless the user has set `CANDLE_NUM_THREADS`.
///
/// The work is already parallel over blocks and over runs; Candle's pool waits by spinning behind one lock, which cost a
/// quick-start run half as much time again.
fn limit_candle_threads() {
    const VARIABLE: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: this is the first statement of the process's main function; no other thread runs yet that could read
        // the environment.
        unsafe { std::env::set_var(VARIABLE, "1") };
    }
}

fn run(cli: &Cli, printer: Printer) -> Result<ExitStatus, Error> {
    crate::interrupt::install();
    let context = Context::new(&cli.global, printer)?;
    match &cli.command {
        Command::Encoders(args) => encoders::run(args, &context),
        Command::Download(args) => download::run(args, &context),
        Command::Embed(args) => embed::run(args, &context),
        Command::Pair(args) => pair::run(args, &context),
        Command::Train(args) => train::run(args, &context),
        Command::Eval(args) => eval::run(args, &context),
        Command::Apply(args) => apply::run(args, &context),
        Command::Report(args) => report::run(args, &context),
    }
}
