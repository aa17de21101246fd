//! What a solve returns.

use crate::coupling::Permutation;
pub use crate::termination::Termination;
use serde::{Deserialize, Serialize};

/// One level of the hierarchy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LevelReport {
    /// Level split, 0 = coarsest.
    pub level: usize,
    /// Children per block.
    pub rank: usize,
    /// Blocks after the split.
    pub blocks: usize,
    /// Largest block after the split.
    pub block_size: usize,
    /// Mean cost of the coupling that spreads each block uniformly over its partner; not for the Euclidean cost,
    /// whose blocks have no closed form.
    pub block_coupling_cost: Option<f64>,
    /// Wall time.
    pub seconds: f64,
}

/// One polish sweep.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SweepReport {
    /// Sweep number, from 1.
    pub sweep: usize,
    /// Pairs per block.
    pub block_size: usize,
    /// Mean cost after the sweep.
    pub mean_cost: f64,
    /// Wall time.
    pub seconds: f64,
}

/// Wall time of each phase, in seconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct PhaseSeconds {
    /// Hierarchical splits.
    pub split: f64,
    /// Exact leaves.
    pub leaves: f64,
    /// Polish sweeps.
    pub polish: f64,
}

/// The coupling and how it came about.
#[derive(Debug, Clone)]
pub struct HirefOutput {
    /// The pairing.
    pub permutation: Permutation,
    /// Mean cost over the pairs, recomputed in f64 from the points.
    pub mean_cost: f64,
    /// Whether the pairing is known to be optimal (one exact solve held everything).
    pub exact: bool,
    /// The levels of the hierarchy; empty after a warm start.
    pub levels: Vec<LevelReport>,
    /// The polish sweeps.
    pub sweeps: Vec<SweepReport>,
    /// Time spent.
    pub seconds: PhaseSeconds,
    /// Why it ended.
    pub termination: Termination,
}
