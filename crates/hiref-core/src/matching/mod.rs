//! Matchings beyond one to one: given costs, singles, several partners, categories, pairs that may not be.
//!
//! All are one problem: rows that take one column each, or none at a price, and columns that take several. `params` says which; `costs` are
//! given or those of points; `rounds` solve it exactly, by pricing and sparse solves; `given` is the way in for costs, `points` for points,
//! `groups` for points in categories.

mod costs;
mod given;
mod groups;
mod hierarchy;
mod output;
mod params;
mod points;
mod rounds;

pub use costs::{Candidates, CostRows};
pub use given::{pair_candidates, pair_costs};
pub use output::Matching;
pub use params::{Capacity, MatchingParams};
