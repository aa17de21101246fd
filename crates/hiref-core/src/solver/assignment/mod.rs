//! Exact dense assignment with dual potentials.

mod scan;
mod shortest_path;

pub use scan::Scalar;
pub use shortest_path::{Assignment, AssignmentSolver, CostMatrix};
