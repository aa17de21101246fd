//! Couplings as users want them: one partner for each point, and what it costs.

mod permutation;
mod primal;

pub use permutation::{Permutation, UNMATCHED};
pub use primal::mean_cost;
