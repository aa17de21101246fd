//! `himacl download`: an encoder's files, ahead of their use.

use crate::encoder_files::{RepoArgs, obtain};
use crate::error::Error;
use crate::{Context, ExitStatus};
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  himacl download all-minilm-l6-v2
  himacl download --repo sentence-transformers/paraphrase-MiniLM-L6-v2 --revision main --family bert
  himacl download all-minilm-l6-v2 --local ~/models/minilm
  HF_ENDPOINT=https://hf-mirror.com himacl download efficientnet-lite0

Environment: HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_HUB_OFFLINE, HTTPS_PROXY, NO_PROXY.";

/// Fetch an encoder's files from the Hugging Face Hub into its cache; print their folder.
///
/// Files that are there are not fetched again; a transfer that was cut off goes on where it ended. Lengths, checksums and
/// the headers of weights are checked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DownloadArgs {
    /// The encoder's name (`himacl encoders` lists them).
    #[arg(value_name = "NAME", required_unless_present = "repo", conflicts_with = "repo")]
    name: Option<String>,

    #[command(flatten)]
    repo: RepoArgs,

    /// Fetch nothing: check that this folder has the files, by the names they have on the Hub.
    #[arg(long, value_name = "DIR")]
    local: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &DownloadArgs, context: &Context) -> Result<ExitStatus, Error> {
    let names: Vec<String> = args.name.iter().cloned().collect();
    for spec in args.repo.specs(&names)? {
        let snapshot = obtain(&spec, args.local.as_deref(), context)?;
        if let Some(commit) = &snapshot.commit {
            context.printer.info(&format!("{} at {commit}", spec.repo));
        }
        context.printer.result(&snapshot.folder.display().to_string());
    }
    Ok(ExitStatus::Done)
}
