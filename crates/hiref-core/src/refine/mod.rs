//! Hierarchical refinement: split both sides into co-clusters level by level, pair the leaves exactly, polish.

mod block_solver;
mod co_cluster;
mod level;
mod output;
mod params;
mod partition;
mod polish;
mod solve;

pub use output::{HirefOutput, LevelReport, PhaseSeconds, SweepReport, Termination};
pub use params::{HirefParams, Quality};
pub use solve::Hiref;
