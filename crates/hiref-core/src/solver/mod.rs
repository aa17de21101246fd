//! Solvers: exact assignment, which every block of the hierarchy uses, and the solvers that its results are compared with.

pub mod assignment;
mod control;
pub mod low_rank;
pub mod minibatch;
pub mod progot;
pub mod sinkhorn;
pub(crate) mod sparse_assignment;
