//! Entropic optimal transport by Sinkhorn's algorithm in the log domain.

mod output;
mod params;
mod solve;

pub use output::SinkhornOutput;
pub use params::{CostStorage, SinkhornParams};
pub use solve::Sinkhorn;
pub(crate) use solve::{Schedule, iterate};
