//! What a solve returns.

use crate::solver::Outcome;
use hiref_core::{Error, Observer, Permutation, Termination};

/// The pairing and how it came about.
#[derive(Debug, Clone)]
pub struct MinibatchOutput {
    /// The pairing: one to one over all batches together.
    pub permutation: Permutation,
    /// Mean cost over the pairs, recomputed in f64 from the points; also the cost of the coupling, which is the pairing.
    pub mean_cost: f64,
    /// Batches.
    pub num_batches: usize,
    /// Wall time.
    pub seconds: f64,
    /// Converged when every batch was solved.
    pub termination: Termination,
}

impl Outcome for MinibatchOutput {
    fn coupling_cost(&self) -> f64 {
        self.mean_cost
    }

    fn iterations(&self) -> usize {
        self.num_batches
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn termination(&self) -> Termination {
        self.termination
    }

    fn pairing(&self, seed: u64, observer: &dyn Observer) -> Result<Permutation, Error> {
        let _ = (seed, observer);
        Ok(self.permutation.clone())
    }
}
