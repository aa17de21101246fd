//! Solvers for one block.

pub mod assignment;
pub(crate) mod sparse_assignment;
