//! The solvers that hierarchical refinement is compared with: their flags and settings.

use super::{CHECKPOINT_SECONDS, Certify, PairArgs, Quality, Solver};
use crate::Context;
use crate::error::Error;
use clap::Args;
use hiref_baselines::low_rank::{FrlcParams, LotParams};
use hiref_baselines::minibatch::MinibatchParams;
use hiref_baselines::progot::ProgotParams;
use hiref_baselines::sinkhorn::SinkhornParams;
use hiref_core::CostKind;
use serde::{Deserialize, Serialize};

/// Bytes of the candidate partners that rounding keeps for each point.
const ROUNDING_BYTES: u64 = 16 * 48;

/// Settings of the comparison solvers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Comparison solvers")]
pub(super) struct ComparisonArgs {
    /// Regularisation, in units of the cost [default: a twentieth of the mean cost; progot: a hundredth of the mean cost
    /// inside y, at the end]; sinkhorn and progot.
    #[arg(long, value_name = "EPSILON")]
    epsilon: Option<f64>,

    /// Number of co-clusters [default: 40, or the points of the smaller side]; lot and frlc.
    #[arg(long, value_name = "R")]
    rank: Option<usize>,

    /// Most points of a side in one batch [default: 1024]; minibatch.
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,

    /// Most iterations [default: sinkhorn 2000, progot 4000, lot and frlc 1000].
    #[arg(long, value_name = "N")]
    max_iterations: Option<usize>,

    /// When to stop: the error of the marginals [default: sinkhorn and progot 1e-4], or the relative change of the cost
    /// [default: lot and frlc 1e-5].
    #[arg(long, value_name = "TOLERANCE")]
    tolerance: Option<f64>,
}

/// The resolved settings of a comparison solver, as config.toml keeps them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Comparison {
    /// Entropic optimal transport.
    Sinkhorn(SinkhornParams),
    /// Entropic optimal transport in steps.
    Progot(ProgotParams),
    /// Low-rank optimal transport.
    Lot(LotParams),
    /// Low-rank optimal transport with a latent coupling.
    Frlc(FrlcParams),
    /// Random batches, paired exactly.
    Minibatch(MinibatchParams),
}

/// Resolves the flags for the chosen solver and n x with m y points; `None` for those that are not comparison solvers.
///
/// # Errors
/// [`Error::FlagOfOtherSolver`] for a flag that the chosen solver does not have; settings outside their ranges.
pub(super) fn resolve(args: &PairArgs, context: &Context, smaller_side: usize) -> Result<Option<Comparison>, Error> {
    let ComparisonArgs { epsilon, rank, batch_size, max_iterations, tolerance } = args.comparison.clone();
    let hierarchy: &[Solver] = &[Solver::Hiref, Solver::Exact];
    let iterative: &[Solver] = &[Solver::Sinkhorn, Solver::Progot, Solver::Lot, Solver::Frlc];
    let flags: [(&'static str, bool, &[Solver]); 11] = [
        ("--epsilon", epsilon.is_some(), &[Solver::Sinkhorn, Solver::Progot]),
        ("--rank", rank.is_some(), &[Solver::Lot, Solver::Frlc]),
        ("--batch-size", batch_size.is_some(), &[Solver::Minibatch]),
        ("--max-iterations", max_iterations.is_some(), iterative),
        ("--tolerance", tolerance.is_some(), iterative),
        ("--x-weights", args.matching.x_weights.is_some(), iterative),
        ("--y-weights", args.matching.y_weights.is_some(), iterative),
        ("--warm-start", args.warm_start.is_some(), hierarchy),
        ("--quality", args.quality != Quality::default(), hierarchy),
        ("--certify", args.certify.is_some_and(|how| how != Certify::No), hierarchy),
        ("--checkpoint-every", args.checkpoint_every.total_cmp(&CHECKPOINT_SECONDS).is_ne(), hierarchy),
    ];
    for (flag, given, owners) in flags {
        if given && !owners.contains(&args.solver) {
            let owners = owners.iter().map(|owner| owner.name()).collect();
            return Err(Error::FlagOfOtherSolver { flag, solver: args.solver.name(), owners });
        }
    }
    let (seed, time_limit) = (context.seed.unwrap_or(0), args.time_limit);
    /// The parameters with what every iterative solver takes from the flags.
    macro_rules! iterative {
        ($params:ident { $($field:ident),* }) => {{
            let defaults = $params::default();
            $params {
                $($field,)*
                max_iterations: max_iterations.unwrap_or(defaults.max_iterations),
                tolerance: tolerance.unwrap_or(defaults.tolerance),
                time_limit,
                ..defaults
            }
        }};
    }
    let comparison = match args.solver {
        Solver::Hiref | Solver::Exact => return Ok(None),
        Solver::Sinkhorn => Comparison::Sinkhorn(iterative!(SinkhornParams { epsilon })),
        Solver::Progot => Comparison::Progot(iterative!(ProgotParams { epsilon })),
        Solver::Lot | Solver::Frlc => {
            let rank = rank.unwrap_or_else(|| LotParams::default().rank.min(smaller_side));
            if args.solver == Solver::Lot {
                Comparison::Lot(iterative!(LotParams { rank, seed }))
            } else {
                Comparison::Frlc(iterative!(FrlcParams { rank, seed }))
            }
        }
        Solver::Minibatch => {
            let defaults = MinibatchParams::default();
            let batch_size = batch_size.unwrap_or(defaults.batch_size);
            Comparison::Minibatch(MinibatchParams { batch_size, seed, time_limit, ..defaults })
        }
    };
    comparison.check(args.cost, smaller_side)?;
    Ok(Some(comparison))
}

impl Comparison {
    /// Refuses settings outside their ranges, and problems that the solver does not take.
    fn check(&self, cost: CostKind, smaller_side: usize) -> Result<(), Error> {
        let check_rank = |rank: usize| {
            let fits = rank <= smaller_side;
            if fits { Ok(()) } else { Err(hiref_core::Error::RankTooLarge { rank, limit: smaller_side }) }
        };
        match self.clone() {
            Self::Sinkhorn(params) => params.check().map(drop)?,
            Self::Progot(params) => {
                params.check().map(drop)?;
                let expected = CostKind::SquaredEuclidean;
                if cost != expected {
                    return Err(hiref_core::Error::UnsupportedCost { solver: "progot", cost, expected }.into());
                }
            }
            Self::Lot(params) => {
                check_rank(params.rank)?;
                params.check().map(drop)?;
            }
            Self::Frlc(params) => {
                check_rank(params.rank)?;
                params.check().map(drop)?;
            }
            Self::Minibatch(params) => params.check().map(drop)?,
        }
        Ok(())
    }

    /// Bytes that the solver needs beside the points themselves, roughly.
    pub(super) fn memory_estimate(&self, n: usize, m: usize, d: usize, threads: usize) -> u64 {
        let (points, entries, d) = ((n + m) as u64, n as u64 * m as u64, d as u64);
        let entropic = |keeps: bool| {
            points * (16 * d + 64) + n.min(m) as u64 * ROUNDING_BYTES + if keeps { 8 * entries } else { 0 }
        };
        // The factors of the cost, and of the coupling as logarithms, values, kernels and gradients.
        let low_rank = |rank: usize, columns: u64| points * (16 * (d + 2) + columns * 4 * rank as u64);
        match self {
            Self::Sinkhorn(params) => entropic(params.storage.keeps(n, m)),
            Self::Progot(params) => {
                entropic(params.storage.keeps(n, m)) + params.num_steps as u64 * points * (8 * d + 24)
            }
            Self::Lot(params) => low_rank(params.rank, 7),
            Self::Frlc(params) => low_rank(params.rank, 13),
            Self::Minibatch(params) => {
                let batch = params.batch_size.min(n.max(m)) as u64;
                threads as u64 * batch * (16 * batch + 16 * d)
            }
        }
    }
}
