//! What follows once starts agree: more dimensions, all pairs believed where they look right.

use super::agreement::{matched_cosine, worth_of_anchors};
use super::annealing::{Annealing, Known, Settling, settle};
use super::first_map;
use super::search::{Coordinates, Found, Problem};
use crate::align::error::AlignError;
use crate::align::joint::{Joint, ReferenceItems};
use crate::align::params::{CouplingParams, RefinementParams, UnpairedParams};
use crate::align::predicted::{coupled_by_pairs, fitted_to, predicted};
use crate::align::probability::pair_probability;
use crate::align::refinement::{Sides, joint, refine_from, select};
use crate::align::report::{LeftOut, RoundReport};
use crate::align::warm_coupling::{WarmCoupler, announce};
use crate::map::TwoWayMap;
use crate::side::DataSide;
use candle_core::Tensor;
use hiref_core::{HirefParams, Permutation, Quality, rng};
use rand::Rng;

/// Items of a side up to which couplings on the way are exact.
const FEW_ITEMS: usize = 2048;
/// Share of the pairs that must be expected right for the rounds to start from them, where starts were not sure.
const LEAST_EXPECTED: f64 = 0.1;
/// How the map settles where pairs do not look right, and what it keeps of itself from round to round.
const SETTLED: Annealing = Annealing { rounds: 100, first_temperature: 0.3, last_temperature: 0.15 };
const INERTIA: f64 = 0.7;
/// Names the stream of the items drawn for it.
const DRAWN: u64 = 0x7365_7474;

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
    /// Share of the pairs that follow from the others, in the coupling by the map of the rounds.
    pub(super) predicted: f64,
}

/// What the last stage begins with.
pub(super) struct LastStage<'a> {
    pub(super) found: Found,
    /// Those in which it was found.
    pub(super) coordinates: Coordinates<'a>,
    /// The axis that they lack.
    pub(super) left_out: Option<LeftOut>,
    /// Whether starts agreed so far that nothing is to be doubted.
    pub(super) sure: bool,
}

/// Couples all items by what was found, and first goes on to more dimensions, and to all axes: by rounds of pairs, where starts
/// were sure or the pairs look right; else softly. Sides without a common item have a map all the same, which rounds of wrong
/// pairs would only harm. `sides` are in all axes.
pub(super) fn last_stage(problem: &Problem<'_>, sides: &Sides<'_>, start: LastStage<'_>) -> Result<Ended, AlignError> {
    let params = problem.params;
    let refinement = &params.unpaired.refinement;
    let LastStage { found, coordinates, left_out, sure } = start;
    let searched = coordinates.sides();
    let way = quick(&params.coupling);
    let looks_right = sure || {
        let is_many = searched.x.dim(0)?.max(searched.y.dim(0)?) > params.coupling.exact_limit;
        let way = if is_many { &way } else { &params.coupling };
        let narrow = coupled(problem, &searched, refinement.first_dimension, &found.map, way)?;
        let free = searched.free()?;
        let items = (select(searched.x, &free.x)?, select(searched.y, &free.y)?);
        let probability = pair_probability(&items.0, &items.1, &narrow, params.reference())?.unwrap_or_default();
        let expected = probability.iter().map(|&p| f64::from(p)).sum::<f64>() / narrow.num_pairs().max(1) as f64;
        expected >= LEAST_EXPECTED
    };
    if !looks_right {
        let dimension = refinement.last_dimension.min(refinement.first_dimension * 3 / 2);
        let map = settled(problem, sides, dimension, &in_all_axes(&found.covariance, left_out)?)?;
        let coupling = coupled(problem, sides, dimension, &map, &params.coupling)?;
        return ended(problem, (sides, sides), map, dimension, coupling, Vec::new());
    }
    let anchor_share = worth_of_anchors(params.unpaired.anchor_worth, &searched, refinement.anchor_share)?;
    let refinement = RefinementParams { anchor_share, ..refinement.clone() };
    announce(problem.observer, refinement.rounds);
    let mut coupler = WarmCoupler::new(&way, problem.observer, "last stage");
    let rounds = refinement.rounds;
    let (reference, least) = (params.reference(), params.unpaired.least_predicted);
    let refined = refine_from(&searched, &refinement, found.map, rounds, reference, &mut coupler)?;
    let dimension = refinement.last_dimension;
    let mut coupler = WarmCoupler::new(&params.coupling, problem.observer, "last coupling");
    let coupling = coupler.couple(&joint_by(problem, &searched, dimension, &refined.map)?)?;
    let ending = (&searched, sides);
    let mut ended = ended(problem, ending, refined.map, dimension, coupling, refined.rounds)?;
    // An axis that was left out misled the search alone: now that pairs are known, it takes part like any other.
    let pairs = sides.free()?.pairs(&ended.coupling);
    if ended.predicted >= least {
        (ended.coupling, ended.map) = coupled_by_pairs(sides, &refinement, &pairs, reference, &mut coupler)?;
    } else if left_out.is_some() {
        ended.map = fitted_to(sides, &refinement, &pairs)?;
    }
    Ok(ended)
}

/// With how well the pairs predict one another, in the coordinates of the last stage and in all axes.
fn ended(
    problem: &Problem<'_>,
    (searched, sides): (&Sides<'_>, &Sides<'_>),
    map: TwoWayMap,
    dimension: usize,
    coupling: Permutation,
    rounds: Vec<RoundReport>,
) -> Result<Ended, AlignError> {
    let refinement = &problem.params.unpaired.refinement;
    let pairs = sides.free()?.pairs(&coupling);
    let (x, y) = searched.view(refinement.last_dimension)?;
    let matched_cosine = matched_cosine((&x, &y), refinement.penalty, &pairs)?;
    let predicted = predicted(sides, (dimension, refinement.penalty), &pairs, problem.params.reference())?;
    Ok(Ended { map, dimension, coupling, rounds, matched_cosine, predicted })
}

/// The pairing of the free items by a map between the first `dimension` axes.
fn coupled(
    problem: &Problem<'_>,
    sides: &Sides<'_>,
    dimension: usize,
    map: &TwoWayMap,
    way: &CouplingParams,
) -> Result<Permutation, AlignError> {
    let joint = joint_by(problem, sides, dimension, map)?;
    WarmCoupler::new(way, problem.observer, "last coupling").couple(&joint)
}

/// The free items in the joint coordinates of a map between the first `dimension` axes.
fn joint_by(problem: &Problem<'_>, sides: &Sides<'_>, dimension: usize, map: &TwoWayMap) -> Result<Joint, AlignError> {
    let (x, y) = sides.view(dimension)?;
    Ok(joint(map, (&x, &y), &sides.free()?, problem.params.reference())?)
}

/// A cross-covariance found without an axis, with zeros for it.
fn in_all_axes(covariance: &Tensor, left_out: Option<LeftOut>) -> candle_core::Result<Tensor> {
    let Some(LeftOut { side, axis }) = left_out else { return Ok(covariance.clone()) };
    let dimension = match side {
        DataSide::Source => 0,
        DataSide::Target => 1,
    };
    let count = covariance.dim(dimension)?;
    let axis = axis.min(count);
    let zeros = covariance.narrow(dimension, 0, 1)?.zeros_like()?;
    let before = covariance.narrow(dimension, 0, axis)?;
    Tensor::cat(&[before, zeros, covariance.narrow(dimension, axis, count - axis)?], dimension)
}

/// The map that soft matchings of ever new draws lead to from a cross-covariance of as many or fewer axes.
fn settled(
    problem: &Problem<'_>,
    sides: &Sides<'_>,
    dimension: usize,
    covariance: &Tensor,
) -> Result<TwoWayMap, AlignError> {
    let UnpairedParams { refinement, anchor_worth, annealed_items, .. } = &problem.params.unpaired;
    let (x, y) = sides.view(dimension)?;
    // A side may have fewer axes than the map has got.
    let (k, l) = (x.dim(1)?, y.dim(1)?);
    let covariance = covariance.narrow(0, 0, covariance.dim(0)?.min(k))?;
    let covariance = covariance.narrow(1, 0, covariance.dim(1)?.min(l))?;
    let covariance = covariance.pad_with_zeros(0, 0, k - covariance.dim(0)?)?;
    let covariance = covariance.pad_with_zeros(1, 0, l - covariance.dim(1)?)?;
    let share = worth_of_anchors(*anchor_worth, sides, refinement.anchor_share)?;
    let known = first_map::known((&x, &y), problem.anchors)?.map(|covariance| Known { covariance, share });
    let seed = rng::stream(problem.params.seed, &[DRAWN]).random();
    let limit = (*annealed_items).min(x.dim(0)?.min(y.dim(0)?)).div_ceil(2);
    let settling = Settling { annealing: SETTLED, inertia: INERTIA, draws: ReferenceItems { limit, seed } };
    let covariance = settle((&x, &y), &covariance, &settling, known.as_ref(), ("soft last stage", problem.observer))?;
    Ok(first_map::as_map(&covariance)?)
}

/// Couplings as good as they need to be on the way.
fn quick(params: &CouplingParams) -> CouplingParams {
    let solver = HirefParams { quality: Quality::Fast, exact_limit: Some(0), ..params.solver.clone() };
    CouplingParams { exact_limit: params.exact_limit.min(FEW_ITEMS), solver }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn an_axis_left_out_comes_back_as_zeros() {
        let covariance = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let with = |side: DataSide, axis: usize| -> Vec<Vec<f32>> {
            in_all_axes(&covariance, Some(LeftOut { side, axis })).unwrap().to_vec2().unwrap()
        };
        assert_eq!(with(DataSide::Source, 0), [[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(with(DataSide::Source, 2), [[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]);
        assert_eq!(with(DataSide::Target, 0), [[0.0, 1.0, 2.0], [0.0, 3.0, 4.0]]);
        assert_eq!(with(DataSide::Target, 1), [[1.0, 0.0, 2.0], [3.0, 0.0, 4.0]]);
        assert_eq!(in_all_axes(&covariance, None).unwrap().to_vec2::<f32>().unwrap(), [[1.0, 2.0], [3.0, 4.0]]);
    }
}
