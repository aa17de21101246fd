//! `himacl eval`: how well a finished run retrieves.

use crate::args::existing;
use crate::error::Error;
use crate::report::{Figures, WithReport, write_config, write_summary};
use crate::table::{self, counted};
use crate::{Context, ExitStatus};
use clap::Args;
use himacl::data::output::{OutputDir, Plan};
use himacl::data::{Embeddings, read_npy_u32};
use himacl::eval;
use himacl::eval::Metrics;
use himacl::train::{self, AlignmentMode, Dataset, Model};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  himacl eval --run runs/quickstart/main/seed-0
  himacl eval --run runs/my --data images.npy captions.npy --output runs/my-eval
  himacl eval --run runs/my --classes class_names.npy --labels labels.npy";

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

    /// Embedded class names, one row a class, in the target's space: classify the source items by them.
    #[arg(long, value_name = "CLASSES", requires = "labels")]
    classes: Option<PathBuf>,

    /// The class of each source item: a .npy file of u32.
    #[arg(long, value_name = "LABELS.npy", requires = "classes")]
    labels: Option<PathBuf>,

    /// Folder for summary.json and config.toml.
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Overwrite earlier results in --output.
    #[arg(long)]
    force: bool,
}

/// What was evaluated, and how it did.
#[derive(Debug, Serialize)]
struct Evaluation<'a> {
    run: &'a Path,
    pairs: usize,
    #[serde(flatten)]
    metrics: &'a Metrics,
}

/// Runs the command.
pub(crate) fn run(args: &EvalArgs, context: &Context) -> Result<ExitStatus, Error> {
    let recorder = context.recorder();
    let existing = existing(args.force, false);
    let output = args.output.as_deref().map(|folder| OutputDir::open(folder, "eval", existing)).transpose()?;
    if let Some(output) = &output {
        let inputs = args.data.iter().flatten().chain([&args.run]).chain(&args.classes).chain(&args.labels);
        output.refuse_inputs(inputs.map(PathBuf::as_path))?;
    }
    let recipe = train::recipe_of_run(&args.run)?;
    let model = Model::load(&args.run, &context.device)?;
    let (source, target) = match args.data.as_deref() {
        Some([source, target]) => train::read_pairs((source, None), (target, None), &context.device)?,
        _ => train::held_out(&recipe, &Dataset::load_of_run(&recipe, &args.run, &context.device)?)?
            .ok_or_else(|| Error::NothingHeldOut(args.run.clone()))?,
    };
    context.printer.info(&format!("evaluating {}", counted(source.dims()[0], "pair")));
    let steps = 2 + u64::from(args.classes.is_some());
    let task = context.printer.task("evaluate", "steps", steps);
    let mut metrics = train::evaluate(&model.0, &source, &target, recipe.eval.csls_neighbours)?;
    task.advance(1);
    let shared_space = recipe.alignment.mode == AlignmentMode::SharedSpace;
    metrics.extend(train::monge(&model.0, &source, &target, shared_space)?);
    task.advance(1);
    if let (Some(classes), Some(labels)) = (&args.classes, &args.labels) {
        let classes = Embeddings::open(classes, None)?.to_tensor(&context.device)?;
        let (items, classes) = model.0.joint(&source, &classes)?;
        metrics.extend(eval::zero_shot(&items, &classes, &read_npy_u32(labels)?)?.figures());
        task.advance(1);
    }
    drop(task);
    let evaluation = Evaluation { run: &args.run, pairs: source.dims()[0], metrics: &metrics };
    let summary = WithReport { report: recorder.report(), found: &evaluation };
    context.printer.info(&table::retrieval(&[("HiMACL", "")], &metrics.values(), &Figures::new()));
    if let Some(mut output) = output {
        output.begin(&Plan {
            command: "eval".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            files: ["config.toml", "summary.json"].map(ToOwned::to_owned).to_vec(),
            inputs: BTreeMap::new(),
            settings: toml::Table::new(),
        })?;
        write_config(&output, &recipe)?;
        write_summary(&output, &summary)?;
        output.finish()?;
    }
    let text = serde_json::to_string_pretty(&summary);
    let text = text.map_err(|source| himacl::data::Error::Json { path: "summary.json".into(), source })?;
    context.printer.result(&text);
    Ok(ExitStatus::Done)
}
