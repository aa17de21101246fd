//! What a solve returns.

use crate::coupling::EntropicCoupling;
use crate::solver::Outcome;
use hiref_core::{Error, Observer, Permutation, Termination};

/// The coupling and how it came about; all figures are computed in f64 from the final potentials.
#[derive(Debug, Clone)]
pub struct SinkhornOutput {
    /// The coupling, as potentials.
    pub coupling: EntropicCoupling,
    /// `Σ P_ij c_ij`, what the coupling costs.
    pub primal_cost: f64,
    /// `Σ a_i f_i + Σ b_j g_j - ε (Σ P_ij - 1)`: a lower bound of the regularised optimum.
    pub dual_cost: f64,
    /// `Σ P_ij c_ij + ε KL(P | a bᵀ)`; equals the dual cost once converged.
    pub regularized_cost: f64,
    /// `|P 1 - a|₁ + |Pᵀ 1 - b|₁`.
    pub marginal_error: f64,
    /// Iterations done.
    pub iterations: usize,
    /// Wall time of the iterations.
    pub seconds: f64,
    /// Why it ended.
    pub termination: Termination,
}

impl Outcome for SinkhornOutput {
    fn coupling_cost(&self) -> f64 {
        self.primal_cost
    }

    fn marginal_error(&self) -> f64 {
        self.marginal_error
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn termination(&self) -> Termination {
        self.termination
    }

    fn pairing(&self, seed: u64, observer: &dyn Observer) -> Result<Permutation, Error> {
        self.coupling.round(seed, observer)
    }
}
