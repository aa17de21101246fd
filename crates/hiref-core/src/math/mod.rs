//! Small pure numerics.

mod capacity;
mod exp;
mod log_sum_exp;

pub(crate) use capacity::assign_to_capacities;
pub(crate) use exp::{exp_nonpositive, exp_nonpositive_f64};
pub(crate) use log_sum_exp::{LogSum, column_log_sums, row_weights};
