//! Optimal transport solvers that `hiref_core` is compared with: entropic transport at once and in steps, low-rank transport, mini-batches.
//!
//! All take a [`hiref_core::Problem`], marginals included, and are used through one trait, [`Solver`].
//!
//! ```
//! use hiref_baselines::sinkhorn::SinkhornParams;
//! use hiref_baselines::{Outcome, Solver};
//! use hiref_core::{CostKind, Marginals, Problem};
//! let problem = Problem::new(&[[0.0_f32], [4.0]], &[[0.0_f32], [1.0]], CostKind::Euclidean)?
//!     .with_marginals(Marginals::new(vec![3.0, 1.0], vec![1.0, 1.0])?)?;
//! let solved = SinkhornParams { epsilon: Some(0.01), ..SinkhornParams::default() }.check()?.solve(&problem, &())?;
//! // A quarter of the mass goes from 0 to 1, another from 4 to 1.
//! assert!((solved.coupling_cost() - 1.0).abs() < 1e-3);
//! # Ok::<(), hiref_core::Error>(())
//! ```

mod coupling;
mod exp;
mod iterations;
mod log_sum_exp;
pub mod low_rank;
pub mod minibatch;
pub mod progot;
pub mod sinkhorn;
mod solver;
mod tiled_cost;

pub use coupling::{EntropicCoupling, LowRankCoupling};
pub use solver::{Outcome, Solver};
