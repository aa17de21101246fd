//! Small pure numerics.

mod capacity;
mod exp;
mod log_sum_exp;

pub(crate) use capacity::assign_to_capacities;
pub(crate) use exp::{exp_all, exp_nonpositive};
pub(crate) use log_sum_exp::{ColumnTile, LogSum, RowTile};
