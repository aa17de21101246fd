//! Couplings that spread mass: by potentials, and of low rank; and their rounding to pairings.

mod entropic;
mod low_rank;
mod rounding;

pub use entropic::EntropicCoupling;
pub use low_rank::LowRankCoupling;

use hiref_core::Permutation;

/// The pairing of a rule that gives every y to one x at most.
fn one_to_one(y_of_x: Vec<u32>, num_y: usize) -> Permutation {
    match Permutation::new(y_of_x, num_y) {
        Ok(permutation) => permutation,
        Err(fault) => unreachable!("every point was taken once: {fault}"),
    }
}
