//! The resolved settings of one run, as config.toml keeps them.

use super::comparison::{self, Comparison};
use super::external::{self, ExternalArgs};
use super::inputs;
use super::names::{CHECKPOINT, FILES, PERMUTATION, WARM_START};
use super::selection::Selection;
use super::{Certify, PairArgs, Solver};
use crate::Context;
use crate::error::Error;
use crate::matching::MatchingArgs;
use himacl::data::files::{read_json, read_toml};
use himacl::data::output::{Depth, OutputDir, Plan, fingerprint};
use himacl::data::sealed_facts;
use hiref_core::{Checkpoint, CostKind, HirefParams, Quality, Termination};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that the program itself takes.
const BASE_BYTES: u64 = 48 << 20;
/// Bytes of indices and sums that the solver keeps for each point.
const BYTES_PER_POINT: u64 = 96;
/// Stacks, tiles and lists of a thread that solves blocks.
const BYTES_PER_THREAD: u64 = 4 << 20;
/// A block that is paired exactly has at most this many points unless the settings say more.
const ORDINARY_BLOCK: usize = 1024;
/// The same for the lowest quality.
const SMALL_BLOCK: usize = 256;
/// Up to so many coordinates points are paired in the order of a tree, and less is kept of each.
const FEW_DIMENSIONS: usize = 4;
const BYTES_PER_POINT_OF_FEW_DIMENSIONS: u64 = 56;
/// What an estimate of the gap keeps for each y point.
const BYTES_PER_POINT_OF_ESTIMATE: u64 = 256;
/// Coordinates that the solver splits by, at most.
const MOST_FEATURES: u64 = 256;

/// Settings that may change between an interrupted run and its resumption, as may every solver's time limit.
const FREE_KEYS: [&str; 4] = ["device", "threads", "max_memory", "checkpoint_every"];

/// Whether a setting may change between an interrupted run and its resumption.
pub(super) fn is_free(name: &str) -> bool {
    FREE_KEYS.contains(&name) || external::FREE_KEYS.contains(&name) || name.ends_with(".time_limit")
}

/// Everything that a run depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PairConfig {
    pub(super) command: String,
    pub(super) x: PathBuf,
    pub(super) y: PathBuf,
    pub(super) x_key: Option<String>,
    pub(super) y_key: Option<String>,
    pub(super) cost: CostKind,
    pub(super) solver: Solver,
    pub(super) center: bool,
    pub(super) normalize: bool,
    pub(super) warm_start: Option<PathBuf>,
    pub(super) max_memory: Option<f64>,
    /// Whether the sides are paired from files to files.
    #[serde(default)]
    pub(super) from_files: bool,
    /// How, where anything was said of it.
    pub(super) external: Option<ExternalArgs>,
    pub(super) checkpoint_every: f64,
    pub(super) selection: Selection,
    /// What the matching may look like, where it is not one to one; and the weights of items.
    pub(super) matching: Option<MatchingArgs>,
    pub(super) device: String,
    pub(super) threads: usize,
    pub(super) hiref: HirefParams,
    /// The settings of a comparison solver, where one was chosen.
    pub(super) comparison: Option<Comparison>,
}

/// What `--resume` finds in the output folder.
pub(super) enum Resume {
    /// Nothing to go on with.
    StartOver,
    /// The state of an interrupted run.
    GoOn(Box<Checkpoint>),
    /// A finished run.
    Finished,
}

/// The part of an earlier summary.json that tells how it ended.
#[derive(Deserialize)]
struct Ending {
    termination: Termination,
    n: usize,
    m: usize,
}

impl PairConfig {
    /// Resolves the arguments; `names` are what the sides are called, `sides` is min(n, m) and max(n, m).
    pub(super) fn new(
        args: &PairArgs,
        [x, y]: [PathBuf; 2],
        context: &Context,
        sides: [usize; 2],
    ) -> Result<Self, Error> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(Error::io("resolve", path));
        let certify = args.certify.unwrap_or(Certify::Sampled(None));
        let mut hiref = HirefParams {
            quality: args.quality.into(),
            seed: context.seed.unwrap_or(0),
            time_limit: args.time_limit,
            certify: certify == Certify::Proof,
            estimate_gap: matches!(certify, Certify::Sampled(_)),
            gap_rows: if let Certify::Sampled(rows) = certify { rows } else { None },
            ..HirefParams::default()
        };
        if args.solver == Solver::Exact {
            // One leaf that holds everything.
            hiref.leaf_size = sides[1].max(2);
        }
        Ok(Self {
            command: "pair".to_owned(),
            x,
            y,
            x_key: args.x_key.clone(),
            y_key: args.y_key.clone(),
            cost: args.cost,
            solver: args.solver,
            center: args.center,
            normalize: args.normalize,
            warm_start: args.warm_start.as_deref().map(absolute).transpose()?,
            max_memory: args.max_memory,
            from_files: false,
            external: (args.external != ExternalArgs::default()).then(|| args.external.absolute()).transpose()?,
            checkpoint_every: args.checkpoint_every,
            selection: args.into(),
            matching: (args.matching != MatchingArgs::default()).then(|| args.matching.absolute()).transpose()?,
            device: context.device_name(),
            threads: context.threads,
            hiref,
            comparison: comparison::resolve(args, context, sides[0])?,
        })
    }

    /// Bytes of resident memory that the run will need, within some 15% (`scripts/memory.py` measures it): the program, the input as far as
    /// it is mapped, some copies of the points, indices for each of them, and the cost matrices of one block for each thread.
    ///
    /// `stored` is the number of bytes of a coordinate on disk.
    pub(super) fn memory_estimate(&self, n: usize, m: usize, d: usize, stored: usize) -> u64 {
        let (points, wide) = ((n + m) as u64, 4 * d as u64);
        let mapped = (stored * d) as u64;
        let loaded = if self.center || self.normalize { wide } else { mapped.min(wide) };
        // In few dimensions neither coordinates nor levels are needed; else in the solver's coordinates, and in part gathered for one level.
        let is_few = d <= FEW_DIMENSIONS && matches!(self.cost, CostKind::SquaredEuclidean | CostKind::Euclidean);
        let features = if is_few { 0 } else { 7 * MOST_FEATURES.min(d as u64) };
        let indices = if is_few { BYTES_PER_POINT_OF_FEW_DIMENSIONS } else { BYTES_PER_POINT };
        // All points at once, in an order that keeps neighbours together, and as bytes. An estimate of the gap does with one side, when the
        // features are gone, if there were any.
        let all_at_once = self.hiref.certify || self.hiref.may_end_exactly(n, m, d);
        let priced = if all_at_once { wide + d as u64 } else { 0 };
        let estimated = if is_few && self.hiref.estimate_gap { m as u64 * BYTES_PER_POINT_OF_ESTIMATE } else { 0 };
        let base = BASE_BYTES + points * (mapped + loaded + features + indices + priced) + estimated;
        if let Some(comparison) = &self.comparison {
            return base + comparison.memory_estimate(n, m, d, self.threads);
        }
        let ordinary = if self.hiref.quality == Quality::Fast { SMALL_BLOCK } else { ORDINARY_BLOCK };
        let block = self.hiref.leaf_size.max(self.hiref.polish_block_size.unwrap_or(ordinary)).min(n.max(m)) as u64;
        // Costs in f32, and again in f64 where rounding could decide.
        let matrices = 12 * block * block;
        // Other matchings have no blocks, but rounds of about as much memory as one.
        let blocks = if self.matching.is_some() { 1 } else { self.threads as u64 };
        base + if self.solver == Solver::Exact { matrices } else { blocks * (matrices + BYTES_PER_THREAD) }
    }

    /// How much of inputs a fingerprint looks at: of those larger than memory samples will do.
    pub(super) fn depth(&self) -> Depth {
        if self.from_files { Depth::Sampled } else { Depth::Whole }
    }

    /// What the run makes, and of what; `sides` are the fingerprints of x and y.
    ///
    /// # Errors
    /// Other inputs that cannot be read.
    pub(super) fn plan(&self, sides: [String; 2]) -> Result<Plan, Error> {
        let mut inputs = Vec::new();
        if let Some(path) = &self.warm_start {
            let of_folder = [WARM_START, PERMUTATION].map(|name| path.join(name));
            let file = of_folder.into_iter().find(|file| file.is_file()).unwrap_or_else(|| path.clone());
            inputs.push(("--warm-start", vec![file]));
        }
        inputs.extend(self.matching.iter().flat_map(MatchingArgs::files).map(|(flag, path)| (flag, vec![path])));
        let depth = self.depth();
        let print = |(name, files): (&str, Vec<PathBuf>)| Ok((name.to_owned(), fingerprint(&files, None, depth)?));
        let sides = inputs::FLAGS.into_iter().zip(sides).map(|(flag, print)| Ok((flag.to_owned(), print)));
        Ok(Plan {
            command: self.command.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            files: FILES.map(ToOwned::to_owned).into_iter().chain(external::files()).collect(),
            inputs: sides.chain(inputs.into_iter().map(print)).collect::<Result<_, Error>>()?,
            settings: toml::Table::try_from(self)?,
        })
    }

    /// Looks at what an earlier run of the same settings left in the output folder.
    ///
    /// # Errors
    /// [`Error::SolverCheckpoint`] and other unreadable files.
    pub(super) fn resume_state(&self, output: &OutputDir) -> Result<Resume, Error> {
        if finished(output)? {
            return Ok(Resume::Finished);
        }
        let path = output.file(CHECKPOINT);
        // The comparison solvers and other matchings than one to one keep no state.
        if self.comparison.is_some() || self.matching.is_some() || !path.is_file() {
            return Ok(Resume::StartOver);
        }
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        if sealed_facts(&bytes).is_none() {
            return Err(Error::DamagedCheckpoint(path));
        }
        let checkpoint = Checkpoint::from_bytes(&bytes).map_err(|source| Error::SolverCheckpoint { path, source })?;
        Ok(Resume::GoOn(Box::new(checkpoint)))
    }
}

/// Whether a run in this folder came to its end.
pub(super) fn finished(output: &OutputDir) -> Result<bool, Error> {
    Ok(finished_sizes(output)?.is_some())
}

/// How many rows both sides had of a run in this folder that came to its end.
pub(super) fn finished_sizes(output: &OutputDir) -> Result<Option<[usize; 2]>, Error> {
    let path = output.file("summary.json");
    if !path.is_file() {
        return Ok(None);
    }
    let Ending { termination, n, m } = read_json(&path)?;
    Ok((!matches!(termination, Termination::Interrupted | Termination::TimeLimit)).then_some([n, m]))
}

/// Whether a run in this folder pairs from files to files.
pub(super) fn was_from_files(output: &OutputDir) -> Result<bool, Error> {
    #[derive(Deserialize)]
    struct Way {
        #[serde(default)]
        from_files: bool,
    }
    Ok(read_toml::<Way>(&output.file("config.toml"))?.from_files)
}
