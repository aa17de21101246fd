//! `himacl pair`: the global coupling of two sets.

mod checkpoint;
mod comparison;
mod config;
mod results;
mod selection;

use crate::args::OutputArgs;
use crate::error::Error;
use crate::report::{Recorder, available_memory, write_config};
use crate::{Context, ExitStatus};
use candle_core::{Device, Tensor};
use checkpoint::{CHECKPOINT, Checkpoints};
use clap::{Args, ValueEnum};
use config::{PairConfig, Resume};
use himacl::data::files::remove_if_present;
use himacl::data::output::OutputDir;
use himacl::data::{Embeddings, center, normalize_rows, read_npy_u32};
use hiref_core::{CostKind, Permutation, Problem, Termination, WarmStart};
use results::Files;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The largest side that `--solver exact` takes: the cost matrix of one block is held in memory, 4 bytes an entry.
const EXACT_LIMIT: usize = 16_384;
/// Seconds between two checkpoints, unless `--checkpoint-every` says otherwise.
const CHECKPOINT_SECONDS: f64 = 60.0;

const EXAMPLES: &str = "\
Examples:
  Pair two sets of the same space:
    himacl pair --x images.npy --y captions.npy --output pairs
  Pair the images and captions of a clip-retrieval folder, each side centred, with the metadata of both in pairs.parquet:
    himacl pair --x laion/img_emb --y laion/text_emb --center --normalize --quality best -o pairs
  Improve an earlier result for ten more minutes:
    himacl pair --x images.npy --y captions.npy --warm-start pairs --time-limit 600 -o better
  Prove how good the result is:
    himacl pair --x images.npy --y captions.npy --certify -o pairs
  Go on with a run that was interrupted or killed:
    himacl pair --x images.npy --y captions.npy --certify -o pairs --resume
  Pair by entropic optimal transport instead, for comparison:
    himacl pair --x images.npy --y captions.npy --solver sinkhorn --epsilon 0.05 -o sinkhorn";

/// Pair two sets of embeddings one to one, at the least total cost.
///
/// With as many x as y rows the result is a bijection; otherwise every row of the smaller side gets a partner of its own.
///
/// X and Y are .npy files (float16, float32 or float64; C order), .safetensors files, or clip-retrieval folders (shards
/// in `img_emb/` or `text_emb/`). The output folder gets permutation.npy (uint32: the y row of each x row, 4294967295
/// for none), pairs.parquet (`x_index`, `y_index`, `cost` and both sides' metadata), config.toml and summary.json.
///
/// Ctrl-C stops at the next safe point and writes the coupling reached so far, with exit status 1; a second Ctrl-C ends
/// at once. The same command with --resume goes on, and ends with the result of a run that was never interrupted; a
/// comparison solver starts over.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PairArgs {
    /// The source set.
    #[arg(long, value_name = "PATH")]
    x: PathBuf,

    /// The target set.
    #[arg(long, value_name = "PATH")]
    y: PathBuf,

    /// The tensor to take from X, where it is a .safetensors file with several, or `img_emb` or `text_emb` of a folder.
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

    /// Prove how far the result is from the optimum at most: `dual_bound` and `relative_gap` in summary.json, and the
    /// potentials that prove it in potentials.npy (float32: those of x, then those of y); hiref and exact.
    #[arg(long)]
    certify: bool,

    /// Write the solver's state every so often, so that --resume can go on from it after a crash; hiref and exact.
    #[arg(long, value_name = "SECONDS", default_value_t = CHECKPOINT_SECONDS, value_parser = positive)]
    checkpoint_every: f64,

    /// Refuse to start if the run is estimated to need more memory than this many GiB.
    #[arg(long, value_name = "GIB", value_parser = positive)]
    max_memory: Option<f64>,

    #[command(flatten)]
    selection: selection::SelectionArgs,

    #[command(flatten)]
    comparison: comparison::ComparisonArgs,
}

/// How much work to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Quality {
    /// Splits, leaves and a few sweeps.
    Fast,
    /// As a rule within 0.01% of the optimum up to 16,384 points a side; of larger sets sweeps stop once little is left to gain.
    #[default]
    Balanced,
    /// As a rule optimal up to 65,536 points a side; of larger sets sweeps stop once next to nothing is left to gain.
    Best,
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
    let printer = &context.printer;
    let mut recorder = Recorder::start(context.device_name(), context.threads);

    // All that can be refused is refused before work starts or anything is written.
    let mut output = OutputDir::open(&args.output.output, "pair", args.output.existing())?;
    output.refuse_inputs([&args.x, &args.y].into_iter().chain(&args.warm_start).map(PathBuf::as_path))?;
    let x = Embeddings::open(&args.x, args.x_key.as_deref())?;
    let y = Embeddings::open(&args.y, args.y_key.as_deref())?;
    if x.dimension() != y.dimension() {
        let (x_path, y_path) = (args.x.clone(), args.y.clone());
        return Err(Error::DimensionMismatch { x_path, x: x.dimension(), y_path, y: y.dimension() });
    }
    let (n, m, d) = (x.num_rows(), y.num_rows(), x.dimension());
    let config = PairConfig::new(args, context, [n.min(m), n.max(m)])?;
    let solver = config.hiref.clone().check()?.on_device(&context.device);
    if args.solver == Solver::Exact && n.max(m) > EXACT_LIMIT {
        return Err(Error::TooLargeForExact { limit: EXACT_LIMIT, n, m });
    }
    check_memory(
        args.max_memory,
        config.memory_estimate(n, m, d, x.element().size().max(y.element().size())),
        context,
    )?;
    let plan = recorder.time("fingerprint", || config.plan([&x, &y]))?;
    let goes_on = output.goes_on(&plan, &config::is_free)?;
    let checkpoint = match if goes_on { config.resume_state(&output)? } else { Resume::StartOver } {
        Resume::Finished => {
            remove_if_present(&output.file(CHECKPOINT))?;
            let folder = output.path().display().to_string();
            output.finish()?;
            printer.result(&format!("`{folder}` is finished already"));
            return Ok(ExitStatus::Done);
        }
        Resume::GoOn(checkpoint) => Some(checkpoint),
        Resume::StartOver => None,
    };
    let uids = config.selection.uids([&x, &y])?;
    let warm_start = args.warm_start.as_ref().map(|path| read_warm_start(path, n, m)).transpose()?;
    let problem = recorder.time("load", || {
        let x = prepare(&x, args)?;
        let y = prepare(&y, args)?;
        Ok::<_, Error>(Problem::new(&x, &y, args.cost)?)
    })?;
    output.begin(plan)?;
    write_config(&output, &config)?;

    printer.info(&format!(
        "pairing {n} x with {m} y points of {d} coordinates, cost {}, on {} with {} threads",
        args.cost,
        context.device_name(),
        context.threads
    ));
    if checkpoint.is_none() {
        // An earlier run's state must not be taken for this one's.
        remove_if_present(&output.file(CHECKPOINT))?;
    }
    if let Some(comparison) = &config.comparison {
        let files = Files { config: &config, problem: &problem, output: &output, sides: [&x, &y], uids };
        let status = comparison::run(comparison, &files, recorder, context)?;
        return if status == ExitStatus::Done {
            output.finish().map(|()| status).map_err(Error::from)
        } else {
            Ok(status)
        };
    }
    let checkpoints = Checkpoints::new(printer, &output, config.checkpoint_every);
    let solved = match checkpoint {
        Some(checkpoint) => solver.resume(&problem, *checkpoint, &checkpoints),
        None => solver.solve(&problem, warm_start.as_ref(), &checkpoints),
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
    let files = Files { config: &config, problem: &problem, output: &output, sides: [&x, &y], uids };
    let rejection = recorder.time("write", || {
        let potentials = solved.certificate.as_ref().map(results::potentials);
        files.write(&solved.permutation, Some(&solved.warm_start()), potentials.as_deref())
    })?;
    files.write_summary(&solved, rejection, &recorder)?;

    if !matches!(solved.termination, Termination::Interrupted | Termination::TimeLimit) {
        remove_if_present(&output.file(CHECKPOINT))?;
    }

    let line = results::describe(&problem, &solved, output.path());
    let interrupted = solved.termination == Termination::Interrupted;
    if !interrupted {
        output.finish()?;
    }
    printer.result(&line);
    Ok(if interrupted { ExitStatus::Partial } else { ExitStatus::Done })
}

/// Loads one side, `(n, d)`, and centres and normalises it as asked; what stays as it is stays in the type it is stored in. In host
/// memory: the solver sends points to its device, all at once or as they are needed.
fn prepare(side: &Embeddings, args: &PairArgs) -> Result<Tensor, Error> {
    if !args.center && !args.normalize {
        return Ok(side.to_stored_tensor(&Device::Cpu)?);
    }
    let mut values = side.to_vec()?;
    if args.center {
        center(&mut values, side.dimension());
    }
    if args.normalize {
        let zero = |row| Error::ZeroRow { path: side.path().to_path_buf(), row, centered: args.center };
        normalize_rows(&mut values, side.dimension()).map_err(zero)?;
    }
    Ok(Tensor::from_vec(values, (side.num_rows(), side.dimension()), &Device::Cpu)?)
}

/// Reads the pairing of an earlier run from its folder, with its prices where there are any, or from a permutation's file.
fn read_warm_start(path: &Path, n: usize, m: usize) -> Result<WarmStart, Error> {
    let prices = path.join(results::WARM_START);
    if prices.is_file() {
        let bytes = fs::read(&prices).map_err(Error::io("read", &prices))?;
        let warm = WarmStart::from_bytes(&bytes).map_err(|source| Error::WarmStart { path: prices.clone(), source })?;
        let got = warm.permutation().num_x();
        return if got == n { Ok(warm) } else { Err(Error::WarmStartLength { path: prices, got, expected: n }) };
    }
    let path = if path.is_dir() { path.join(results::PERMUTATION) } else { path.to_path_buf() };
    let y_of_x = read_npy_u32(&path)?;
    if y_of_x.len() != n {
        return Err(Error::WarmStartLength { path, got: y_of_x.len(), expected: n });
    }
    Permutation::new(y_of_x, m).map(WarmStart::from).map_err(|source| Error::WarmStart { path, source })
}

fn check_memory(max_gib: Option<f64>, estimate: u64, context: &Context) -> Result<(), Error> {
    let limit = max_gib.map(|gib| (gib * f64::from(1 << 30)) as u64);
    if let Some(limit) = limit.filter(|&limit| estimate > limit) {
        return Err(Error::Memory { estimate, limit });
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

fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err("expected a positive number".to_owned()) }
}
