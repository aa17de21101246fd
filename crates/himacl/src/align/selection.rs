//! Choosing a setting by hiding some of the known pairs.

use super::confidence::Joint;
use super::coupler::Coupler;
use super::error::AlignError;
use super::params::{AlignParams, RefinementParams};
use super::refinement::{Sides, joint, refine, select};
use crate::eval::{Scores, ranks};
use crate::map::TwoWayMap;
use candle_core::Tensor;
use hiref_core::{Observer, rng};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Known pairs in the smaller part of a fold below which nothing can be told.
const FEWEST_HIDDEN: usize = 3;
/// Names the stream of the folds.
const FOLDS: u64 = 0x666f_6c64;

/// What cross-validation says about one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelectionReport {
    /// The candidate's name.
    pub name: String,
    /// Mean over the hidden pairs, both directions and all folds of `ln(rank)`; lower is better.
    ///
    /// Ranks are among all items free in the fold, by the scaled score.
    pub mean_log_rank: f64,
    /// The same for the map from the fold's known pairs alone, in the candidate's first dimension.
    pub anchors_only_mean_log_rank: f64,
}

/// Scores every candidate: `coordinates` are both sides' whitened coordinates for each. None if the pairs are too few.
///
/// Each fold hides its share of the known pairs among the free items, runs the loop on the rest, and ranks the hidden
/// partners. Nothing else about the pairing is known, so nothing else is used.
pub(crate) fn cross_validate(
    params: &AlignParams,
    coordinates: &[(Tensor, Tensor)],
    anchors: &[(u32, u32)],
    observer: &dyn Observer,
) -> Result<Option<Vec<SelectionReport>>, AlignError> {
    if params.folds < 2 || anchors.len() / params.folds < FEWEST_HIDDEN {
        return Ok(None);
    }
    let mut shuffled = anchors.to_vec();
    shuffled.shuffle(&mut rng::stream(params.seed, &[FOLDS]));
    let tasks: Vec<(usize, usize)> = (0..params.candidates.len())
        .flat_map(|candidate| (0..params.folds).map(move |fold| (candidate, fold)))
        .collect();
    let run = |&(candidate, fold): &(usize, usize)| {
        let part = |hidden: bool| {
            let fits = move |at: &usize| (at % params.folds == fold) == hidden;
            (0..shuffled.len()).filter(fits).map(|at| shuffled[at]).collect::<Vec<_>>()
        };
        let (x, y) = &coordinates[candidate];
        one_fold(params, &params.candidates[candidate].refinement, (x, y), &part(false), &part(true), observer)
    };
    let (n, m) = (coordinates[0].0.dim(0)?, coordinates[0].1.dim(0)?);
    // Side by side only where each fold keeps little in memory; large ones use every core by themselves.
    let results: Vec<Result<(f64, f64), AlignError>> = if n.max(m) <= params.coupling.exact_limit {
        tasks.par_iter().map(run).collect()
    } else {
        tasks.iter().map(run).collect()
    };
    let results = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    let reports = params.candidates.iter().zip(results.chunks(params.folds)).map(|(candidate, folds)| {
        let mean = |value: fn(&(f64, f64)) -> f64| folds.iter().map(value).sum::<f64>() / folds.len() as f64;
        SelectionReport {
            name: candidate.name.clone(),
            mean_log_rank: mean(|fold| fold.0),
            anchors_only_mean_log_rank: mean(|fold| fold.1),
        }
    });
    Ok(Some(reports.collect()))
}

/// Mean log rank of the hidden pairs after the loop, and before it.
fn one_fold(
    params: &AlignParams,
    refinement: &RefinementParams,
    (x, y): (&Tensor, &Tensor),
    known: &[(u32, u32)],
    hidden: &[(u32, u32)],
    observer: &dyn Observer,
) -> Result<(f64, f64), AlignError> {
    let sides = Sides { x, y, anchors: known };
    let reference = (params.reference_items, params.seed);
    let mut coupler = Coupler::new(&params.coupling, observer);
    let refined = refine(&sides, refinement, params.selection_rounds, reference, &mut coupler)?;
    let free = sides.free()?;
    let at = |free: &[u32], item: u32| free.binary_search(&item).expect("hidden pairs are free") as u32;
    let hidden: Vec<(u32, u32)> = hidden.iter().map(|&(i, j)| (at(&free.x, i), at(&free.y, j))).collect();
    let score = |map: &TwoWayMap, dimension: usize| -> Result<f64, AlignError> {
        let (x, y) = sides.view(dimension)?;
        let joint = joint(map, (&x, &y), &free, reference)?;
        Ok(mean_log_rank(&joint, &hidden, refinement.neighbours)?)
    };
    Ok((score(&refined.map, refinement.last_dimension)?, score(&refined.start, refinement.first_dimension)?))
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
