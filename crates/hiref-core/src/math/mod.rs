//! Small pure numerics.

mod capacity;
mod exp;
mod principal;
mod product;

pub use capacity::assign_to_capacities;
pub use exp::exp_nonpositive;
pub(crate) use principal::principal_directions;
pub(crate) use product::inner_products;
