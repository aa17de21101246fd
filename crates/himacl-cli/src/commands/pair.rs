//! `himacl pair`: the global coupling of two sets.

mod addresses;
mod checkpoint;
mod comparison;
mod comparison_run;
mod config;
mod external;
mod inputs;
mod matching_run;
mod names;
mod results;
mod room;
mod selection;
mod together;

use crate::args::OutputArgs;
use crate::error::Error;
use crate::matching::MatchingArgs;
use crate::report::{Recorder, available_memory, write_config};
use crate::{Context, ExitStatus};
use candle_core::{Device, Tensor};
use checkpoint::Checkpoints;
use clap::{Args, ValueEnum};
use config::{PairConfig, Resume};
use himacl::data::files::remove_if_present;
use himacl::data::output::OutputDir;
use himacl::data::{Embeddings, normalize_rows, read_npy_u32};
use hiref_core::{Checkpoint, CostKind, Hiref, Permutation, Problem, Side, Termination, WarmStart};
use inputs::Inputs;
use names::{CHECKPOINT, PERMUTATION, WARM_START};
use results::Files;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The largest side that `--solver exact` takes: the cost matrix of one block is held in memory, 4 bytes an entry.
const EXACT_LIMIT: usize = 16_384;
/// Seconds between two checkpoints, unless `--checkpoint-every` says otherwise.
const CHECKPOINT_SECONDS: f64 = 60.0;

const EXAMPLES: &str = "\
Examples:
  Pair two sets of the same space:
    himacl pair --x images.npy --y captions.npy --output pairs
  Pair sets in a bucket, at an address and on the Hub:
    himacl pair --x s3://bucket/laion/img_emb --y https://host/captions.npy -o pairs
    himacl pair --x 'hf://datasets/org/name/data/train-*.parquet' --x-key embedding --y captions.npy -o pairs
  Pair the images and captions of a clip-retrieval folder, each side centred, with the metadata of both in pairs.parquet:
    himacl pair --x laion/img_emb --y laion/text_emb --center --normalize --quality best -o pairs
  Improve an earlier result for ten more minutes:
    himacl pair --x images.npy --y captions.npy --warm-start pairs --time-limit 600 -o better
  Prove how good the result is (without the flag, a sample of the rows estimates it):
    himacl pair --x images.npy --y captions.npy --certify -o pairs
  Keep the half of the pairs that stand out most from what is near to either item:
    himacl pair --x images.npy --y captions.npy --cost cosine --keep-by-margin 0.5 -o curated
  Leave items single where no pair is worth it; or make the best 50,000 pairs only:
    himacl pair --x images.npy --y captions.npy --cost cosine --unmatched-cost 0.6 -o partial
    himacl pair --x images.npy --y captions.npy --cost cosine --pairs 50000 -o partial
  Give each picture up to five captions:
    himacl pair --x images.npy --y captions.npy --x-capacity 5 -o captioned
  Pair inside a category only, by a column of the metadata:
    himacl pair --x laion/img_emb --y laion/text_emb --x-groups language --y-groups language -o grouped
  Pair by costs that are known, as a matrix or as candidate pairs:
    himacl pair --cost-matrix costs.npy -o pairs
    himacl pair --candidates neighbours.npz -o pairs
  Pair sets that do not fit memory, in blocks, with temporary files on a fast disk:
    himacl pair --x laion/img_emb --y laion/text_emb --max-memory 8 --work-dir /scratch -o pairs
  The same on a Ray cluster whose machines share an object store:
    himacl pair --x s3://bucket/img_emb --y s3://bucket/text_emb --max-memory 16 --ray auto -o s3://bucket/pairs
  Go on with a run that was interrupted or killed:
    himacl pair --x images.npy --y captions.npy --certify -o pairs --resume
  Pair by entropic optimal transport instead, for comparison:
    himacl pair --x images.npy --y captions.npy --solver sinkhorn --epsilon 0.05 -o sinkhorn";

/// Pair two sets of embeddings one to one, at the least total cost.
///
/// With as many x as y rows the result is a bijection; otherwise every row of the smaller side gets a partner of its own.
///
/// X and Y are .npy files (floats or integers), arrays of .npz, tensors of .safetensors, columns of lists of .parquet and
/// .arrow files, folders of .npy, .parquet, .arrow or .safetensors files (in the order of the numbers in their names), folders as
/// Hugging Face saves datasets, or clip-retrieval folders (shards in `img_emb/` or `text_emb/`). They may be elsewhere: files at
/// `https://` addresses, files and folders in buckets (`s3://BUCKET/folder`) and in datasets of the Hub (`hf://datasets/ORG/NAME/folder`, `NAME@REVISION`), several
/// files by a pattern. Such files are fetched first, into the output folder or --work-dir, and go when the result is
/// complete; those of the Hub stay in its cache. The output folder gets permutation.npy (uint32: the y row of each x row, 4294967295
/// for none), pairs.parquet (`x_index`, `y_index`, `cost` and both sides' metadata: those of a clip-retrieval folder, or what else is in the tables
/// that the embeddings are in, but for lists of floats and bytes), config.toml and summary.json.
///
/// Ctrl-C stops at the next safe point and writes the coupling reached so far, with exit status 1; a second Ctrl-C ends
/// at once. The same command with --resume goes on, and ends with the result of a run that was never interrupted. A comparison
/// solver ends at once, and leaves nothing.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PairArgs {
    /// The source set: a path, or an address (`s3://`, `https://`, `hf://datasets/`).
    #[arg(long, value_name = "PATH|ADDRESS", required_unless_present_any = ["cost_matrix", "candidates"])]
    x: Option<PathBuf>,

    /// The target set, likewise.
    #[arg(long, value_name = "PATH|ADDRESS", required_unless_present_any = ["cost_matrix", "candidates"])]
    y: Option<PathBuf>,

    /// The array, tensor or column to take from X, where it has several, or `img_emb` or `text_emb` of a folder.
    #[arg(long, value_name = "NAME")]
    x_key: Option<String>,

    /// As --x-key, for Y.
    #[arg(long, value_name = "NAME")]
    y_key: Option<String>,

    #[command(flatten)]
    output: OutputArgs,

    /// What a pair costs: sqeuclidean, euclidean, cosine or neg-dot.
    #[arg(long, default_value_t, value_name = "COST")]
    cost: CostKind,

    /// How much work to spend.
    #[arg(long, value_enum, default_value_t)]
    quality: Quality,

    /// How the coupling is found.
    #[arg(long, value_enum, default_value_t)]
    solver: Solver,

    /// Stop improving after this many seconds; the first coupling is always finished.
    #[arg(long, value_name = "SECONDS")]
    time_limit: Option<f64>,

    /// Subtract each side's mean first: it removes the gap between the modalities of a shared space.
    #[arg(long)]
    center: bool,

    /// Scale each row to unit length first (after centring).
    #[arg(long)]
    normalize: bool,

    /// Start from the result of an earlier run on the same rows: its folder, or a permutation.npy (without the prices that the folder
    /// has, small sets gain little).
    #[arg(long, value_name = "DIR")]
    warm_start: Option<PathBuf>,

    /// How to tell how far the result is from the optimum at most. `sampled`, without the flag: an estimate from random rows in a part of
    /// the solve's time, `gap_estimate` in summary.json, unless the solve itself has proved a bound; `sampled:ROWS` looks at so many.
    /// `proof`, or the flag alone: `dual_bound` and `relative_gap` in summary.json, and the potentials that prove it in potentials.npy
    /// (float32: those of x, then those of y). `none`: only what the solve itself has proved. hiref and exact.
    #[arg(long, value_name = "HOW", num_args = 0..=1, default_missing_value = "proof")]
    certify: Option<Certify>,

    /// Write the solver's state every so often, so that --resume can go on from it after a crash; hiref and exact.
    #[arg(long, value_name = "SECONDS", default_value_t = CHECKPOINT_SECONDS, value_parser = positive)]
    checkpoint_every: f64,

    /// Resident memory that the process may take, in GiB or with a unit (40MiB, 8GB), the input as far as it is mapped included. Where both sides do not fit (the estimate
    /// is within some 15%), they are paired from files to files, in blocks; what cannot be done so is refused.
    #[arg(long, value_name = "GIB", value_parser = gibibytes)]
    max_memory: Option<f64>,

    #[command(flatten)]
    external: external::ExternalArgs,

    #[command(flatten)]
    matching: MatchingArgs,

    #[command(flatten)]
    selection: selection::SelectionArgs,

    #[command(flatten)]
    comparison: comparison::ComparisonArgs,
}

/// How much work to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Quality {
    /// Splits, leaves and a few sweeps; in 128 dimensions or more, up to some 50,000 to 85,000 points a side, one round over all pairs after them:
    /// text embeddings of 58,829 points and 256 dimensions end 0.005% above the optimum. Two over promising clusters up to some 2,000,000.
    Fast,
    /// As a rule within 0.01% of the optimum up to 16,384 points a side, and proved to be within 0.2% up to some 420,000 to 750,000 of more than
    /// four dimensions (fewer the more dimensions; 290,000 to 590,000 where sizes differ); one round over all pairs follows the sweeps up to some
    /// 1,100,000 to 4,000,000; larger sets of equal sizes and 64 dimensions or more end with rounds over promising clusters, others once sweeps
    /// leave little to gain.
    #[default]
    Balanced,
    /// As a rule optimal up to 65,536 points a side; rounds towards the optimum are made up to some 1,300,000 to 2,300,000 of more than four
    /// dimensions;
    /// larger sets as with balanced, with more sweeps.
    Best,
}

/// How the distance from the optimum is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certify {
    /// Only as the solve itself has proved it.
    No,
    /// Estimated from a sample of rows, whose number may be given.
    Sampled(Option<usize>),
    /// Proved.
    Proof,
}

impl FromStr for Certify {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("unknown way `{text}`, expected proof, sampled, sampled:ROWS (at least 1) or none");
        match text.split_once(':') {
            None if text == "none" => Ok(Self::No),
            None if text == "sampled" => Ok(Self::Sampled(None)),
            None if text == "proof" => Ok(Self::Proof),
            Some(("sampled", rows)) => match rows.parse() {
                Ok(rows) if rows > 0 => Ok(Self::Sampled(Some(rows))),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

/// How the coupling is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Solver {
    /// Hierarchical refinement, for sets of any size.
    #[default]
    Hiref,
    /// One exact assignment, for at most 16384 points a side.
    Exact,
    /// Entropic optimal transport, rounded.
    Sinkhorn,
    /// Progressive entropic optimal transport, rounded; for the squared Euclidean cost.
    Progot,
    /// Low-rank optimal transport with an optimised inner marginal, rounded.
    Lot,
    /// Low-rank optimal transport with a latent coupling, rounded.
    Frlc,
    /// Random batches, each paired exactly.
    Minibatch,
}

impl Solver {
    fn name(self) -> &'static str {
        match self {
            Self::Hiref => "hiref",
            Self::Exact => "exact",
            Self::Sinkhorn => "sinkhorn",
            Self::Progot => "progot",
            Self::Lot => "lot",
            Self::Frlc => "frlc",
            Self::Minibatch => "minibatch",
        }
    }
}

impl From<Quality> for hiref_core::Quality {
    fn from(quality: Quality) -> Self {
        match quality {
            Quality::Fast => Self::Fast,
            Quality::Balanced => Self::Balanced,
            Quality::Best => Self::Best,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &PairArgs, context: &Context) -> Result<ExitStatus, Error> {
    if let Some(done) = addresses::run(args, context) {
        return done;
    }
    let (Some(x_path), Some(y_path)) = (&args.x, &args.y) else {
        let costs = args.matching.given().unwrap_or(Path::new(""));
        return matching_run::run_given(args, costs, context);
    };
    let mut recorder = context.recorder();

    // All that can be refused is refused before work starts or anything is written.
    let mut output = OutputDir::open(&args.output.output, "pair", args.output.existing())?;
    let named: Vec<PathBuf> = args.matching.files().into_iter().map(|(_, path)| path).collect();
    output.refuse_inputs([x_path, y_path].into_iter().chain(&args.warm_start).chain(&named).map(PathBuf::as_path))?;
    together::check_together(args)?;
    // What was fetched goes before the folder that it may be in.
    let mut inputs = Inputs::find(args, [x_path, y_path], &output)?;
    check_flags(args, &inputs, context)?;
    let status = if inputs.are_elsewhere() && finished_before(args, &inputs, &output, context)? {
        finish(args, config::was_from_files(&output)?, &output, context)?
    } else if recorder.time("fetch", || inputs.fetch(context))? {
        pair_sides(args, &mut inputs, &mut output, recorder, context).map_err(|error| inputs.named(error))?
    } else {
        context.printer.result(external::INTERRUPTED);
        ExitStatus::Partial
    };
    if status == ExitStatus::Done {
        inputs.done();
        drop(inputs);
        output.finish()?;
    }
    Ok(status)
}

/// Refuses what can be refused without knowing how large the sides are.
fn check_flags(args: &PairArgs, inputs: &Inputs, context: &Context) -> Result<(), Error> {
    if inputs.are_elsewhere() {
        PairConfig::new(args, inputs.names()?, context, [1, 1])?.hiref.check()?;
        external::suits(args, 0)?;
    }
    Ok(())
}

/// Whether a finished run is to be resumed, as far as that can be told before anything is fetched.
fn finished_before(args: &PairArgs, inputs: &Inputs, output: &OutputDir, context: &Context) -> Result<bool, Error> {
    let sizes = if args.output.resume { config::finished_sizes(output)? } else { None };
    let Some([n, m]) = sizes else { return Ok(false) };
    let mut config = PairConfig::new(args, inputs.names()?, context, [n.min(m), n.max(m)])?;
    config.from_files = config::was_from_files(output)?;
    let keys = [&args.x_key, &args.y_key];
    let paths = inputs.paths();
    let opened = |side: usize| inputs::files_of(&paths[side], keys[side].as_deref());
    let plan = config.plan(inputs.fingerprints(config.depth(), &opened)?)?;
    Ok(output.goes_on(&plan, &config::is_free)?)
}

/// Says of a finished run that it is one, and removes what is needed no more.
fn finish(args: &PairArgs, from_files: bool, output: &OutputDir, context: &Context) -> Result<ExitStatus, Error> {
    remove_if_present(&output.file(CHECKPOINT))?;
    if from_files {
        external::remove_work(args, output)?;
    }
    context.printer.result(&format!("`{}` is finished already", output.path().display()));
    Ok(ExitStatus::Done)
}

/// Pairs the sides, which are on the disk now.
fn pair_sides(
    args: &PairArgs,
    inputs: &mut Inputs,
    output: &mut OutputDir,
    mut recorder: Recorder,
    context: &Context,
) -> Result<ExitStatus, Error> {
    let paths = inputs.paths();
    let [x_path, y_path] = &paths;
    let x = Embeddings::open(x_path, args.x_key.as_deref())?;
    let y = Embeddings::open(y_path, args.y_key.as_deref())?;
    if x.dimension() != y.dimension() {
        let (x_path, y_path) = (x_path.clone(), y_path.clone());
        return Err(Error::DimensionMismatch { x_path, x: x.dimension(), y_path, y: y.dimension() });
    }
    // Metadata are read when the pairs are written: what is wrong with them must not come to light then.
    [&x, &y].into_iter().try_for_each(Embeddings::check_metadata)?;
    let (n, m, d) = (x.num_rows(), y.num_rows(), x.dimension());
    let mut config = PairConfig::new(args, inputs.names()?, context, [n.min(m), n.max(m)])?;
    let matching = if args.matching.any() { Some(args.matching.resolve([n, m], Some([&x, &y]))?) } else { None };
    let marginals = args.matching.marginals([n, m])?;
    let solver = config.hiref.clone().check()?.on_device(&context.device);
    if args.solver == Solver::Exact && n.max(m) > EXACT_LIMIT {
        return Err(Error::TooLargeForExact { limit: EXACT_LIMIT, n, m });
    }
    let estimate = config.memory_estimate(n, m, d, x.element().size().max(y.element().size()));
    config.from_files = external::suits(args, estimate)?;
    let settings =
        if config.from_files { Some(external::settings(args, &config, &paths, output.path())?) } else { None };
    match &settings {
        Some(settings) => {
            crate::keep_no_free_memory();
            external::plan(&args.external, settings)?;
        }
        None => check_memory(args.max_memory, estimate, context)?,
    }
    let files = |side: usize| Ok([&x, &y][side].files());
    let plan = recorder.time("fingerprint", || config.plan(inputs.fingerprints(config.depth(), &files)?))?;
    let goes_on = output.goes_on(&plan, &config::is_free)?;
    let checkpoint = match if goes_on { config.resume_state(output)? } else { Resume::StartOver } {
        Resume::Finished => return finish(args, config.from_files, output, context),
        Resume::GoOn(checkpoint) => Some(checkpoint),
        Resume::StartOver => None,
    };
    if let Some(settings) = settings {
        let prepared = external::prepare(args, &settings, output, goes_on, context)?;
        output.begin(&plan)?;
        output.keeps_work_in(&prepared.work);
        inputs.begun();
        write_config(output, &config)?;
        return external::run(args, &config, prepared, output, recorder, context);
    }
    let is_whole = matching.is_none() && config.comparison.is_none() && !args.selection.is_any();
    room::check(output.path(), room::least_bytes([&x, &y], is_whole, args.certify == Some(Certify::Proof)))?;
    let uids = config.selection.uids([&x, &y])?;
    let warm_start = args.warm_start.as_ref().map(|path| read_warm_start(path, n, m)).transpose()?;
    let problem = recorder.time("load", || {
        let (x_points, y_points) = (prepare(&x, args)?, prepare(&y, args)?);
        Problem::new(&x_points, &y_points, args.cost).map_err(|error| match error {
            hiref_core::Error::ZeroVector { side: Side::X, .. } => zero_rows_of(&x, args),
            hiref_core::Error::ZeroVector { .. } => zero_rows_of(&y, args),
            other => other.into(),
        })
    })?;
    let problem = if let Some(marginals) = marginals { problem.with_marginals(marginals)? } else { problem };
    output.begin(&plan)?;
    inputs.begun();
    write_config(output, &config)?;

    context.printer.info(&format!(
        "pairing {n} x with {m} y points of {d} coordinates, cost {}, on {} with {} threads",
        args.cost,
        context.device_name(),
        context.threads
    ));
    if checkpoint.is_none() {
        // An earlier run's state must not be taken for this one's.
        remove_if_present(&output.file(CHECKPOINT))?;
    }
    let files = Files { config: &config, problem: &problem, output, sides: [&x, &y], uids };
    match (&config.comparison, &matching) {
        (Some(comparison), _) => comparison_run::run(comparison, &files, recorder, context),
        (None, Some(matching)) => matching_run::run(&solver, matching, &files, recorder, context),
        (None, None) => one_to_one(&solver, checkpoint, warm_start.as_ref(), &files, recorder, context),
    }
}

/// Pairs one to one, from where an earlier run stopped if there was one, and writes the results.
fn one_to_one(
    solver: &Hiref,
    checkpoint: Option<Box<Checkpoint>>,
    warm_start: Option<&WarmStart>,
    files: &Files<'_>,
    mut recorder: Recorder,
    context: &Context,
) -> Result<ExitStatus, Error> {
    let Files { config, problem, output, .. } = files;
    let checkpoints = Checkpoints::new(&context.printer, output, config.checkpoint_every);
    let solved = match checkpoint {
        Some(checkpoint) => solver.resume(problem, *checkpoint, &checkpoints),
        None => solver.solve(problem, warm_start, &checkpoints),
    }?;
    let seconds = solved.seconds;
    for (phase, seconds) in [
        ("split", seconds.split),
        ("leaves", seconds.leaves),
        ("polish", seconds.polish),
        ("exact", seconds.exact),
        ("certify", seconds.certify),
    ] {
        recorder.note(phase, Some(seconds));
    }
    let rejection = recorder.time("write", || {
        let potentials = solved.certificate.as_ref().map(results::potentials);
        files.write(&solved.permutation, Some(&solved.warm_start()), potentials.as_deref())
    })?;
    let kept = rejection.as_ref().map(|rejection| rejection.describe(solved.permutation.num_pairs()));
    files.write_summary(&solved, rejection, &recorder)?;
    if !matches!(solved.termination, Termination::Interrupted | Termination::TimeLimit) {
        remove_if_present(&output.file(CHECKPOINT))?;
    }
    context.printer.result(&results::describe(problem, &solved, kept, output.path()));
    Ok(if solved.termination == Termination::Interrupted { ExitStatus::Partial } else { ExitStatus::Done })
}

/// Loads one side, `(n, d)`, and centres and normalises it as asked; what stays as it is stays in the type it is stored in. In host
/// memory: the solver sends points to its device, all at once or as they are needed.
fn prepare(side: &Embeddings, args: &PairArgs) -> Result<Tensor, Error> {
    if !args.center {
        side.check_precision()?;
    }
    if !args.center && !args.normalize {
        return Ok(side.to_stored_tensor(&Device::Cpu)?);
    }
    let mut values = if args.center { side.to_centered_vec()? } else { side.to_vec()? };
    if args.normalize {
        normalize_rows(&mut values, side.dimension()).map_err(|rows| zero_rows(side, &rows, args, "--normalize"))?;
    }
    Ok(Tensor::from_vec(values, (side.num_rows(), side.dimension()), &Device::Cpu)?)
}

/// Names the rows of a side that are zero, where the cost needs directions.
fn zero_rows_of(side: &Embeddings, args: &PairArgs) -> Error {
    let values = match if args.center { side.to_centered_vec() } else { side.to_vec() } {
        Ok(values) => values,
        Err(error) => return error.into(),
    };
    zero_rows(side, &himacl::data::zero_rows(&values, side.dimension()), args, "the cosine cost")
}

fn zero_rows(side: &Embeddings, rows: &[usize], args: &PairArgs, need: &'static str) -> Error {
    let (path, places) = (side.path().to_path_buf(), side.places(rows));
    himacl::data::Error::ZeroRows { path, rows: places, total: rows.len(), centered: args.center, need }.into()
}

/// Reads the pairing of an earlier run from its folder, with its prices where there are any, or from a permutation's file.
fn read_warm_start(path: &Path, n: usize, m: usize) -> Result<WarmStart, Error> {
    let prices = path.join(WARM_START);
    if prices.is_file() {
        let bytes = fs::read(&prices).map_err(Error::io("read", &prices))?;
        let warm = WarmStart::from_bytes(&bytes).map_err(|source| Error::WarmStart { path: prices.clone(), source })?;
        let got = warm.permutation().num_x();
        return if got == n { Ok(warm) } else { Err(Error::WarmStartLength { path: prices, got, expected: n }) };
    }
    let path = if path.is_dir() { path.join(PERMUTATION) } else { path.to_path_buf() };
    let y_of_x = read_npy_u32(&path)?;
    if y_of_x.len() != n {
        return Err(Error::WarmStartLength { path, got: y_of_x.len(), expected: n });
    }
    Permutation::new(y_of_x, m).map(WarmStart::from).map_err(|source| Error::WarmStart { path, source })
}

fn check_memory(max_gib: Option<f64>, estimate: u64, context: &Context) -> Result<(), Error> {
    let limit = max_gib.map(|gib| (gib * f64::from(1 << 30)) as u64);
    if let Some(limit) = limit.filter(|&limit| estimate > limit) {
        return Err(Error::Memory { estimate, limit, from_files: false });
    }
    if limit.is_none()
        && let Some(available) = available_memory().filter(|&available| estimate > available)
    {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        context.printer.warn(&format!(
            "this run needs about {:.1} GiB of memory, {:.1} GiB are available",
            gib(estimate),
            gib(available)
        ));
    }
    Ok(())
}

/// An amount of memory, in GiB unless it has another unit.
fn gibibytes(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let number = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let bytes = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" | "gib" | "g" => f64::from(1 << 30),
        "mib" | "m" => f64::from(1 << 20),
        "gb" => 1e9,
        "mb" => 1e6,
        "tib" | "t" => f64::from(1 << 30) * 1024.0,
        unit => return Err(format!("unknown unit `{unit}`, expected MiB, GiB, TiB, MB or GB, or a number of GiB")),
    };
    positive(number.trim()).map(|number| number * bytes / f64::from(1 << 30))
}

fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err("expected a positive number".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::{Certify, gibibytes};

    #[test]
    fn memory_has_units() {
        for (text, gib) in [("8", 8.0), ("0.5", 0.5), ("512MiB", 0.5), ("2 GiB", 2.0), ("1024m", 1.0), ("1TiB", 1024.0)]
        {
            assert_eq!(gibibytes(text), Ok(gib), "{text}");
        }
        assert!((gibibytes("1GB").unwrap() - 0.931_322).abs() < 1e-6);
        for wrong in ["", "MiB", "-1", "0", "1KiB", "two", "1e400"] {
            assert!(gibibytes(wrong).is_err(), "{wrong}");
        }
        assert!(gibibytes("1KiB").unwrap_err().contains("expected MiB, GiB"));
    }

    #[test]
    fn ways_to_certify() {
        assert_eq!("none".parse(), Ok(Certify::No));
        assert_eq!("sampled".parse(), Ok(Certify::Sampled(None)));
        assert_eq!("sampled:300".parse(), Ok(Certify::Sampled(Some(300))));
        assert_eq!("proof".parse(), Ok(Certify::Proof));
        for wrong in ["", "proof:3", "sampled:", "sampled:0", "sampled:-1", "true"] {
            let error = wrong.parse::<Certify>().unwrap_err();
            assert!(error.contains(&format!("`{wrong}`")) && error.contains("sampled:ROWS"), "{error}");
        }
    }
}
