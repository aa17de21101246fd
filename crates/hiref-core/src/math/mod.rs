//! Small pure numerics.

mod capacity;
mod exp;

pub(crate) use capacity::assign_to_capacities;
pub(crate) use exp::exp_nonpositive;
