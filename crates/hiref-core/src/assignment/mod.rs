//! Exact assignment: of dense blocks, and over candidate edges.

mod dense;
pub(crate) mod sparse;

pub use dense::{Assignment, AssignmentSolver, BlockAssignment, CostMatrix, Scalar};
