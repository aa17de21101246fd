//! Choosing a setting by hiding some of the known pairs.

use super::error::AlignError;
use super::joint::{Joint, ReferenceItems};
use super::params::{AlignParams, RefinementParams};
use super::preparation::PreparedMap;
use super::refinement::{Sides, joint, refine, select};
use super::report::SelectionReport;
use super::warm_coupling::{WarmCoupler, announce};
use crate::eval::{Scores, ranks};
use crate::map::TwoWayMap;
use candle_core::Tensor;
use hiref_core::{Observer, rng};
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Known pairs in the smaller part of a fold below which nothing can be told.
pub(crate) const FEWEST_HIDDEN: usize = 3;
/// A candidate this far behind the best in mean log rank (ranks `e^0.5` times as high) is not tried on further folds.
const HOPELESS: f64 = 0.5;
/// Names the stream of the folds.
const FOLDS: u64 = 0x666f_6c64;

/// Folds of so many known pairs, if there are pairs enough for two.
pub(crate) fn num_folds(params: &AlignParams, anchors: usize) -> Option<usize> {
    Some(params.folds.min(anchors / FEWEST_HIDDEN)).filter(|&folds| folds >= 2)
}

/// Scores every candidate on `folds` folds: `coordinates` are both sides' whitened coordinates for each. With `stop_early`, further folds
/// are spared on candidates far behind, and on a single one far ahead.
///
/// Each fold hides its share of the known pairs among the free items, runs the loop on the rest, and ranks the hidden
/// partners. Nothing else about the pairing is known, so nothing else is used.
pub(crate) fn cross_validate(
    params: &AlignParams,
    coordinates: &[(Tensor, Tensor)],
    anchors: &[(u32, u32)],
    folds: usize,
    stop_early: bool,
    observer: &dyn Observer,
) -> Result<Vec<SelectionReport>, AlignError> {
    let mut shuffled = anchors.to_vec();
    shuffled.shuffle(&mut rng::stream(params.seed, &[FOLDS]));
    let run = |candidate: usize, fold: usize| {
        let part = |hidden: bool| {
            let fits = move |at: &usize| (at % folds == fold) == hidden;
            (0..shuffled.len()).filter(fits).map(|at| shuffled[at]).collect::<Vec<_>>()
        };
        let (x, y) = &coordinates[candidate];
        let refinement = &params.candidates[candidate].refinement;
        let stage = format!("{}, fold {}", params.candidates[candidate].name, fold + 1);
        let mut coupler = WarmCoupler::new(&params.coupling, observer, &stage);
        announce(observer, params.selection_rounds.min(refinement.rounds));
        one_fold(params, refinement, (x, y), &part(false), &part(true), &mut coupler)
    };
    let (n, m) = (coordinates[0].0.dim(0)?, coordinates[0].1.dim(0)?);
    let mut results = vec![Vec::<(f64, f64)>::new(); params.candidates.len()];
    let mut open: Vec<usize> = (0..params.candidates.len()).collect();
    for fold in 0..folds {
        // Side by side only where each run keeps little in memory; large ones use every core by themselves.
        let scores: Vec<Result<(f64, f64), AlignError>> = if n.max(m) <= params.coupling.exact_limit {
            open.par_iter().map(|&candidate| run(candidate, fold)).collect()
        } else {
            open.iter().map(|&candidate| run(candidate, fold)).collect()
        };
        for (&candidate, score) in open.iter().zip(scores) {
            results[candidate].push(score?);
        }
        if !stop_early {
            continue;
        }
        let best = open.iter().map(|&candidate| mean(&results[candidate]).0).fold(f64::INFINITY, f64::min);
        open.retain(|&candidate| mean(&results[candidate]).0 <= best + HOPELESS);
        // The rest of the folds could only confirm a single candidate that is far ahead of the known pairs alone too.
        if open.len() == 1 && results.iter().all(|folds| mean(folds).1 > best + HOPELESS) {
            break;
        }
    }
    let reports = params.candidates.iter().zip(&results).map(|(candidate, folds)| {
        let (mean_log_rank, anchors_only_mean_log_rank) = mean(folds);
        SelectionReport { name: candidate.name.clone(), folds: folds.len(), mean_log_rank, anchors_only_mean_log_rank }
    });
    Ok(reports.collect())
}

/// Means of both figures.
fn mean(folds: &[(f64, f64)]) -> (f64, f64) {
    let sum = folds.iter().fold((0.0, 0.0), |sum, fold| (sum.0 + fold.0, sum.1 + fold.1));
    (sum.0 / folds.len() as f64, sum.1 / folds.len() as f64)
}

/// Mean log rank of the hidden pairs after the loop, and before it.
fn one_fold(
    params: &AlignParams,
    refinement: &RefinementParams,
    (x, y): (&Tensor, &Tensor),
    known: &[(u32, u32)],
    hidden: &[(u32, u32)],
    coupler: &mut WarmCoupler<'_>,
) -> Result<(f64, f64), AlignError> {
    let sides = Sides { x, y, anchors: known };
    let reference = params.reference();
    let refined = refine(&sides, refinement, params.selection_rounds.min(refinement.rounds), reference, coupler)?;
    let free = sides.free()?;
    let hidden = free.positions(hidden);
    let score = |map: &TwoWayMap, dimension: usize| -> Result<f64, AlignError> {
        let (x, y) = sides.view(dimension)?;
        let joint = joint(map, (&x, &y), &free, reference)?;
        Ok(mean_log_rank(&joint, &hidden, refinement.neighbours)?)
    };
    Ok((score(&refined.map, refinement.last_dimension)?, score(&refined.start, refinement.first_dimension)?))
}

/// Mean over the pairs `hidden` and both directions of `ln(rank)` by a map: lower is better.
///
/// Ranks are by the scaled score, over `neighbours` neighbours, among all items that none of the pairs `known` names; so
/// this says how good a map is that has seen `known` but not `hidden`.
///
/// *Shapes*: `source (n, d)`, `target (m, e)`. *Complexity*: O(n m k) for k joint coordinates.
///
/// # Errors
/// Rows of other dimensions than those fitted on.
///
/// # Panics
/// If `hidden` and `known` name a common item, or one that is not there.
pub fn mean_log_rank_of_hidden(
    map: &PreparedMap,
    (source, target): (&Tensor, &Tensor),
    known: &[(u32, u32)],
    hidden: &[(u32, u32)],
    neighbours: usize,
) -> Result<f64, AlignError> {
    let (x, y) = map.joint(source, target)?;
    let free = Sides { x: &x, y: &y, anchors: known }.free()?;
    let joint =
        Joint::new(&select(&x, &free.x)?, &select(&y, &free.y)?, ReferenceItems { limit: usize::MAX, seed: 0 })?;
    Ok(mean_log_rank(&joint, &free.positions(hidden), neighbours)?)
}

fn mean_log_rank(joint: &Joint, pairs: &[(u32, u32)], neighbours: usize) -> candle_core::Result<f64> {
    let (x_means, y_means) = joint.neighbourhoods(neighbours)?;
    let (x, y) = joint.sides();
    let (i, j): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
    let to_y = ranks(&Scores::new(&select(x, &i)?, y)?, &j, &y_means)?;
    let to_x = ranks(&Scores::new(&select(y, &j)?, x)?, &i, &x_means)?;
    let logarithms: f64 = to_y.iter().chain(&to_x).map(|entry| entry.0.ln()).sum();
    Ok(logarithms / (2 * pairs.len()) as f64)
}
