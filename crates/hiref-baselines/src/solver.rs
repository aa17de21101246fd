//! What all solvers have in common.

use hiref_core::{Error, Hiref, HirefOutput, Observer, Permutation, Problem, Termination};

/// A solver with checked parameters.
pub trait Solver {
    /// What it returns.
    type Output: Outcome;

    /// Solves a problem, marginals included; `observer` is told of the work and may say stop.
    ///
    /// # Errors
    /// A problem that the solver does not take; a failed tensor operation; [`Error::Interrupted`] where the observer says stop, but for
    /// [`Hiref`] once it has a first pairing.
    fn solve(&self, problem: &Problem<'_>, observer: &dyn Observer) -> Result<Self::Output, Error>;
}

/// What every solver's output can tell.
pub trait Outcome {
    /// What the coupling costs: `Σ P_ij c(x_i, y_j)`.
    fn coupling_cost(&self) -> f64;

    /// `|P 1 - a|₁ + |Pᵀ 1 - b|₁`: how far the coupling is from its marginals.
    fn marginal_error(&self) -> f64 {
        0.0
    }

    /// Iterations done, or batches.
    fn iterations(&self) -> usize;

    /// Wall time, in seconds.
    fn seconds(&self) -> f64;

    /// Why it ended.
    fn termination(&self) -> Termination;

    /// A one-to-one pairing: the coupling itself where it is one, else rounded, with ties in an order drawn from `seed`.
    ///
    /// # Errors
    /// A failed tensor operation; [`Error::Interrupted`] where the observer says stop.
    fn pairing(&self, seed: u64, observer: &dyn Observer) -> Result<Permutation, Error>;
}

impl Solver for Hiref {
    type Output = HirefOutput;

    fn solve(&self, problem: &Problem<'_>, observer: &dyn Observer) -> Result<HirefOutput, Error> {
        Self::solve(self, problem, None, observer)
    }
}

impl Outcome for HirefOutput {
    fn coupling_cost(&self) -> f64 {
        self.mean_cost
    }

    fn iterations(&self) -> usize {
        self.sweeps.len()
    }

    fn seconds(&self) -> f64 {
        self.seconds.total()
    }

    fn termination(&self) -> Termination {
        self.termination
    }

    fn pairing(&self, _seed: u64, _observer: &dyn Observer) -> Result<Permutation, Error> {
        Ok(self.permutation.clone())
    }
}
