//! Mini-batch optimal transport without replacement.

mod output;
mod params;
mod solve;

pub use output::MinibatchOutput;
pub use params::{BatchSolver, MinibatchParams};
pub use solve::Minibatch;
