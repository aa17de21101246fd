//! What a user can set.

use super::Sinkhorn;
use crate::iterations::{check_limits, rule};
use hiref_core::Error;
use serde::{Deserialize, Serialize};

/// Whether the cost matrix is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CostStorage {
    /// Kept where it has at most [`CostStorage::AUTOMATIC_LIMIT`] entries.
    #[default]
    Automatic,
    /// Kept, 8 n m bytes.
    Dense,
    /// Computed again in each pass, tile by tile: O((n + m) d) memory. The result has the same bits.
    MatrixFree,
}

impl CostStorage {
    /// Entries (of 8 bytes) up to which [`CostStorage::Automatic`] keeps the matrix: half a gibibyte.
    pub const AUTOMATIC_LIMIT: usize = 1 << 26;

    /// Whether an `(n, m)` cost matrix is kept.
    pub fn keeps(self, n: usize, m: usize) -> bool {
        match self {
            Self::Automatic => n.checked_mul(m).is_some_and(|entries| entries <= Self::AUTOMATIC_LIMIT),
            Self::Dense => true,
            Self::MatrixFree => false,
        }
    }
}

/// Parameters of [`Sinkhorn`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkhornParams {
    /// Regularisation ε, in units of the cost; when absent, a twentieth of `Σ a_i b_j |c_ij|`.
    pub epsilon: Option<f64>,
    /// The first iterations use this multiple of ε, at least 1.
    pub epsilon_start: f64,
    /// What the multiple is multiplied with after each iteration, until it is 1; in (0, 1).
    pub epsilon_decay: f64,
    /// Most iterations; one updates both potentials.
    pub max_iterations: usize,
    /// Stop once the coupling's column sums are off by at most this much in total (its row sums are exact).
    pub tolerance: f64,
    /// Stop after this many seconds.
    pub time_limit: Option<f64>,
    /// Whether the cost matrix is kept in memory.
    pub storage: CostStorage,
}

impl Default for SinkhornParams {
    fn default() -> Self {
        Self {
            epsilon: None,
            epsilon_start: 16.0,
            epsilon_decay: 0.7,
            max_iterations: 2000,
            tolerance: 1e-4,
            time_limit: None,
            storage: CostStorage::default(),
        }
    }
}

impl SinkhornParams {
    /// Checks every rule once and returns the solver.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first field outside its range.
    pub fn check(self) -> Result<Sinkhorn, Error> {
        if let Some(epsilon) = self.epsilon {
            rule(epsilon.is_finite() && epsilon > 0.0, "epsilon", &epsilon, "a positive finite number")?;
        }
        let start = self.epsilon_start;
        rule(start.is_finite() && start >= 1.0, "epsilon_start", &start, "a finite number of at least 1")?;
        let decay = self.epsilon_decay;
        rule(decay > 0.0 && decay < 1.0, "epsilon_decay", &decay, "a number above 0 and below 1")?;
        check_limits(self.max_iterations, self.tolerance, self.time_limit)?;
        Ok(Sinkhorn::new(self))
    }
}
