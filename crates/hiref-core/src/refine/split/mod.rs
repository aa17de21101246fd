//! Splitting both sides into co-clusters, level by level.

mod co_cluster;
mod level;

pub(crate) use level::split_to_leaves;
