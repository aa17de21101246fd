//! Reduced costs `c_ij - g_j` of whole supports under prices: the least ones of each x point, without the n x m matrix.

mod parts;
mod search;
mod tiles;
mod tree;

pub(crate) use parts::{align, shifts};
pub(crate) use search::{Pricing, lowered, price};
