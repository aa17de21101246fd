//! Exact assignment over candidate edges.

mod assignment;
mod auction;
mod edges;
mod frontier;
mod rows;
mod shortest_path;
mod transport;

pub(crate) use assignment::rounding;
pub(crate) use edges::{CandidateEdges, Edge};
pub(crate) use frontier::FREE;
pub(crate) use shortest_path::solve_sparse;
pub(crate) use transport::{Unassigned, assign};
