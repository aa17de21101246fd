//! What follows once starts agree: more dimensions, all pairs believed.

use super::agreement::{matched_cosine, worth_of_anchors};
use super::search::{Problem, Run, Search, quick};
use crate::align::error::AlignError;
use crate::align::params::{RefinementParams, UnpairedParams};
use crate::align::refinement::{joint, refine_from};
use crate::align::report::{LastStageReport, RoundReport};
use crate::align::warm_coupling::{WarmCoupler, announce};
use crate::map::TwoWayMap;
use candle_core::Tensor;
use hiref_core::Permutation;

/// By how much the matched cosine may fall before the last stage is thrown away: sampling moves it by that much.
const MOST_LOSS: f64 = 0.005;

/// What the search ends with.
pub(super) struct Found {
    pub(super) map: TwoWayMap,
    /// Principal dimensions between which the map lies.
    pub(super) dimension: usize,
    /// Of the free items.
    pub(super) coupling: Permutation,
    pub(super) rounds: Vec<RoundReport>,
    pub(super) report: LastStageReport,
}

/// Couples what `run` found as well as is asked for, and first, where it may be `wide`, goes on to more dimensions.
pub(super) fn last_stage(
    problem: &Problem<'_>,
    search: &Search<'_>,
    run: Run,
    wide: bool,
) -> Result<Found, AlignError> {
    let params = problem.params;
    let UnpairedParams { final_dimension, final_rounds, anchor_worth, .. } = params.unpaired;
    let narrow = &search.candidate.refinement;
    let sides = search.sides();
    let free = sides.free()?;
    let reference = params.reference();
    let view = sides.view(narrow.last_dimension)?;
    let whole = sides.view(final_dimension)?;
    let predicted = |coupling: &Permutation| {
        matched_cosine((&whole.0, &whole.1), narrow.penalty, &free.pairs(coupling)).map(|found| found.0)
    };
    // The last coupling is as good as the recipe asks for; those on the way there are quick.
    let careful = |map: &TwoWayMap, view: &(Tensor, Tensor)| {
        let joint = joint(map, (&view.0, &view.1), &free, reference)?;
        WarmCoupler::new(&params.coupling, problem.observer, "last coupling").couple(&joint)
    };
    let before = predicted(&run.coupling)?;
    let mut found = Found {
        map: run.map,
        dimension: narrow.last_dimension,
        coupling: run.coupling,
        rounds: run.rounds,
        report: LastStageReport { before, after: before, kept: false },
    };
    if !wide {
        found.coupling = careful(&found.map, &view)?;
        return Ok(found);
    }
    let refinement = RefinementParams {
        first_dimension: narrow.last_dimension,
        last_dimension: final_dimension.max(narrow.last_dimension),
        rounds: final_rounds,
        first_share: narrow.last_share,
        last_share: 1.0,
        anchor_share: worth_of_anchors(anchor_worth, &sides, narrow.anchor_share)?,
        dropout: 0.0,
        structure: 0.0,
        ..narrow.clone()
    };
    announce(problem.observer, final_rounds);
    let way = quick(&params.coupling);
    let mut coupler = WarmCoupler::new(&way, problem.observer, "last stage");
    let refined = refine_from(&sides, &refinement, found.map.clone(), final_rounds, reference, &mut coupler)?;
    let wide_view = sides.view(refinement.last_dimension)?;
    let coupling = careful(&refined.map, &wide_view)?;
    let after = predicted(&coupling)?;
    found.report = LastStageReport { before, after, kept: after >= before - MOST_LOSS };
    found.rounds.extend(refined.rounds);
    if found.report.kept {
        found = Found { map: refined.map, dimension: refinement.last_dimension, coupling, ..found };
    } else {
        found.coupling = careful(&found.map, &view)?;
    }
    Ok(found)
}
