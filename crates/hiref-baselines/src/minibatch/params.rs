//! What a user can set.

use super::Minibatch;
use crate::iterations::rule;
use crate::sinkhorn::SinkhornParams;
use hiref_core::Error;
use serde::{Deserialize, Serialize};

/// How a batch is paired.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchSolver {
    /// By an exact assignment.
    #[default]
    Exact,
    /// By rounding the coupling of Sinkhorn's algorithm.
    Sinkhorn(SinkhornParams),
}

/// Parameters of [`Minibatch`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinibatchParams {
    /// Most points of the larger side in one batch, at least 1.
    pub batch_size: usize,
    /// How a batch is paired.
    pub batch_solver: BatchSolver,
    /// Seed of the batches.
    pub seed: u64,
    /// Once this many seconds have passed, the remaining batches are paired in the order they were drawn.
    pub time_limit: Option<f64>,
}

impl Default for MinibatchParams {
    fn default() -> Self {
        Self { batch_size: 1024, batch_solver: BatchSolver::default(), seed: 0, time_limit: None }
    }
}

impl MinibatchParams {
    /// Checks every rule once and returns the solver.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first field outside its range, those of [`SinkhornParams`] included.
    pub fn check(self) -> Result<Minibatch, Error> {
        rule(self.batch_size >= 1, "batch_size", &self.batch_size, "at least 1")?;
        if let Some(limit) = self.time_limit {
            rule(limit > 0.0, "time_limit", &limit, "a positive number of seconds")?;
        }
        let sinkhorn = match &self.batch_solver {
            BatchSolver::Exact => None,
            BatchSolver::Sinkhorn(params) => Some(params.clone().check()?),
        };
        Ok(Minibatch::new(self, sinkhorn))
    }
}
