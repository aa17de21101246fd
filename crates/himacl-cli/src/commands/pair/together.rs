//! What another matching than one to one cannot be had with.

use super::{PairArgs, Solver};
use crate::error::Error;

/// Refuses what this kind of matching cannot be had with.
pub(super) fn check_together(args: &PairArgs) -> Result<(), Error> {
    let matching = &args.matching;
    let kinds = [
        ("--unmatched-cost", matching.unmatched_cost.is_some()),
        ("--pairs", matching.pairs.is_some()),
        ("--x-capacity", matching.x_capacity.is_some()),
        ("--y-capacity", matching.y_capacity.is_some()),
        ("--x-groups", matching.x_groups.is_some()),
        ("--forbidden", matching.forbidden.is_some()),
    ];
    let Some((first, _)) = kinds.into_iter().find(|(_, given)| *given) else { return Ok(()) };
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
