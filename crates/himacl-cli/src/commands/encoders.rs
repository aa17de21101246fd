//! `himacl encoders`: what encoders there are.

use crate::error::Error;
use crate::{Context, ExitStatus};
use clap::{Args, ValueEnum};
use himacl::encoder::registry::{self, EncoderSpec};
use himacl::hub::{Hub, HubSettings};
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  himacl encoders
  himacl encoders --json";

/// List the encoders that are known by name.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EncodersArgs {
    /// All that is known of each, as JSON.
    #[arg(long)]
    json: bool,
}

/// An encoder and whether its files are here.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    spec: EncoderSpec,
    /// The folder of the cache that has its files; null where they are to be fetched.
    folder: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &EncodersArgs, context: &Context) -> Result<ExitStatus, Error> {
    let hub = Hub::new(HubSettings::from_env())?;
    let listed: Vec<Listed> = registry::all()?
        .into_iter()
        .map(|spec| {
            let found = hub.cached(&spec.repo, &spec.revision, &spec.needed_files())?;
            Ok(Listed { folder: found.map(|snapshot| snapshot.folder), spec })
        })
        .collect::<Result<_, Error>>()?;
    let text = if args.json {
        serde_json::to_string_pretty(&listed)
            .map_err(|source| himacl::data::Error::Json { path: PathBuf::from("(standard output)"), source })?
    } else {
        table(&listed)
    };
    context.printer.result(&text);
    Ok(ExitStatus::Done)
}

fn table(listed: &[Listed]) -> String {
    let heads = ["NAME", "READS", "FAMILY", "DIMENSION", "FETCHED", "LICENCE", "REPOSITORY"].map(String::from);
    let rows = listed.iter().map(|Listed { spec, folder }| {
        let modality = serde_json::to_value(spec.modality).unwrap_or_default();
        [
            spec.name.clone(),
            modality.as_str().unwrap_or_default().to_owned(),
            spec.family.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default(),
            spec.dimension.map_or_else(String::new, |dimension| dimension.to_string()),
            if folder.is_some() { "yes" } else { "no" }.to_owned(),
            format!("{}{}", spec.licence, if spec.gated { " (gated)" } else { "" }),
            spec.repo.clone(),
        ]
    });
    let rows: Vec<[String; 7]> = std::iter::once(heads).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}
