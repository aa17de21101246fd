//! Global optimal transport as a bijection, at million scale, by hierarchical refinement.
//!
//! [`pair`] takes two point sets and returns who goes with whom at the least total cost, one to one: in memory that grows as n and time about as
//! n log n, with a proof of the distance from the optimum if asked for. Up to 16,384 points a side (65,536 at [`Quality::Best`]) the result is
//! as a rule the optimum itself.
//!
//! ```
//! use hiref_core::{CostKind, pair};
//! // Two sets of points in the plane; any slice, array or tensor will do, f32, f16 or bf16, and is not copied.
//! let x = [[0.0_f32, 0.0], [2.0, 0.0], [4.0, 0.0]];
//! let y = [[4.0_f32, 1.0], [0.0, 1.0], [2.0, 4.0]];
//! let solved = pair(&x, &y).cost(CostKind::Euclidean).certify(true).seed(7).solve()?;
//! assert_eq!(solved.permutation.y_of_x(), [1, 2, 0]);
//! assert_eq!(solved.mean_cost, 2.0);
//! assert!(solved.certificate.is_some_and(|proof| proof.dual_bound > 1.999_999));
//! # Ok::<(), hiref_core::Error>(())
//! ```
//!
//! What the builder does in one go is there in parts: a [`Problem`] is two supports, a cost and their marginals, checked; [`HirefParams`] become a
//! solver, [`Hiref`], which returns a [`HirefOutput`] and tells an [`Observer`] of what it does. [`WarmStart`] and [`Checkpoint`] carry a solve
//! over to the next. The crate neither prints nor reads the environment; same seed, same bits, whatever the number of threads.
//!
//! Solvers to compare with are in the crate `hiref-baselines`. More in `examples/`.

pub mod assignment;
pub mod control;
pub mod cost;
mod device;
pub mod error;
mod geometry;
mod hiref;
pub mod marginals;
pub mod matching;
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
mod restrictions;
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
pub use refine::{Certificate, Checkpoint, GapEstimate, HirefOutput, HirefParams, Quality, WarmStart};
pub use report::{
    AlignmentRound, Event, IterationReport, LevelReport, Observer, Phase, PhaseSeconds, RoundReport, SweepReport,
    Termination,
};
