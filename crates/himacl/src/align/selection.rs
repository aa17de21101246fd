//! Choosing a setting by hiding some of the known pairs.

use super::axes::Coordinates;
use super::error::AlignError;
use super::joint::{Joint, ReferenceItems};
use super::params::{AlignParams, Candidate};
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
/// Hidden pairs from which on a candidate may be given up.
const ENOUGH_HIDDEN: usize = 10;
/// Names the stream of the folds.
const FOLDS: u64 = 0x666f_6c64;

/// Folds of so many known pairs, if there are pairs enough for two.
pub(crate) fn num_folds(params: &AlignParams, anchors: usize) -> Option<usize> {
    Some(params.folds.min(anchors / FEWEST_HIDDEN)).filter(|&folds| folds >= 2)
}

/// What is chosen among.
pub(crate) struct Contest<'a> {
    pub(crate) params: &'a AlignParams,
    /// Both sides' coordinates for each candidate.
    pub(crate) coordinates: &'a [Coordinates],
    pub(crate) anchors: &'a [(u32, u32)],
    pub(crate) observer: &'a dyn Observer,
}

impl Contest<'_> {
    /// Scores every candidate on `folds` folds. With `stop_early`, further folds are spared on a candidate once it is more
    /// than two standard errors behind the best, and on a single one left that is ahead of the known pairs alone as well.
    ///
    /// Each fold sets its share of the known pairs aside, runs the loop on all other items, and ranks the hidden partners
    /// among these and the free items: what the map makes of items that it has not seen. Nothing else about the pairing is
    /// known, so nothing else is used.
    pub(crate) fn cross_validate(&self, folds: usize, stop_early: bool) -> Result<Vec<SelectionReport>, AlignError> {
        let Self { params, coordinates, anchors, .. } = *self;
        let mut shuffled = anchors.to_vec();
        shuffled.shuffle(&mut rng::stream(params.seed, &[FOLDS]));
        let run = |candidate: usize, fold: usize| {
            let part = |hidden: bool| {
                let fits = move |at: &usize| (at % folds == fold) == hidden;
                (0..shuffled.len()).filter(fits).map(|at| shuffled[at]).collect::<Vec<_>>()
            };
            self.one_fold(candidate, fold, &part(false), &part(true))
        };
        let whole = coordinates[0].sides(&[]);
        let (n, m) = (whole.x.dim(0)?, whole.y.dim(0)?);
        let mut results: Vec<Ranks> = params.candidates.iter().map(|_| Ranks::default()).collect();
        let mut open: Vec<usize> = (0..params.candidates.len()).collect();
        let mut best = 0;
        for fold in 0..folds {
            // Side by side only where each run keeps little in memory; large ones use every core by themselves.
            let ranks: Vec<Result<Ranks, AlignError>> = if n.max(m) <= params.coupling.exact_limit {
                open.par_iter().map(|&candidate| run(candidate, fold)).collect()
            } else {
                open.iter().map(|&candidate| run(candidate, fold)).collect()
            };
            for (&candidate, ranks) in open.iter().zip(ranks) {
                results[candidate].extend(ranks?);
            }
            let by_mean = |a: &&usize, b: &&usize| results[**a].mean().total_cmp(&results[**b].mean());
            best = *open.iter().min_by(by_mean).expect("the best candidate stays open");
            let ahead = &results[best].after;
            if stop_early && ahead.len() >= ENOUGH_HIDDEN {
                open.retain(|&candidate| candidate == best || !is_behind(&results[candidate].after, ahead));
                if open.len() == 1 && is_behind(&results[best].before, ahead) {
                    break;
                }
            }
        }
        let reports = params.candidates.iter().zip(&results);
        Ok(reports.map(|(candidate, ranks)| ranks.report(candidate.name.clone(), &results[best])).collect())
    }

    /// Ranks of the hidden pairs after the loop, and before it.
    fn one_fold(
        &self,
        candidate: usize,
        fold: usize,
        known: &[(u32, u32)],
        hidden: &[(u32, u32)],
    ) -> Result<Ranks, AlignError> {
        let Self { params, coordinates, observer, .. } = *self;
        let Candidate { name, refinement } = &params.candidates[candidate];
        let rounds = params.selection_rounds.min(refinement.rounds);
        let mut coupler = WarmCoupler::new(&params.coupling, observer, &format!("{name}, fold {}", fold + 1));
        announce(observer, rounds);
        let reference = params.reference();
        let sides = coordinates[candidate].sides(known);
        let rest = coordinates[candidate].sides(hidden).free()?;
        let (rest_x, rest_y) = (select(sides.x, &rest.x)?, select(sides.y, &rest.y)?);
        let learnt_from = Sides { x: &rest_x, y: &rest_y, anchors: &rest.positions(known), ..sides };
        let refined = refine(&learnt_from, refinement, rounds, reference, &mut coupler)?;
        let free = sides.free()?;
        let hidden = free.positions(hidden);
        let ranked = |map: &TwoWayMap, dimension: usize| -> Result<Vec<[f64; 2]>, AlignError> {
            let (x, y) = sides.view(dimension)?;
            let joint = joint(map, (&x, &y), &free, reference)?;
            Ok(ranks_of(&joint, &hidden, refinement.neighbours)?)
        };
        Ok(Ranks {
            folds: 1,
            after: ranked(&refined.map, refinement.last_dimension)?,
            before: ranked(&refined.start, refinement.first_dimension)?,
        })
    }
}

/// Ranks of hidden pairs from either side, fold after fold.
#[derive(Default)]
struct Ranks {
    folds: usize,
    /// By the map that the loop ends with.
    after: Vec<[f64; 2]>,
    /// By the map from the known pairs alone.
    before: Vec<[f64; 2]>,
}

impl Ranks {
    fn extend(&mut self, next: Self) {
        self.folds += next.folds;
        self.after.extend(next.after);
        self.before.extend(next.before);
    }

    fn mean(&self) -> f64 {
        mean_log_rank(&self.after)
    }

    fn report(&self, name: String, best: &Self) -> SelectionReport {
        let (mean_log_rank, anchors_only_mean_log_rank) = (self.mean(), mean_log_rank(&self.before));
        let better = if mean_log_rank < anchors_only_mean_log_rank { &self.after } else { &self.before };
        let first = better.iter().flatten().filter(|&&rank| rank <= 1.0).count();
        let hidden_first = first as f64 / (2 * better.len()).max(1) as f64;
        SelectionReport {
            name,
            folds: self.folds,
            mean_log_rank,
            anchors_only_mean_log_rank,
            behind: is_behind(&self.after, &best.after),
            anchors_only_ahead: is_behind(&self.after, &self.before),
            hidden_first,
        }
    }
}

/// Whether the ranks `behind` are higher than `ahead`, of the same pairs, by more than two standard errors of their mean
/// logarithm's difference.
fn is_behind(behind: &[[f64; 2]], ahead: &[[f64; 2]]) -> bool {
    let log = |pair: &[f64; 2]| f64::midpoint(pair[0].ln(), pair[1].ln());
    let differences: Vec<f64> = behind.iter().zip(ahead).map(|(behind, ahead)| log(behind) - log(ahead)).collect();
    let count = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / count;
    let variance = differences.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    mean > 2.0 * (variance / count).sqrt()
}

fn mean_log_rank(ranks: &[[f64; 2]]) -> f64 {
    ranks.iter().flatten().map(|rank| rank.ln()).sum::<f64>() / (2 * ranks.len()) as f64
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
    let free = Sides { x: &x, y: &y, views: None, anchors: known }.free()?;
    let joint =
        Joint::new(&select(&x, &free.x)?, &select(&y, &free.y)?, ReferenceItems { limit: usize::MAX, seed: 0 })?;
    Ok(mean_log_rank(&ranks_of(&joint, &free.positions(hidden), neighbours)?))
}

/// The rank of each pair's y among all y for its x, and of its x among all x for its y.
fn ranks_of(joint: &Joint, pairs: &[(u32, u32)], neighbours: usize) -> candle_core::Result<Vec<[f64; 2]>> {
    let (x_means, y_means) = joint.neighbourhoods(neighbours)?;
    let (x, y) = joint.sides();
    let (i, j): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
    let to_y = ranks(&Scores::new(&select(x, &i)?, y)?, &j, &y_means)?;
    let to_x = ranks(&Scores::new(&select(y, &j)?, x)?, &i, &x_means)?;
    Ok(to_y.iter().zip(&to_x).map(|(to_y, to_x)| [to_y.0, to_x.0]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_behind_by_more_than_two_standard_errors() {
        let ahead = [[1.0, 1.0], [2.0, 2.0], [4.0, 4.0], [1.0, 1.0]];
        let times = |factors: [f64; 4]| {
            let scaled = ahead.iter().zip(factors).map(|(pair, factor)| pair.map(|rank| rank * factor));
            scaled.collect::<Vec<_>>()
        };
        assert!(is_behind(&times([2.0; 4]), &ahead) && !is_behind(&ahead, &ahead));
        assert!(is_behind(&times([4.0, 2.0, 2.0, 2.0]), &ahead));
        // One pair alone is far behind, and the others a little ahead: it may be chance.
        assert!(!is_behind(&times([8.0, 0.5, 0.7, 1.0]), &ahead));
        assert!(!is_behind(&ahead, &times([2.0; 4])));
    }
}
