//! What a user can set.

use super::{Frlc, Lot};
use crate::iterations::{check_limits, rule};
use hiref_core::Error;
use serde::{Deserialize, Serialize};

/// Parameters of [`Lot`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LotParams {
    /// Number of co-clusters, at least 1; at most the points of the smaller side.
    pub rank: usize,
    /// Size of a mirror-descent step: the largest change of a logarithm of the factors, up to what the projection undoes.
    pub step: f64,
    /// No co-cluster's mass falls below this share of `1 / rank`; in (0, 1].
    pub least_mass: f64,
    /// Most iterations.
    pub max_iterations: usize,
    /// Stop once the cost has changed by at most this share of itself in each of ten iterations.
    pub tolerance: f64,
    /// Seed of the start.
    pub seed: u64,
    /// Stop after this many seconds.
    pub time_limit: Option<f64>,
}

impl Default for LotParams {
    fn default() -> Self {
        Self { rank: 40, step: 4.0, least_mass: 1e-3, max_iterations: 1000, tolerance: 1e-5, seed: 0, time_limit: None }
    }
}

impl LotParams {
    /// Checks every rule that does not depend on the problem and returns the solver.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first field outside its range.
    pub fn check(self) -> Result<Lot, Error> {
        rule(self.rank >= 1, "rank", &self.rank, "at least 1")?;
        rule(self.step.is_finite() && self.step > 0.0, "step", &self.step, "a positive finite number")?;
        let least = self.least_mass;
        rule(least > 0.0 && least <= 1.0, "least_mass", &least, "a number above 0 and at most 1")?;
        check_limits(self.max_iterations, self.tolerance, self.time_limit)?;
        Ok(Lot::new(self))
    }
}

/// Parameters of [`Frlc`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrlcParams {
    /// Number of co-clusters of each side, at least 1; at most the points of the smaller side.
    pub rank: usize,
    /// Size of a mirror-descent step: the largest change of a logarithm of the factors, up to what the projection undoes.
    pub step: f64,
    /// How hard the inner marginals are held to those of the iteration before, relative to the largest gradient entry.
    pub inner_penalty: f64,
    /// Most iterations.
    pub max_iterations: usize,
    /// Stop once the cost has changed by at most this share of itself in each of ten iterations.
    pub tolerance: f64,
    /// Seed of the start.
    pub seed: u64,
    /// Stop after this many seconds.
    pub time_limit: Option<f64>,
}

impl Default for FrlcParams {
    fn default() -> Self {
        Self {
            rank: 40,
            step: 4.0,
            inner_penalty: 1000.0,
            max_iterations: 1000,
            tolerance: 1e-5,
            seed: 0,
            time_limit: None,
        }
    }
}

impl FrlcParams {
    /// Checks every rule that does not depend on the problem and returns the solver.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first field outside its range.
    pub fn check(self) -> Result<Frlc, Error> {
        rule(self.rank >= 1, "rank", &self.rank, "at least 1")?;
        rule(self.step.is_finite() && self.step > 0.0, "step", &self.step, "a positive finite number")?;
        let penalty = self.inner_penalty;
        rule(penalty.is_finite() && penalty > 0.0, "inner_penalty", &penalty, "a positive finite number")?;
        check_limits(self.max_iterations, self.tolerance, self.time_limit)?;
        Ok(Frlc::new(self))
    }
}
