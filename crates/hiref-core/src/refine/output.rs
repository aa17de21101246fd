//! What a solve returns.

use super::warm_start::{Prices, WarmStart};
use crate::permutation::Permutation;
use crate::report::{LevelReport, PhaseSeconds, RoundReport, SweepReport, Termination};

/// A proof of how far a coupling is from the optimum at most: prices of all points under which no pair is cheaper than the sum of its
/// two, so that no coupling is cheaper than their total.
#[derive(Debug, Clone)]
#[non_exhaustive]
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

/// The coupling and how it came about.
#[derive(Debug, Clone)]
#[non_exhaustive]
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
