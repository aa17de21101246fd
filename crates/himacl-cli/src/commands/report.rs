//! `himacl report`: a run folder as one page.

use crate::error::Error;
use crate::{Context, ExitStatus, page, report};
use clap::Args;
use himacl::data::files::write_text;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  himacl report --run runs/quickstart
  himacl report --run runs/quickstart/main/seed-11 --output seed-11.html";

/// Write a run as one self-contained HTML file: what it found in words, tables of the figures, curves of the training.
///
/// `himacl explore` writes the same page with the pairs in it.
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
    page::check_output(&output)?;
    write_text(&output, &page::render(&report::story(&args.run)?, &())?)?;
    context.printer.result(&output.display().to_string());
    Ok(ExitStatus::Done)
}
