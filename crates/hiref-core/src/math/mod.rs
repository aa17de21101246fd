//! Small pure numerics.

mod capacity;
mod exp;
mod log_sum_exp;
mod principal;
mod product;

pub(crate) use capacity::assign_to_capacities;
pub(crate) use exp::exp_all;
pub use exp::exp_nonpositive;
pub(crate) use log_sum_exp::{ColumnTile, LogSum, RowTile};
pub(crate) use principal::principal_directions;
pub(crate) use product::inner_products;
