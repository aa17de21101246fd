//! Sweeps: regroup the pairs into blocks that cut elsewhere, and re-pair each block exactly.

mod grouping;
mod sweep;

pub(crate) use grouping::{Grouping, group_pairs};
pub(crate) use sweep::{little_left, sweep};
