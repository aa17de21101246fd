//! Couplings as users want them: one partner for each point, and what it costs; and the soft couplings of other solvers.

mod entropic;
mod low_rank;
mod permutation;
mod primal;
mod rounding;

pub use entropic::EntropicCoupling;
pub use low_rank::LowRankCoupling;
pub use permutation::{Permutation, UNMATCHED};
pub use primal::mean_cost;
