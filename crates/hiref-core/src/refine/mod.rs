//! Hierarchical refinement: split both sides into co-clusters level by level, pair the leaves exactly, sweep, end exactly.

mod archive;
mod blocks;
mod certify;
mod checkpoint;
mod exact;
mod multiscale;
mod output;
mod pairing;
mod params;
mod partition;
mod session;
mod solve;
mod split;
mod stage;
mod sweeps;
mod warm_start;

pub(crate) use blocks::{BlockSolver, OnDevice, SolvedBlock, SolvedPair, Workspace, mean};
pub use checkpoint::Checkpoint;
pub use output::{Certificate, HirefOutput};
pub(crate) use pairing::Pairing;
pub use params::{HirefParams, Quality};
pub(crate) use session::Session;
pub use split::rank_schedule;
pub(crate) use stage::{Record, Stage};
pub use warm_start::WarmStart;
