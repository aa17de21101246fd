//! Choosing a setting by hiding some of the known pairs.

use super::axes::Coordinates;
use super::error::AlignError;
use super::hidden_pairs::{come_first, is_behind, mean_log_rank, ranks_of};
use super::params::{AlignParams, Candidate};
use super::refinement::{Sides, joint, refine, select};
use super::report::SelectionReport;
use super::warm_coupling::{WarmCoupler, announce};
use crate::map::TwoWayMap;
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
        SelectionReport {
            name,
            folds: self.folds,
            mean_log_rank,
            anchors_only_mean_log_rank,
            behind: is_behind(&self.after, &best.after),
            anchors_only_ahead: is_behind(&self.after, &self.before),
            hidden_first: come_first(better),
        }
    }
}
