//! `himacl report`: a run folder as one page.

use crate::error::Error;
use crate::explore::{ColourArgs, ItemsArgs, MetadataArgs, column_tables};
use crate::{Context, ExitStatus, page, report};
use clap::Args;
use himacl::data::files::write_text;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  himacl report --run runs/quickstart
  himacl report --run runs/quickstart/main/seed-11 --output seed-11.html
  himacl report --run runs/my --colour category        # and how the pairs agree with a column of the metadata";

/// Write a run as one self-contained HTML file: what it found in words, tables of the figures, curves of the training.
///
/// `himacl explore` writes the same page with the pairs in it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReportArgs {
    /// The folder of a run, or of a recipe's several runs.
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    #[command(flatten)]
    metadata: MetadataArgs,

    #[command(flatten)]
    colours: ColourArgs,

    /// The file; an earlier page is replaced [default: report.html in the run's folder].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &ReportArgs, context: &Context) -> Result<ExitStatus, Error> {
    let output = args.output.clone().unwrap_or_else(|| args.run.join("report.html"));
    page::check_output(&output)?;
    let mut story = report::story(&args.run)?;
    if !args.colours.colour.is_empty() {
        let items = ItemsArgs { metadata: args.metadata.clone(), ..ItemsArgs::default() };
        story.tables.extend(column_tables(&args.run, &items, &args.colours.colour, context)?);
    }
    write_text(&output, &page::render(&story, &())?)?;
    context.printer.result(&output.display().to_string());
    Ok(ExitStatus::Done)
}
