//! What another matching than one to one cannot be had with.

use super::{PairArgs, Solver};
use crate::error::Error;
use hiref_core::CostKind;

/// Refuses what this kind of matching cannot be had with.
pub(super) fn check_together(args: &PairArgs) -> Result<(), Error> {
    let Some(first) = args.matching.kind() else { return Ok(()) };
    if let Some(price) = args.matching.unmatched_cost.filter(|&price| price < 0.0)
        && args.cost != CostKind::NegativeInnerProduct
    {
        return Err(Error::NegativePrice { price, cost: args.cost });
    }
    if !matches!(args.solver, Solver::Hiref | Solver::Exact) {
        let owners = vec![Solver::Hiref.name(), Solver::Exact.name()];
        return Err(Error::FlagOfOtherSolver { flag: first, solver: args.solver.name(), owners });
    }
    let others = [
        ("--warm-start", args.warm_start.is_some()),
        ("--certify sampled", matches!(args.certify, Some(super::Certify::Sampled(_)))),
        ("--checkpoint-every", args.checkpoint_every.total_cmp(&super::CHECKPOINT_SECONDS).is_ne()),
    ];
    match others.into_iter().find(|(_, given)| *given) {
        Some((second, _)) => Err(Error::FlagsNotTogether { first, second }),
        None => Ok(()),
    }
}
