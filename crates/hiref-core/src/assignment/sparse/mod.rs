//! Exact assignment over candidate edges.

mod edges;
mod frontier;
mod rows;
mod shortest_path;
mod transport;

pub(crate) use edges::CandidateEdges;
pub(crate) use frontier::FREE;
pub(crate) use shortest_path::{rounding, solve_sparse};
pub(crate) use transport::{Unassigned, assign};
