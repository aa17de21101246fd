//! Hierarchical refinement: split both sides into co-clusters level by level, pair the leaves exactly, polish.

mod arrays;
mod block_solver;
mod certify;
mod checkpoint;
mod co_cluster;
mod coarse_to_fine;
mod exact;
mod level;
mod output;
mod params;
mod partition;
mod polish;
mod solve;
mod warm_start;
mod work;

pub use checkpoint::Checkpoint;
pub use output::{Certificate, HirefOutput, LevelReport, PhaseSeconds, RoundReport, SweepReport, Termination};
pub use params::{HirefParams, Quality};
#[cfg(test)]
pub(crate) use solve::Emulated;
pub use solve::Hiref;
pub use warm_start::WarmStart;
