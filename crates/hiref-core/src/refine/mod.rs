//! Hierarchical refinement: split both sides into co-clusters level by level, pair the leaves exactly, sweep, end exactly.

mod archive;
mod blocks;
mod certify;
mod checkpoint;
mod direct;
mod exact;
mod gap;
mod multiscale;
mod output;
mod pairing;
mod params;
mod partition;
mod ranks;
mod repeated;
mod samples;
mod session;
mod solve;
mod split;
mod stage;
mod sweeps;
mod warm_start;

pub(crate) use blocks::{BlockSolver, OnDevice, SolvedBlock, SolvedPair, Workspace, mean};
pub use checkpoint::Checkpoint;
pub(crate) use direct::{pair_directly, suits as suits_direct_search};
pub use output::{Certificate, GapEstimate, HirefOutput};
pub(crate) use pairing::Pairing;
pub use params::{HirefParams, Quality};
pub use ranks::rank_schedule;
pub(crate) use repeated::Repeated;
pub(crate) use session::Session;
pub(crate) use stage::{Record, Stage};
pub use warm_start::WarmStart;
