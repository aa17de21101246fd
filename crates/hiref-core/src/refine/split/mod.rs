//! Splitting both sides into co-clusters, level by level.

mod co_cluster;
mod level;
mod ranks;

pub(crate) use level::split_to_leaves;
pub use ranks::rank_schedule;
