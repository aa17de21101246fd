//! Exact dense assignment with dual potentials.

mod block;
mod scan;
mod shortest_path;

pub use block::BlockAssignment;
pub use scan::Scalar;
pub use shortest_path::{Assignment, AssignmentSolver, CostMatrix};
