//! What a solve returns.

use super::warm_start::{Prices, WarmStart};
use crate::permutation::Permutation;
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

/// One round of the exact solve of everything.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoundReport {
    /// Round number, from 1.
    pub round: usize,
    /// Mean cost at its start.
    pub mean_cost: f64,
    /// Best lower bound on the optimal mean cost so far.
    pub dual_bound: f64,
    /// Candidate partners kept for each point, on average.
    pub candidates: f64,
    /// Wall time.
    pub seconds: f64,
}

/// A proof of how far a coupling is from the optimum at most: prices of all points under which no pair is cheaper than the sum of its
/// two, so that no coupling is cheaper than their total.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// No coupling has a mean cost below this: `(Σ f + Σ g) / min(n, m)`, computed in f64 and rounded down.
    pub dual_bound: f64,
    /// `(cost - bound) / |cost|`.
    pub relative_gap: f64,
    /// `(n,)`: potentials of the x points, in units of the cost; `f_i + g_j <= c_ij` for all pairs.
    pub f: Vec<f64>,
    /// `(m,)`: potentials of the y points. Those of the larger side are never above 0.
    pub g: Vec<f64>,
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
    /// Rounds of the exact solve of everything.
    pub exact: f64,
    /// The certificate.
    pub certify: f64,
}

impl PhaseSeconds {
    /// All phases together.
    pub fn total(&self) -> f64 {
        self.split + self.leaves + self.polish + self.exact + self.certify
    }
}

/// The coupling and how it came about.
#[derive(Debug, Clone)]
pub struct HirefOutput {
    /// The pairing.
    pub permutation: Permutation,
    /// Mean cost over the pairs, recomputed in f64 from the points.
    pub mean_cost: f64,
    /// Whether the pairing is known to be optimal, up to rounding.
    pub exact: bool,
    /// The levels of the hierarchy; empty if the sweeps went on from a warm start.
    pub levels: Vec<LevelReport>,
    /// The polish sweeps.
    pub sweeps: Vec<SweepReport>,
    /// The rounds of the exact solve, where the problem was small enough for one.
    pub rounds: Vec<RoundReport>,
    /// A bound on the distance from the optimum, where one was asked for.
    pub certificate: Option<Certificate>,
    /// Time spent.
    pub seconds: PhaseSeconds,
    /// Why it ended.
    pub termination: Termination,
    pub(crate) prices: Prices,
}

impl HirefOutput {
    /// What a later solve of the same points, once they have moved, can start from.
    pub fn warm_start(&self) -> WarmStart {
        WarmStart { permutation: self.permutation.clone(), prices: Some(self.prices.clone()) }
    }

    /// Prices g of the points of the larger side (y where both are of one size), `(max(n, m),)`, and the block that each
    /// was last part of. Within a block `c_ij - g_j` is least at the partner of i, as far as the search went; prices of
    /// different blocks may differ by a constant.
    pub fn prices(&self) -> (&[f64], &[u32]) {
        (&self.prices.g, &self.prices.block)
    }
}
