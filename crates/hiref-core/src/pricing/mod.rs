//! Reduced costs `c_ij - g_j` of whole supports under prices: the least ones of each x point, without the n x m matrix, and the exact solve
//! by rounds that rests on them.

mod align;
mod rounds;
mod search;
mod tiles;
mod tree;

pub(crate) use align::{align, shifts};
pub(crate) use rounds::{DualBound, PricedRounds, c_transform_x, c_transform_y, relative_gap};
#[cfg(test)]
pub(crate) use search::price;
pub(crate) use search::{Pricing, lowered};
