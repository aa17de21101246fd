//! Exact assignment over candidate edges, and of whole supports by rounds of pricing and such solves.

mod edges;
mod rounds;
mod shortest_path;

pub(crate) use rounds::{DualBound, PricedRounds, c_transform_x, c_transform_y, relative_gap};
