//! What a solve returns.

use super::warm_start::{Prices, WarmStart};
use crate::permutation::Permutation;
use crate::pricing::relative_gap;
use crate::report::{LevelReport, PhaseSeconds, RoundReport, SweepReport, Termination};
use serde::{Deserialize, Serialize};

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

/// An estimate of how far a coupling is from the optimum at most, from a random sample of points. It is no proof: the interval misses the
/// duality gap with a chance of `1 - confidence`.
///
/// All gaps are shares of the mean cost. What is estimated is the duality gap under the solve's prices, which the distance from
/// the optimum never exceeds: a coupling may be optimal where the gap is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GapEstimate {
    /// The duality gap, as the sample has it.
    pub value: f64,
    /// The lower end of its confidence interval.
    pub low: f64,
    /// The upper end: the coupling is no further from the optimum, with that confidence.
    pub high: f64,
    /// The chance that the interval holds the gap; 1 where every point was looked at.
    pub confidence: f64,
    /// Points looked at.
    pub rows: usize,
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
    /// The rounds over clusters and over all pairs, where the problem was small enough for them.
    pub rounds: Vec<RoundReport>,
    /// No coupling has a mean cost below this, as the certificate or the rounds of the exact solve have proved, where there were any.
    pub dual_bound: Option<f64>,
    /// The proof of a bound, where one was asked for.
    pub certificate: Option<Certificate>,
    /// An estimate of the distance from the optimum, where one was asked for and what is proved is not close to it.
    pub gap_estimate: Option<GapEstimate>,
    /// Time spent.
    pub seconds: PhaseSeconds,
    /// Why it ended.
    pub termination: Termination,
    pub(crate) prices: Prices,
}

impl HirefOutput {
    /// How far the cost is from the optimum at most, as a share of it, where that is proved: `(cost - bound) / |cost|`, at least 0.
    pub fn relative_gap(&self) -> Option<f64> {
        self.dual_bound.map(|bound| relative_gap(self.mean_cost, bound))
    }

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
