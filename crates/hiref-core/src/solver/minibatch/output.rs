//! What a solve returns.

use crate::coupling::Permutation;
use crate::termination::Termination;

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
