//! Small pure numerics.

mod capacity;
mod exp;
mod interval;
mod principal;
mod product;

pub use capacity::assign_to_capacities;
pub use exp::exp_nonpositive;
pub use interval::mean_between;
pub(crate) use principal::principal_directions;
pub use product::inner_products;
