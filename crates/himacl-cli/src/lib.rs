//! The command line: arguments -> resolved settings -> one file per command -> exit status.

mod allocator;
mod args;
pub mod chart;
mod command_line;
mod commands;
mod context;
mod device;
mod distance;
mod encoder_files;
mod error;
mod explore;
mod finder;
mod hints;
mod interrupt;
mod matching;
mod page;
mod pictures;
mod plot;
mod printer;
mod progress;
pub mod report;
mod server;
mod table;
mod train_progress;

pub use allocator::keep_no_free_memory;
pub use context::Context;
pub use printer::{Printer, ProgressMode, ProgressTask};
pub use progress::SolveProgress;
pub use train_progress::TrainProgress;

pub use error::Error;

use command_line::{Cli, Command};
use commands::{
    apply, download, embed, encoders, eval, explain, explore as explore_command, pair, plot as plot_command,
    report as report_command, search, serve, train,
};
use std::ffi::OsString;
use std::panic;
use std::process::ExitCode;
use std::sync::Once;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done: status 0.
    Done,
    /// Finished, but not within what was asked (interrupted, for example): status 1.
    Partial,
    /// Not done, the reason is on stderr: status 2.
    Failed,
}

impl ExitStatus {
    /// The status as the operating system knows it.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Partial => 1,
            Self::Failed => 2,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        status.code().into()
    }
}

/// Keeps the panic hook from reporting what a damaged file did to a library that reads it: an error says it.
fn quiet_panics_that_become_errors() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !himacl::data::panics_are_errors() {
                report(info);
            }
        }));
    });
}

/// Runs one command line, the program's name first, and says on stderr why it could not be done.
pub fn run<A: Into<OsString>>(args: impl IntoIterator<Item = A>) -> ExitStatus {
    quiet_panics_that_become_errors();
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let cli = match command_line::parse(&args) {
        Ok(cli) => cli,
        Err(answer) => {
            // `--help` and `--version` come this way too, with status 0. A closed output is no reason to fail.
            let _ = answer.print();
            return if answer.use_stderr() { ExitStatus::Failed } else { ExitStatus::Done };
        }
    };
    let printer = Printer::new(cli.global.progress, cli.global.quiet);
    printer.install_log(cli.global.log_level);
    let command_line = args.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    command(&cli, command_line, printer.clone()).unwrap_or_else(|error| {
        printer.error(&error);
        ExitStatus::Failed
    })
}

fn command(cli: &Cli, command_line: Vec<String>, printer: Printer) -> Result<ExitStatus, Error> {
    interrupt::install();
    let context = Context::new(&cli.global, command_line, printer)?;
    match &cli.command {
        Command::Encoders(args) => encoders::run(args, &context),
        Command::Download(args) => download::run(args, &context),
        Command::Embed(args) => embed::run(args, &context),
        Command::Pair(args) => pair::run(args, &context),
        Command::Train(args) => train::run(args, &context),
        Command::Eval(args) => eval::run(args, &context),
        Command::Apply(args) => apply::run(args, &context),
        Command::Explain(args) => explain::run(args, &context),
        Command::Explore(args) => explore_command::run(args, &context),
        Command::Search(args) => search::run(args, &context),
        Command::Serve(args) => serve::run(args, &context),
        Command::Plot(args) => plot_command::run(args, &context),
        Command::Report(args) => report_command::run(args, &context),
    }
}
