//! Low-rank optimal transport: couplings that pass through a few co-clusters, in time linear in the number of points.

mod cost;
mod frlc;
mod lot;
mod output;
mod params;
mod projection;
mod start;

pub use frlc::Frlc;
pub use lot::Lot;
pub use output::{LatentCoupling, LowRankOutput};
pub use params::{FrlcParams, LotParams};
