//! `himacl pair`: the global coupling of two sets.

use crate::cli::{Context, ExitStatus};
use crate::error::Error;
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  himacl pair --x images.npy --y captions.npy --output pairs
  himacl pair --x laion/img_emb --y laion/text_emb --cost cosine --center --quality best -o pairs";

/// Pair two sets of embeddings one to one, at the least total cost.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PairArgs {
    /// The source set.
    #[arg(long, value_name = "PATH")]
    x: PathBuf,

    /// The target set.
    #[arg(long, value_name = "PATH")]
    y: PathBuf,

    /// Folder for the results.
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
}

/// Runs the command.
pub(crate) fn run(args: &PairArgs, context: &Context) -> Result<ExitStatus, Error> {
    let _ = (args, context);
    Ok(ExitStatus::Done)
}
