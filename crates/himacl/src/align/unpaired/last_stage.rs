//! What follows once starts agree: more dimensions, all pairs believed.

use super::agreement::{matched_cosine, worth_of_anchors};
use super::search::{Found, Problem, Search};
use crate::align::error::AlignError;
use crate::align::params::{CouplingParams, RefinementParams, UnpairedParams};
use crate::align::refinement::{joint, refine_from};
use crate::align::report::{LastStageReport, RoundReport};
use crate::align::warm_coupling::{WarmCoupler, announce};
use crate::map::TwoWayMap;
use candle_core::Tensor;
use hiref_core::{HirefParams, Permutation, Quality};

/// Items of a side up to which couplings on the way are exact.
const FEW_ITEMS: usize = 2048;

/// What the search ends with.
pub(super) struct Ended {
    pub(super) map: TwoWayMap,
    /// Principal dimensions between which the map lies.
    pub(super) dimension: usize,
    /// Of the free items.
    pub(super) coupling: Permutation,
    pub(super) rounds: Vec<RoundReport>,
    pub(super) report: LastStageReport,
}

/// Couples all items by what was found, and first, where it may be `wide`, goes on to more dimensions.
pub(super) fn last_stage(
    problem: &Problem<'_>,
    search: &Search<'_>,
    found: Found,
    wide: bool,
) -> Result<Ended, AlignError> {
    let params = problem.params;
    let UnpairedParams { refinement, anchor_worth, .. } = &params.unpaired;
    let sides = search.sides();
    let free = sides.free()?;
    let reference = params.reference();
    let whole = sides.view(refinement.last_dimension)?;
    let predicted = |coupling: &Permutation| {
        matched_cosine((&whole.0, &whole.1), refinement.penalty, &free.pairs(coupling)).map(|found| found.0)
    };
    // The last coupling is as good as the recipe asks for; those on the way there are quick.
    let coupled = |map: &TwoWayMap, view: &(Tensor, Tensor), params: &CouplingParams, stage: &str| {
        let joint = joint(map, (&view.0, &view.1), &free, reference)?;
        WarmCoupler::new(params, problem.observer, stage).couple(&joint)
    };
    let view = sides.view(refinement.first_dimension)?;
    let way = quick(&params.coupling);
    if !wide {
        let coupling = coupled(&found.map, &view, &params.coupling, "last coupling")?;
        let before = predicted(&coupling)?;
        let report = LastStageReport { before, after: before, kept: false };
        let dimension = refinement.first_dimension;
        return Ok(Ended { map: found.map, dimension, coupling, rounds: Vec::new(), report });
    }
    let anchor_share = worth_of_anchors(*anchor_worth, &sides, refinement.anchor_share)?;
    let rounds = refinement.rounds;
    let refinement = RefinementParams { anchor_share, ..refinement.clone() };
    announce(problem.observer, rounds);
    let mut coupler = WarmCoupler::new(&way, problem.observer, "last stage");
    let refined = refine_from(&sides, &refinement, found.map, rounds, reference, &mut coupler)?;
    let coupling = coupled(&refined.map, &whole, &params.coupling, "last coupling")?;
    let after = predicted(&coupling)?;
    let report = LastStageReport { before: after, after, kept: true };
    Ok(Ended { map: refined.map, dimension: refinement.last_dimension, coupling, rounds: refined.rounds, report })
}

/// Couplings as good as they need to be on the way.
fn quick(params: &CouplingParams) -> CouplingParams {
    let solver = HirefParams { quality: Quality::Fast, ..params.solver.clone() };
    CouplingParams { exact_limit: params.exact_limit.min(FEW_ITEMS), solver }
}
