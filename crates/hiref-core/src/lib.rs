//! Global optimal transport as a bijection, at million scale, by hierarchical refinement.

pub mod assignment;
pub mod control;
pub mod cost;
mod device;
pub mod error;
mod geometry;
mod hiref;
pub mod marginals;
pub mod math;
pub mod mean_cost;
mod ops;
mod pair;
pub mod permutation;
pub mod points;
mod pricing;
pub mod problem;
pub mod refine;
pub mod report;
pub mod rng;

pub use control::StopFlag;
pub use cost::CostKind;
pub use error::{Error, ErrorKind, Side};
pub use hiref::Hiref;
pub use marginals::Marginals;
pub use mean_cost::mean_cost;
pub use pair::{Pair, pair};
pub use permutation::{Permutation, UNMATCHED};
pub use points::Points;
pub use problem::Problem;
pub use refine::{Certificate, Checkpoint, HirefOutput, HirefParams, Quality, WarmStart};
pub use report::{
    Event, IterationReport, LevelReport, Observer, Phase, PhaseSeconds, RoundReport, SweepReport, Termination,
};
