//! `himacl report`: a run folder as one page.

use crate::error::Error;
use crate::report;
use crate::{Context, ExitStatus};
use clap::Args;
use himacl::data::files::write_text;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  himacl report --run runs/quickstart
  himacl report --run runs/quickstart/main/seed-11 --output seed-11.html";

/// Write a run as one self-contained HTML file: tables of the figures, curves of the training.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReportArgs {
    /// The folder of a run, or of a recipe's several runs.
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    /// The file; an earlier page is replaced [default: report.html in the run's folder].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &ReportArgs, context: &Context) -> Result<ExitStatus, Error> {
    let output = args.output.clone().unwrap_or_else(|| args.run.join("report.html"));
    if output.exists() && !report::is_page(&output) {
        return Err(Error::NotAReport(output));
    }
    write_text(&output, &report::page(&args.run)?)?;
    context.printer.result(&output.display().to_string());
    Ok(ExitStatus::Done)
}
