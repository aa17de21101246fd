//! Exact assignment over candidate edges.

mod edges;
mod shortest_path;

pub(crate) use edges::CandidateEdges;
pub(crate) use shortest_path::{rounding, solve_sparse};
