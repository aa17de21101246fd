//! What follows once starts agree: more dimensions, all pairs believed.

use super::agreement::{matched_cosine, worth_of_anchors};
use super::search::{Found, Problem};
use crate::align::error::AlignError;
use crate::align::params::{CouplingParams, RefinementParams, UnpairedParams};
use crate::align::probability::pair_probability;
use crate::align::refinement::{Sides, joint, refine_from, select};
use crate::align::report::RoundReport;
use crate::align::warm_coupling::{WarmCoupler, announce};
use crate::map::TwoWayMap;
use candle_core::Tensor;
use hiref_core::{HirefParams, Permutation, Quality};

/// Items of a side up to which couplings on the way are exact.
const FEW_ITEMS: usize = 2048;
/// Share of the pairs that must be expected right for the rounds to start from them, where starts were not sure.
const LEAST_EXPECTED: f64 = 0.1;

/// What the search ends with.
pub(super) struct Ended {
    pub(super) map: TwoWayMap,
    /// Principal dimensions between which the map lies.
    pub(super) dimension: usize,
    /// Of the free items.
    pub(super) coupling: Permutation,
    pub(super) rounds: Vec<RoundReport>,
    /// How well the pairs predict one another, in the dimensions of the last stage.
    pub(super) matched_cosine: f64,
}

/// Couples all items by what was found, and first goes on to more dimensions, where starts were `sure` or the pairs look right:
/// sides without a common item have a map all the same, which rounds of wrong pairs would only harm.
pub(super) fn last_stage(
    problem: &Problem<'_>,
    sides: &Sides<'_>,
    found: Found,
    sure: bool,
) -> Result<Ended, AlignError> {
    let params = problem.params;
    let UnpairedParams { refinement, anchor_worth, .. } = &params.unpaired;
    let free = sides.free()?;
    let reference = params.reference();
    let whole = sides.view(refinement.last_dimension)?;
    // The last coupling is as good as the recipe asks for; those on the way there are quick.
    let coupled = |map: &TwoWayMap, view: &(Tensor, Tensor)| {
        let joint = joint(map, (&view.0, &view.1), &free, reference)?;
        WarmCoupler::new(&params.coupling, problem.observer, "last coupling").couple(&joint)
    };
    let narrow = if sure { None } else { Some(coupled(&found.map, &sides.view(refinement.first_dimension)?)?) };
    let doubtful = match &narrow {
        None => None,
        Some(coupling) => {
            let items = (select(sides.x, &free.x)?, select(sides.y, &free.y)?);
            let probability = pair_probability(&items.0, &items.1, coupling, reference)?.unwrap_or_default();
            let expected = probability.iter().map(|&p| f64::from(p)).sum::<f64>() / coupling.num_pairs().max(1) as f64;
            narrow.filter(|_| expected < LEAST_EXPECTED)
        }
    };
    let (map, dimension, rounds, coupling) = if let Some(coupling) = doubtful {
        (found.map, refinement.first_dimension, Vec::new(), coupling)
    } else {
        let anchor_share = worth_of_anchors(*anchor_worth, sides, refinement.anchor_share)?;
        let refinement = RefinementParams { anchor_share, ..refinement.clone() };
        let way = quick(&params.coupling);
        announce(problem.observer, refinement.rounds);
        let mut coupler = WarmCoupler::new(&way, problem.observer, "last stage");
        let refined = refine_from(sides, &refinement, found.map, refinement.rounds, reference, &mut coupler)?;
        let coupling = coupled(&refined.map, &whole)?;
        (refined.map, refinement.last_dimension, refined.rounds, coupling)
    };
    let matched_cosine = matched_cosine((&whole.0, &whole.1), refinement.penalty, &free.pairs(&coupling))?;
    Ok(Ended { map, dimension, coupling, rounds, matched_cosine })
}

/// Couplings as good as they need to be on the way.
fn quick(params: &CouplingParams) -> CouplingParams {
    let solver = HirefParams { quality: Quality::Fast, exact_limit: Some(0), ..params.solver.clone() };
    CouplingParams { exact_limit: params.exact_limit.min(FEW_ITEMS), solver }
}
