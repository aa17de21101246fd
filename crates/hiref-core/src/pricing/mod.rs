//! Reduced costs `c_ij - g_j` of whole supports under prices: the least ones of each x point, without the n x m matrix, and the exact solve
//! by rounds that rests on them.

mod align;
mod bytes;
mod candidates;
mod clusters;
mod damping;
mod pricer;
mod probe;
mod rounds;
mod search;
mod tiles;
mod tree;
mod unlisted;

pub(crate) use align::{align, shifts};
pub(crate) use candidates::{Least, Pricing, lowered};
pub(crate) use pricer::{DevicePricer, Pricer, Told, nanoseconds_of_row};
pub(crate) use probe::Clustered;
pub(crate) use rounds::{DualBound, PricedRounds, Probed, as_share, relative_gap};
