//! Global optimal transport as a bijection, at million scale, by hierarchical refinement.

mod accelerator;
pub mod assignment;
pub mod control;
pub mod cost;
pub mod error;
mod geometry;
pub mod marginals;
pub mod math;
pub mod mean_cost;
mod ops;
mod pair;
pub mod permutation;
pub mod points;
mod pricing;
pub mod problem;
pub mod progress;
pub mod refine;
pub mod rng;
pub mod schedule;
pub mod termination;

pub use control::StopFlag;
pub use cost::CostKind;
pub use error::{Error, ErrorKind, Side};
pub use marginals::Marginals;
pub use mean_cost::mean_cost;
pub use pair::{Pair, pair};
pub use permutation::{Permutation, UNMATCHED};
pub use points::Points;
pub use problem::Problem;
pub use progress::{Event, IterationReport, Observer, Phase};
pub use refine::{
    Certificate, Checkpoint, Hiref, HirefOutput, HirefParams, LevelReport, PhaseSeconds, Quality, RoundReport,
    SweepReport, WarmStart,
};
pub use termination::Termination;
