//! What a run consists of: sizes of blocks, pieces and samples, chosen once from the memory allowed. Tasks depend on nothing else.

use crate::error::Error;
use crate::vectors::Element;
use himacl_data::files::{read_json, write_json};
use himacl_data::{ElementType, Embeddings, Layout};
use hiref_core::{CostKind, HirefParams, Quality};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Changes whenever the files of an earlier version could not be gone on from.
const VERSION: u32 = 2;
/// The plan's file in the folder of temporary files.
pub(crate) const PLAN: &str = "plan.json";
/// Bytes that the program itself takes.
const BASE_BYTES: u64 = 44 << 20;
/// Stacks, tiles and lists of a thread that solves blocks.
const BYTES_PER_THREAD: u64 = 4 << 20;
/// Coordinates that the solver splits by, at most, and the bytes that each takes in its levels.
const MOST_FEATURES: usize = 256;
const BYTES_PER_FEATURE: usize = 7;
/// Bytes of indices and sums that a solve and a sweep keep for each point, ours included.
const BYTES_PER_SOLVED: usize = 130;
const BYTES_PER_SWEPT: usize = 150;
/// What a round over all pairs of the block takes besides: both sides in the order of the search, in f32 and as bytes; and candidates.
const BYTES_PER_COORDINATE_OF_ROUND: usize = 6;
const BYTES_PER_CANDIDATE_OF_ROUND: usize = 26;
/// Candidates of a point in such a round: one more for so many products, from 8 to 64 (`hiref_core::HirefParams`).
const PRODUCTS_PER_CANDIDATE: usize = 300_000;
/// A round may take so many times what the sweeps do that it stands for; more than so many blocks are not made for it.
const ROUND_FOR_SWEEPS: f64 = 2.0;
const MOST_BLOCKS_WITH_ROUNDS: usize = 1024;
/// Up to so many coordinates sweeps are made alone.
const FEW_DIMENSIONS: usize = 4;
/// Below so many pairs a block is not worth a task.
const SMALLEST_BLOCK: usize = 1024;
/// Rows of a piece, at most: many pieces keep many workers busy.
const MOST_PIECE_ROWS: usize = 1 << 18;
/// Sampled pairs for each block, of which there are at least so many in all.
const SAMPLED_PER_BLOCK: usize = 512;
const FEWEST_SAMPLED: usize = 1 << 14;
/// Clusters that a row may go to.
const CANDIDATES: usize = 8;
/// Pairs of one file of results.
const PART_ROWS: usize = 1 << 20;
/// Bytes that are decoded at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// Clusters have numbers of 16 bits; and a file for each block would be too many long before.
const MOST_BLOCKS: usize = 1 << 15;
/// Rows of a side whose candidates are kept in memory while prices of clusters are found.
pub(crate) const ASCENT_ROWS: usize = 1 << 18;
/// Share of a block that sizes may exceed what was planned by: quantiles come from samples.
const SPREAD: f64 = 1.2;

/// Where one side comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A file or folder, as [`Embeddings::open`] takes it.
    pub path: PathBuf,
    /// The array, tensor or column, where there are several.
    pub key: Option<String>,
}

/// What a user can set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The x side.
    pub x: Input,
    /// The y side.
    pub y: Input,
    /// The folder for the results, which exists.
    pub output: PathBuf,
    /// What a pair costs.
    pub cost: CostKind,
    /// How much work to spend.
    pub quality: Quality,
    /// Seed of every random choice.
    pub seed: u64,
    /// Whether each side's mean is subtracted first.
    pub center: bool,
    /// Whether rows are scaled to unit length, after that.
    pub normalize: bool,
    /// Bytes that one worker may hold.
    pub memory: u64,
    /// Threads of one worker, whose matrices count.
    pub threads: usize,
    /// Pairs of one block, where they are not to follow from the memory.
    pub block_rows: Option<usize>,
    /// Sweeps over everything, at most; chosen from the quality when absent.
    pub sweeps: Option<usize>,
    /// Rows whose slack estimates the gap; chosen from the quality when absent, none are looked at for 0.
    pub gap_rows: Option<usize>,
}

/// Everything that tasks depend on. Sides are in order: the smaller first, whichever the user called x.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    version: u32,
    /// The sides.
    pub(crate) inputs: [Input; 2],
    /// The folder for the results.
    pub(crate) output: PathBuf,
    /// Whether the first side is the user's y.
    pub turned: bool,
    /// Rows of the smaller side and of the larger.
    pub rows: [usize; 2],
    /// Coordinates.
    pub dimension: usize,
    pub(crate) element: Element,
    /// What a pair costs.
    pub cost: CostKind,
    /// How much work is spent.
    pub quality: Quality,
    pub(crate) seed: u64,
    pub(crate) center: bool,
    pub(crate) normalize: bool,
    /// Bytes that a task may hold.
    pub memory: u64,
    pub(crate) piece_rows: usize,
    pub(crate) chunk_rows: usize,
    /// Blocks that are solved from nothing.
    pub solve_blocks: usize,
    /// Blocks of a sweep.
    pub sweep_blocks: usize,
    /// Sweeps over everything, at most.
    pub max_sweeps: usize,
    /// Sweeps inside a block after it is solved from nothing.
    pub(crate) first_sweeps: usize,
    /// Sweeps inside a block, each time.
    pub(crate) inner_sweeps: usize,
    /// Rounds over all pairs of a block after its sweeps, each time.
    pub(crate) rounds: usize,
    /// Pairs of the blocks that are paired exactly.
    pub(crate) polish_block: usize,
    /// Sweeps end once they are expected to gain less than this share of the cost.
    pub(crate) tolerance: f64,
    /// Rows of the sample of each side.
    pub(crate) sample_rows: [usize; 2],
    pub(crate) candidates: usize,
    pub(crate) part_rows: usize,
    /// Rows looked at for the gap.
    pub(crate) gap_rows: usize,
    /// Pairs whose prices price all.
    pub(crate) price_rows: usize,
}

/// The most sweeps where sizes differ, in units of those where they do not; they end as soon as they gain little.
const UNEQUAL_SWEEPS: usize = 4;
/// The most sweeps of blocks with rounds, as a multiple of those without: they gain for longer.
const SWEEPS_WITH_ROUNDS: f64 = 1.5;

/// Work by quality: sweeps over everything, sweeps inside a block each time, tolerance, rows for the gap, pairs for its prices.
fn effort(quality: Quality) -> (usize, usize, f64, usize, usize) {
    match quality {
        Quality::Fast => (2, 1, 0.02, 1024, 4096),
        Quality::Balanced => (8, 4, 0.002, 2048, 8192),
        Quality::Best => (48, 4, 0.0002, 4096, 8192),
    }
}

/// Bytes that a round over all pairs of a block takes for each of them.
fn bytes_of_round(rows: usize, dimension: usize) -> u64 {
    let candidates = (rows * (dimension + 40) / PRODUCTS_PER_CANDIDATE).clamp(8, 64);
    (2 * BYTES_PER_COORDINATE_OF_ROUND * dimension + BYTES_PER_CANDIDATE_OF_ROUND * candidates) as u64
}

/// Nanoseconds that an entry of a block's costs takes in a sweep.
fn nanoseconds_of_entry(dimension: usize) -> f64 {
    2.0 * (8.0 + dimension as f64 / 25.0)
}

/// What sweeps take for each pair with so many entries in all; later ones find less to do.
fn nanoseconds_of_sweeps(dimension: usize, entries: usize) -> f64 {
    0.7 * nanoseconds_of_entry(dimension) * entries as f64
}

/// What a round over all pairs of a block takes for each of them: prices from a part of the pairs, products of bytes, and as much again for the solve.
fn nanoseconds_of_round(rows: usize, dimension: usize) -> f64 {
    2.35 * rows as f64 * (dimension as f64 + 40.0) / 200.0
}

/// Pairs of the largest block in which a round may stand for sweeps with so many entries a pair.
fn rows_worth_a_round(dimension: usize, entries: usize) -> usize {
    (ROUND_FOR_SWEEPS * nanoseconds_of_sweeps(dimension, entries) / nanoseconds_of_round(1, dimension)) as usize
}

/// Pairs of the blocks inside a block that are paired exactly.
fn polish_block(quality: Quality) -> usize {
    if quality == Quality::Fast { 256 } else { 1024 }
}

/// How many rows of so many bytes fit, where blocks may be larger than planned by `spread`.
fn fitting(budget: u64, bytes: u64, spread: f64) -> usize {
    ((budget as f64 / bytes as f64 / spread) as usize).max(1)
}

/// The blocks of a sweep, and what is done in each.
struct SweepBlocks {
    /// Pairs of one.
    rows: usize,
    inner_sweeps: usize,
    rounds: usize,
}

impl SweepBlocks {
    /// Chosen from what a pair takes in the sweeps alone and the bytes there are for all pairs of a block.
    fn new(settings: &Settings, [n, m]: [usize; 2], dimension: usize, (swept, budget): (u64, u64)) -> Self {
        let inner_sweeps = effort(settings.quality).1;
        let for_sweeps = fitting(budget, swept, SPREAD);
        let with_round = swept + bytes_of_round(for_sweeps.min(m), dimension);
        // A round looks at all pairs of a block: blocks are no larger than that is worth.
        let worth = rows_worth_a_round(dimension, inner_sweeps * polish_block(settings.quality));
        let for_round = settings.block_rows.unwrap_or_else(|| fitting(budget, with_round, SPREAD).min(worth));
        let is_sensible = for_round >= SMALLEST_BLOCK.min(m) && m.div_ceil(for_round) <= MOST_BLOCKS_WITH_ROUNDS;
        if settings.quality != Quality::Fast && n == m && dimension > FEW_DIMENSIONS && is_sensible {
            Self { rows: for_round.max(2), inner_sweeps: 1, rounds: 1 }
        } else {
            Self { rows: settings.block_rows.unwrap_or(for_sweeps).max(2), inner_sweeps, rounds: 0 }
        }
    }
}

impl Plan {
    /// Plans a run.
    ///
    /// # Errors
    /// Inputs that cannot be read in parts, or do not fit together; memory in which nothing sensible fits.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let open = |input: &Input| Embeddings::open(&input.path, input.key.as_deref());
        let (x, y) = (open(&settings.x)?, open(&settings.y)?);
        if x.dimension() != y.dimension() {
            return Err(Error::DimensionMismatch { x: x.dimension(), y: y.dimension() });
        }
        for side in [&x, &y] {
            // Nothing else is unpacked to be read.
            if let (true, Layout::Npz { key }) = (side.is_unpacked(), side.layout()) {
                return Err(Error::Packed { path: side.path().to_path_buf(), key: key.clone() });
            }
            side.check_precision()?;
        }
        let (n, m, dimension) = (x.num_rows(), y.num_rows(), x.dimension());
        if n.max(m) >= u32::MAX as usize {
            return Err(Error::TooManyRows { rows: n.max(m) });
        }
        let turned = n > m;
        let mut inputs = [settings.x.clone(), settings.y.clone()];
        if turned {
            inputs.reverse();
        }
        let rows = [n.min(m), n.max(m)];
        let kinds = [x.compact_element(), y.compact_element()];
        let changed = settings.center || settings.normalize;
        let element = if changed || kinds[0] != kinds[1] { ElementType::F32 } else { kinds[0] }.into();
        Self::of_sizes(settings, inputs, turned, rows, dimension, element)
    }

    fn of_sizes(
        settings: &Settings,
        inputs: [Input; 2],
        turned: bool,
        rows: [usize; 2],
        dimension: usize,
        element: Element,
    ) -> Result<Self, Error> {
        let (sweeps, inner_sweeps, tolerance, gap_rows, price_rows) = effort(settings.quality);
        let polish_block = polish_block(settings.quality);
        let m = rows[1];
        let width = element.size() * dimension;
        // Half precision of few coordinates is widened by the solver.
        let held = if dimension < 32 { width + 4 * dimension } else { width };
        let features = BYTES_PER_FEATURE * dimension.min(MOST_FEATURES);
        let solved = 2 * (held + features + BYTES_PER_SOLVED) as u64;
        let swept = 2 * (held + BYTES_PER_SWEPT) as u64;
        // Costs in f32, and again in f64 where rounding could decide.
        let matrices = 12 * (polish_block * polish_block) as u64 + BYTES_PER_THREAD;
        let fixed = BASE_BYTES + settings.threads as u64 * matrices;
        let budget = settings.memory.saturating_sub(fixed);
        let smallest = (SMALLEST_BLOCK as f64 * SPREAD) as u64 * solved;
        if budget < smallest && settings.block_rows.is_none() {
            let (limit, threads) = (settings.memory, settings.threads);
            return Err(Error::TooLittleMemory { limit, needed: fixed + smallest, dimension, threads });
        }
        // With blocks of a given size nothing depends on how the memory is divided.
        let room = settings.block_rows.map_or(budget, |rows| rows as u64 * solved);
        let fitting = |bytes: u64, spread: f64| fitting(budget, bytes, spread);
        let solve_rows = settings.block_rows.unwrap_or_else(|| fitting(solved, 1.05)).max(2);
        let blocks = SweepBlocks::new(settings, rows, dimension, (swept, budget));
        let sweeps = match blocks.rounds {
            // Which rows stay without a partner is settled between blocks alone.
            0 if rows[0] < rows[1] => UNEQUAL_SWEEPS * sweeps,
            0 => sweeps,
            _ => (SWEEPS_WITH_ROUNDS * sweeps as f64) as usize,
        };
        let (solve_blocks, sweep_blocks) = (m.div_ceil(solve_rows), m.div_ceil(blocks.rows));
        if solve_blocks > MOST_BLOCKS {
            let (limit, threads) = (settings.memory, settings.threads);
            let needed = fixed + (m.div_ceil(MOST_BLOCKS) as f64 * 1.05) as u64 * solved;
            return Err(Error::TooLittleMemory { limit, needed, dimension, threads });
        }
        let sampled = solve_rows.min((SAMPLED_PER_BLOCK * solve_blocks).max(FEWEST_SAMPLED)).min(m);
        let of_smaller = (sampled as f64 * rows[0] as f64 / m as f64).round() as usize;
        let candidates = solve_blocks.min(CANDIDATES);
        let of_piece = (width + 8 * CANDIDATES + 32) as u64;
        let piece_rows = settings.block_rows.unwrap_or_else(|| fitting(of_piece, 2.0)).min(MOST_PIECE_ROWS);
        Ok(Self {
            version: VERSION,
            inputs,
            output: settings.output.clone(),
            turned,
            rows,
            dimension,
            element,
            cost: settings.cost,
            quality: settings.quality,
            seed: settings.seed,
            center: settings.center,
            normalize: settings.normalize,
            memory: settings.memory,
            piece_rows,
            chunk_rows: (CHUNK_BYTES / (4 * dimension)).clamp(64, 16_384),
            solve_blocks,
            sweep_blocks,
            max_sweeps: if solve_blocks == 1 { 0 } else { settings.sweeps.unwrap_or(sweeps) },
            first_sweeps: 2 * inner_sweeps,
            inner_sweeps: blocks.inner_sweeps,
            rounds: blocks.rounds,
            polish_block,
            tolerance,
            sample_rows: [of_smaller.clamp(1, rows[0]), sampled],
            candidates,
            part_rows: PART_ROWS.min((room / 64).max(1 << 12) as usize),
            gap_rows: settings.gap_rows.unwrap_or(gap_rows).min(rows[0]),
            // Each sample is solved as one block, whose costs are in memory.
            price_rows: price_rows.min(4 * ((room / 16) as f64).sqrt() as usize).max(64),
        })
    }

    /// Writes the plan into the folder of temporary files.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, work: &Path) -> Result<(), Error> {
        Ok(write_json(&work.join(PLAN), self)?)
    }

    /// Reads the plan of a folder of temporary files.
    ///
    /// # Errors
    /// No plan, or that of another version.
    pub fn read(work: &Path) -> Result<Self, Error> {
        let path = work.join(PLAN);
        let plan: Self = read_json(&path)?;
        if plan.version == VERSION {
            Ok(plan)
        } else {
            Err(Error::broken(&path, format!("it is of version {}, expected {VERSION}", plan.version)))
        }
    }

    /// The same with inputs and results in other places.
    pub(crate) fn at(mut self, [x, y]: [&Path; 2], output: &Path) -> Self {
        let [first, second] = if self.turned { [y, x] } else { [x, y] };
        self.inputs[0].path = first.to_path_buf();
        self.inputs[1].path = second.to_path_buf();
        self.output = output.to_path_buf();
        self
    }

    /// Whether a folder of temporary files has a plan.
    pub fn exists(work: &Path) -> bool {
        work.join(PLAN).is_file()
    }

    /// Pieces of a side.
    pub(crate) fn pieces(&self, side: usize) -> usize {
        self.rows[side].div_ceil(self.piece_rows)
    }

    /// Pieces of both sides, those of the smaller first.
    pub(crate) fn all_pieces(&self) -> usize {
        self.pieces(0) + self.pieces(1)
    }

    /// Side and rows of a piece, counted over both sides.
    pub(crate) fn piece(&self, index: usize) -> (usize, Range<usize>) {
        let (side, index) = if index < self.pieces(0) { (0, index) } else { (1, index - self.pieces(0)) };
        let start = index * self.piece_rows;
        (side, start..(start + self.piece_rows).min(self.rows[side]))
    }

    /// Parts of the results, by rows of the smaller side.
    pub(crate) fn parts(&self) -> usize {
        self.rows[0].div_ceil(self.part_rows)
    }

    /// Rows of the larger side that stay without a partner.
    pub(crate) fn unmatched(&self) -> usize {
        self.rows[1] - self.rows[0]
    }

    /// Whether features have one more coordinate, since it matters which rows of the larger side are taken.
    pub(crate) fn is_lifted(&self) -> bool {
        self.unmatched() > 0 && matches!(self.cost, CostKind::SquaredEuclidean | CostKind::Euclidean)
    }

    /// Coordinates of a feature.
    pub(crate) fn feature_width(&self) -> usize {
        self.dimension + usize::from(self.is_lifted())
    }

    /// The solver's settings for a block.
    pub(crate) fn params(&self, seed: u64) -> HirefParams {
        HirefParams { quality: self.quality, seed, exact_limit: Some(0), ..HirefParams::default() }
    }

    /// Bytes that the folder of temporary files will hold at most.
    pub fn disk_bytes(&self) -> u64 {
        let [n, m] = self.rows.map(|rows| rows as u64);
        let width = (self.element.size() * self.dimension) as u64;
        let points = (n + m) * (width + 4) + m * 12 + n * 4;
        let candidates = (n + m) * 6 * self.candidates as u64;
        // The files of one step stay until the next is complete; samples and headers are small.
        let results = n * 24;
        (2 * points + candidates + results) * 21 / 20
    }

    /// Bytes that one task reads and writes at most, about: what a machine needs for it that sees none of the folders.
    pub fn task_bytes(&self) -> u64 {
        let [n, m] = self.rows.map(|rows| rows as u64);
        let (width, wide) = ((self.element.size() * self.dimension) as u64, 4 * self.dimension as u64);
        let candidates = 6 * self.candidates as u64;
        let piece = self.piece_rows as u64 * (width.max(wide) + candidates + width + 4);
        let blocks = self.solve_blocks.min(self.sweep_blocks) as f64;
        // Both sides with ids, prices and labels, read and written; and samples of them.
        let block = (m as f64 / blocks * SPREAD) as u64 * 2 * (2 * width + 24) + SAMPLED_PER_BLOCK as u64 * 4 * width;
        let balance = m * candidates;
        let check = 4 * n + self.result_bytes();
        let priced = (self.gap_rows + self.price_rows) as u64 * 2 * (2 * width + wide + 24);
        let sampled = self.sample_rows.iter().sum::<usize>() as u64 * 2 * wide;
        [piece, block, balance, check, priced, sampled].into_iter().max().unwrap_or(0) * 11 / 10
    }

    /// About how long the run takes if each thread has a core of its own and all sweeps are made.
    ///
    /// The rates, in nanoseconds, are those of one core with AVX-512, by processor seconds of each step of the runs in
    /// benchmarks/2026-11-29-out-of-core.md, "The estimate of time": 64 and 512 coordinates, `fast` and `balanced`.
    pub fn seconds(&self, threads: usize) -> f64 {
        let [n, m] = self.rows.map(|rows| rows as f64);
        let d = self.dimension as f64;
        // An entry of a block's costs in a sweep; an inner product with all that is made of it.
        let (entry, product) = (nanoseconds_of_entry(self.dimension), (d + 40.0) / 18.0);
        let is_divided = self.solve_blocks > 1;
        let sample =
            if is_divided { self.sample_rows[1] as f64 * entry * 4000.0 * self.first_sweeps as f64 } else { 0.0 };
        // The ascent looks at some rows of each side, again and again.
        let ascent = n.min(ASCENT_ROWS as f64) + m.min(ASCENT_ROWS as f64);
        let balance = if is_divided { 10_500.0 * ascent } else { 0.0 };
        // Scans, scores and routes.
        let passes = (n + m) * (self.solve_blocks as f64 * product + 35.0 * d);
        // Levels and leaves take as long as eight sweeps.
        let solve = n * entry * 256.0 * (self.first_sweeps as f64 + 8.0);
        // The rest is reading, cutting and writing.
        let block = self.rows[1].div_ceil(self.sweep_blocks);
        let rounds = self.rounds as f64 * nanoseconds_of_round(block, self.dimension);
        let sweeps = nanoseconds_of_sweeps(self.dimension, self.inner_sweeps * self.polish_block);
        let sweep = n * (sweeps + rounds + 95.0 * d);
        let looked_at = if self.gap_rows == 0 { 0.0 } else { (self.gap_rows + self.price_rows) as f64 };
        let gap = m * looked_at * product;
        let all = sample + balance + passes + solve + self.max_sweeps as f64 * sweep + gap;
        all * 1e-9 / threads.max(1) as f64
    }

    /// Bytes of the results.
    pub fn result_bytes(&self) -> u64 {
        self.rows[0] as u64 * 14 + if self.turned { self.rows[1] as u64 } else { self.rows[0] as u64 } * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rows: [usize; 2], dimension: usize, memory: u64, threads: usize) -> Result<Plan, Error> {
        plan_of(Quality::Balanced, rows, dimension, memory, threads)
    }

    fn plan_of(
        quality: Quality,
        rows: [usize; 2],
        dimension: usize,
        memory: u64,
        threads: usize,
    ) -> Result<Plan, Error> {
        let input = Input { path: PathBuf::from("a"), key: None };
        let settings = Settings {
            x: input.clone(),
            y: input.clone(),
            output: PathBuf::from("out"),
            cost: CostKind::Cosine,
            quality,
            seed: 0,
            center: false,
            normalize: false,
            memory,
            threads,
            block_rows: None,
            sweeps: None,
            gap_rows: None,
        };
        Plan::of_sizes(&settings, [input.clone(), input], false, rows, dimension, Element::F16)
    }

    /// The sizes that docs/out-of-core.md reckons with.
    #[test]
    fn a_billion_rows() {
        let plan = plan([1_000_000_000; 2], 768, 16 << 30, 8).unwrap();
        assert!((420..440).contains(&plan.solve_blocks) && (230..250).contains(&plan.sweep_blocks), "{plan:?}");
        assert_eq!((plan.pieces(0), plan.pieces(1), plan.candidates), (3815, 3815, 8));
        assert!((6.2e12..7.3e12).contains(&(plan.disk_bytes() as f64)), "{}", plan.disk_bytes());
        let (side, last) = plan.piece(plan.all_pieces() - 1);
        assert_eq!((side, last.end), (1, 1_000_000_000));
    }

    #[test]
    fn sweeps_end_with_a_round_where_it_is_worth_it() {
        let (memory, rows) = (150 << 20, [1 << 20; 2]);
        let rounds = |quality, rows, dimension, memory| plan_of(quality, rows, dimension, memory, 2).unwrap().rounds;
        assert_eq!(rounds(Quality::Balanced, rows, 64, memory), 1);
        assert_eq!(rounds(Quality::Best, rows, 64, memory), 1);
        assert_eq!(rounds(Quality::Fast, rows, 64, memory), 0);
        assert_eq!(rounds(Quality::Balanced, rows, 4, memory), 0, "few dimensions");
        assert_eq!(rounds(Quality::Balanced, [1 << 20, (1 << 20) + 1], 64, memory), 0, "unequal sizes");
        assert_eq!(rounds(Quality::Balanced, [1_000_000_000; 2], 768, 16 << 30), 0, "too many blocks");
        let pairs = |memory| rows[0].div_ceil(plan(rows, 64, memory, 2).unwrap().sweep_blocks);
        assert!((25_000..30_000).contains(&pairs(memory)), "{}", pairs(memory));
        assert!((90_000..120_000).contains(&pairs(8 << 30)), "no larger than a round is worth");
    }

    /// Processor seconds of whole runs, from the table that the rates come from and from other runs of the same page.
    #[test]
    fn the_estimate_of_time_is_near_what_was_measured() {
        let gib = |gib: f64| (gib * f64::from(1 << 30)) as u64;
        for (quality, rows, dimension, memory, seconds) in [
            (Quality::Fast, [1 << 18; 2], 64, gib(0.1), 37.0),
            (Quality::Balanced, [1 << 18; 2], 64, gib(0.1), 185.0),
            (Quality::Fast, [1 << 16; 2], 512, gib(0.12), 38.0),
            (Quality::Fast, [1 << 24; 2], 64, gib(1.5), 1861.0),
        ] {
            let estimate = plan_of(quality, rows, dimension, memory, 1).unwrap().seconds(1);
            assert!((seconds / 1.5..seconds * 1.5).contains(&estimate), "{rows:?}: {estimate}, measured {seconds}");
        }
    }

    #[test]
    fn too_little_memory_is_refused_with_what_is_needed() {
        for (rows, memory) in [(1 << 20, 50 << 20), (4_000_000_000, 512 << 20)] {
            match plan([rows; 2], 768, memory, 2).unwrap_err() {
                Error::TooLittleMemory { needed, .. } => assert!(plan([rows; 2], 768, needed + (4 << 20), 2).is_ok()),
                other => panic!("{other}"),
            }
        }
        assert_eq!(plan([1000, 2000], 768, 1 << 30, 2).unwrap().max_sweeps, 0, "one block holds all");
    }
}
