//! Progressive entropic optimal transport.

mod output;
mod params;
mod solve;

pub use output::{ProgotOutput, ProgressiveMap, StepReport};
pub use params::{Pace, ProgotParams};
pub use solve::Progot;
