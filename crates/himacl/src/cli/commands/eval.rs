//! `himacl eval`: how well a finished run retrieves.

use crate::cli::table;
use crate::cli::{Context, ExitStatus};
use crate::data;
use crate::error::Error;
use crate::train::{self, Metrics, Model};
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  himacl eval --run runs/quickstart/main/seed-0
  himacl eval --run runs/my --data images.npy captions.npy --output runs/my-eval";

/// Evaluate the map of a finished run on pairs that it has not seen.
///
/// Writes the figures as JSON to stdout (or into --output) and a table to stderr.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EvalArgs {
    /// The run's folder.
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    /// Source and target embeddings, of which row i belongs to row i [default: the run's own held-out pairs].
    #[arg(long, num_args = 2, value_names = ["SOURCE", "TARGET"])]
    data: Option<Vec<PathBuf>>,

    /// Folder for summary.json and config.toml.
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Overwrite earlier results in --output.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub(crate) fn run(args: &EvalArgs, context: &Context) -> Result<ExitStatus, Error> {
    let recipe = train::recipe_of_run(&args.run)?;
    let model = Model::load(&args.run, &context.device)?;
    let (source, target) = match args.data.as_deref() {
        Some([source_path, target_path]) => {
            let (source, target) =
                (data::load_matrix(source_path, &context.device)?, data::load_matrix(target_path, &context.device)?);
            let (source_rows, target_rows) = (source.dims()[0], target.dims()[0]);
            if source_rows != target_rows {
                return Err(Error::NotPaired {
                    source_path: source_path.clone(),
                    source_rows,
                    target_path: target_path.clone(),
                    target_rows,
                    why: "row i of one belongs to row i of the other",
                });
            }
            (source, target)
        }
        _ => train::held_out(&recipe, &data::load_dataset(&recipe, &context.device)?)?
            .ok_or_else(|| Error::NothingHeldOut(args.run.clone()))?,
    };
    let metrics = train::evaluate(&model, &source, &target, recipe.eval.csls_neighbours)?;
    let mut summary = serde_json::json!({
        "himacl": env!("CARGO_PKG_VERSION"),
        "run": args.run,
        "device": context.device_name(),
        "pairs": source.dims()[0],
    });
    if let Some(fields) = summary.as_object_mut() {
        fields.extend(metrics.iter().map(|(name, &value)| (name.clone(), value.into())));
    }
    context.printer.info(&table::retrieval(&[("HiMACL", "")], &metrics, &Metrics::new()));
    let text = format!("{summary:#}");
    if let Some(folder) = &args.output {
        super::train::prepare_folder(folder, args.force)?;
        super::train::write(&folder.join("config.toml"), &toml::to_string(&recipe)?)?;
        super::train::write(&folder.join("summary.json"), &format!("{text}\n"))?;
    }
    context.printer.result(&text);
    Ok(ExitStatus::Done)
}
