//! Independent starts in the same coordinates, whose groups are compared.

use super::agreement::{Probe, worth_of_anchors};
use super::annealing::{Annealing, Known, anneal, rotation_score};
use super::first_map::{self, FirstMap};
use crate::align::axes::Axes;
use crate::align::error::AlignError;
use crate::align::joint::{ReferenceItems, rows};
use crate::align::params::{AlignParams, UnpairedParams};
use crate::align::refinement::Sides;
use crate::align::report::{Agreement, LeftOut, SearchReport, StartReport};
use crate::map::TwoWayMap;
use candle_core::Tensor;
use hiref_core::{Observer, rng};
use rand::Rng;
use rayon::prelude::*;

/// Names the streams of the items drawn.
const DRAWN: u64 = 0x6472_6177;
/// Starts that run side by side, whatever the number of threads.
const SIDE_BY_SIDE: usize = 2;
/// Of a start, whose first map is rough: the sharper end is left to the consensus.
const ROUGH: Annealing = Annealing { rounds: 20, first_temperature: 0.5, last_temperature: 0.15 };
/// Of the consensus of several starts.
const FINE: Annealing = Annealing { rounds: 16, first_temperature: 0.4, last_temperature: 0.1 };
/// A side of so many times the items of a draw has draws that hardly share any; the mean cosine at which two maps of such
/// draws agree surely.
const FRESH_DRAWS: usize = 8;
const SURE_COSINE_OF_FRESH: f64 = 0.8;
/// Temperature at which maps are compared.
const JUDGED_AT: f64 = 0.15;

/// What all searches of one problem share.
#[derive(Clone, Copy)]
pub(super) struct Problem<'a> {
    pub(super) params: &'a AlignParams,
    pub(super) axes: &'a Axes,
    pub(super) source: &'a Tensor,
    pub(super) target: &'a Tensor,
    pub(super) anchors: &'a [(u32, u32)],
    pub(super) observer: &'a dyn Observer,
}

/// One start: a first map, annealed on a sample.
struct Start {
    /// Cross-covariance of norm 1, `(k, l)`.
    covariance: Tensor,
    report: StartReport,
}

/// What several starts came to together.
pub(super) struct Found {
    /// Cross-covariance of norm 1 between the views in the search's dimension.
    pub(super) covariance: Tensor,
    /// The maps whose scores are its.
    pub(super) map: TwoWayMap,
    /// How well both sides match under the nearest rotation.
    pub(super) score: f64,
    probe: Probe,
}

impl Found {
    pub(super) fn agreement(&self, other: &Self) -> Result<Agreement, AlignError> {
        self.probe.agreement(&other.probe)
    }
}

/// A search in all axes, or without one: groups of starts, and how far they agree.
pub(super) struct Search<'a> {
    problem: Problem<'a>,
    /// Tells its streams from those of other searches.
    number: u64,
    pub(super) left_out: Option<LeftOut>,
    /// Of the first start, until that is made.
    first: Option<FirstMap>,
    starts: Vec<Start>,
    /// What each group of starts came to, the one that matches best first.
    pub(super) groups: Vec<Found>,
    /// How far another one agrees with the best one.
    pub(super) agreement: Agreement,
}

/// All items in the coordinates of one search; made anew whenever they are needed, because every search has its own.
pub(super) struct Coordinates<'a> {
    /// Whitened, in as many dimensions as the last stage needs.
    x: Tensor,
    y: Tensor,
    /// Their views in the search's dimension.
    view: (Tensor, Tensor),
    anchors: &'a [(u32, u32)],
    known: Option<Known>,
}

impl Coordinates<'_> {
    pub(super) fn sides(&self) -> Sides<'_> {
        Sides { x: &self.x, y: &self.y, views: None, anchors: self.anchors }
    }
}

impl<'a> Search<'a> {
    pub(super) fn new(problem: Problem<'a>, number: u64, left_out: Option<LeftOut>) -> Self {
        let (starts, groups, agreement) = (Vec::new(), Vec::new(), Agreement::default());
        Self { problem, number, left_out, first: None, starts, groups, agreement }
    }

    pub(super) fn coordinates(&self) -> Result<Coordinates<'a>, AlignError> {
        let Problem { params, axes, source, target, anchors, .. } = self.problem;
        let UnpairedParams { refinement, anchor_worth, .. } = &params.unpaired;
        let whitened = |axes: &Axes| axes.whitened(refinement.last_dimension, refinement.whitening, source, target);
        let (x, y) = match self.left_out {
            None => whitened(axes)?,
            Some(left_out) => whitened(&axes.without(left_out)?)?,
        };
        let sides = Sides { x: &x, y: &y, views: None, anchors };
        let view = sides.view(refinement.first_dimension)?;
        let share = worth_of_anchors(*anchor_worth, &sides, refinement.anchor_share)?;
        let covariance = first_map::known((&view.0, &view.1), anchors)?;
        let known = covariance.map(|covariance| Known { covariance, share });
        Ok(Coordinates { x, y, view, anchors, known })
    }

    /// Makes groups of starts until another one agrees surely with the best one, or there are `most`.
    pub(super) fn until_sure(&mut self, most: usize) -> Result<(), AlignError> {
        while self.groups.len() < most && !self.is_sure()? {
            self.make_group()?;
        }
        Ok(())
    }

    /// Makes one more group of starts.
    pub(super) fn make_group(&mut self) -> Result<(), AlignError> {
        let coordinates = self.coordinates()?;
        let (each, group) = (self.problem.params.unpaired.starts, self.groups.len());
        let mut firsts: Vec<(usize, Option<FirstMap>)> =
            (group * each..(group + 1) * each).map(|number| (number, None)).collect();
        firsts[0].1 = self.first.take();
        let mut starts = Vec::new();
        while !firsts.is_empty() {
            let some: Vec<_> = firsts.drain(..SIDE_BY_SIDE.min(firsts.len())).collect();
            let made = some.into_par_iter().map(|(number, first)| self.start(&coordinates, number, first));
            starts.extend(made.collect::<Result<Vec<Start>, _>>()?);
        }
        let stage = format!("consensus {}", group + 1);
        let found = self.consensus(&coordinates, &starts.iter().collect::<Vec<_>>(), group as u64, &stage)?;
        self.starts.extend(starts);
        self.groups.push(found);
        self.put_best_first()
    }

    /// Puts the group first that matches best, and sees how far any other agrees with it. A group that went another way and
    /// matches worse says nothing against it.
    fn put_best_first(&mut self) -> Result<(), AlignError> {
        let by_score = |a: &usize, b: &usize| self.groups[*a].score.total_cmp(&self.groups[*b].score).then(b.cmp(a));
        let best = (0..self.groups.len()).max_by(by_score).unwrap_or(0);
        self.groups.swap(0, best);
        self.agreement = Agreement::default();
        for other in &self.groups[1..] {
            let agreement = self.groups[0].agreement(other)?;
            if agreement.same_partners >= self.agreement.same_partners {
                self.agreement = agreement;
            }
        }
        Ok(())
    }

    /// What all starts come to together.
    pub(super) fn combined(&self) -> Result<Found, AlignError> {
        let starts: Vec<&Start> = self.starts.iter().collect();
        self.consensus(&self.coordinates()?, &starts, self.groups.len() as u64, "consensus of all")
    }

    /// Whether another group agrees with the best one as far as is asked for.
    pub(super) fn is_enough(&self) -> bool {
        is_enough(self.problem.params, self.agreement)
    }

    /// Whether another group agrees so far that further starts would say the same.
    pub(super) fn is_sure(&self) -> candle_core::Result<bool> {
        self.problem.is_sure(self.agreement)
    }

    /// What it came to.
    pub(super) fn report(&self) -> SearchReport {
        SearchReport {
            left_out: self.left_out,
            starts: self.starts.len(),
            agreement: self.agreement,
            score: self.score(),
        }
    }

    /// How well both sides match by the best group.
    pub(super) fn score(&self) -> f64 {
        self.groups.first().map_or(0.0, |found| found.score)
    }

    pub(super) fn starts(&self) -> impl Iterator<Item = StartReport> + '_ {
        self.starts.iter().map(|start| start.report.clone())
    }

    /// The largest alignment of matched centroids, the mean over its starts; of its first start's, before that is made.
    pub(super) fn centroid_alignment(&mut self) -> Result<f64, AlignError> {
        if self.starts.is_empty() {
            let first = match self.first.take() {
                Some(first) => first,
                None => self.first_map(&self.coordinates()?, 0)?,
            };
            return Ok(self.first.insert(first).alignment);
        }
        let alignments = self.starts.iter().map(|start| start.report.centroid_alignment);
        Ok(alignments.sum::<f64>() / self.starts.len() as f64)
    }

    fn first_map(&self, coordinates: &Coordinates<'_>, number: usize) -> Result<FirstMap, AlignError> {
        let params = self.problem.params;
        let (x, y) = &coordinates.view;
        let reference = ReferenceItems { limit: params.unpaired.clustered_items, ..params.reference() };
        let path = [self.number, number as u64];
        first_map::first_map((x, y), self.problem.anchors, &params.unpaired, reference, &path, self.problem.observer)
    }

    fn start(
        &self,
        coordinates: &Coordinates<'_>,
        number: usize,
        first: Option<FirstMap>,
    ) -> Result<Start, AlignError> {
        let first = match first {
            Some(first) => first,
            None => self.first_map(coordinates, number)?,
        };
        let drawn = self.drawn(coordinates, self.sampled_items(coordinates)?, number as u64)?;
        let drawn = (&drawn.0, &drawn.1);
        let stage = self.stage(&format!("start {}", number + 1));
        let told = (stage.as_str(), self.problem.observer);
        let covariance = anneal(drawn, &first.covariance, ROUGH, coordinates.known.as_ref(), told)?;
        let report = StartReport {
            left_out: self.left_out,
            start: number + 1,
            centroid_alignment: first.alignment,
            restart_agreement: first.agreement,
            score: rotation_score(drawn, &covariance, JUDGED_AT)?,
        };
        Ok(Start { covariance, report })
    }

    /// Anneals the consensus of `starts`, or the best of them where that matches better: a group of starts that went wrong in
    /// the same way outvotes the one that did not.
    fn consensus(
        &self,
        coordinates: &Coordinates<'_>,
        starts: &[&Start],
        number: u64,
        stage: &str,
    ) -> Result<Found, AlignError> {
        let params = &self.problem.params.unpaired;
        let stage = self.stage(stage);
        let told = (stage.as_str(), self.problem.observer);
        let covariances: Vec<&Tensor> = starts.iter().map(|start| &start.covariance).collect();
        let mean = first_map::consensus_of(&covariances)?;
        let sample = self.drawn(coordinates, self.sampled_items(coordinates)?, 1_000 + number)?;
        let sample = (&sample.0, &sample.1);
        let mut best = anneal(sample, &mean, FINE, coordinates.known.as_ref(), told)?;
        let mut score = rotation_score(sample, &best, JUDGED_AT)?;
        for covariance in covariances {
            let alone = rotation_score(sample, covariance, JUDGED_AT)?;
            if alone > score {
                (best, score) = (covariance.clone(), alone);
            }
        }
        let drawn = self.drawn(coordinates, params.annealed_items, 2_000 + number)?;
        let drawn = (&drawn.0, &drawn.1);
        let covariance = anneal(drawn, &best, FINE, coordinates.known.as_ref(), told)?;
        let map = first_map::as_map(&covariance)?;
        // Among as many target items as the map has seen: with more to choose from, maps of the same worth agree less.
        let rivals = ReferenceItems { limit: params.annealed_items, ..self.problem.params.reference() };
        let probe = Probe::new(&map, (&coordinates.view.0, &coordinates.view.1), rivals)?;
        let score = rotation_score(drawn, &covariance, JUDGED_AT)?;
        Ok(Found { covariance, map, score, probe })
    }

    /// Items on which a start is annealed: at most three of four, because maps that fit what chance made of the same few items
    /// would agree.
    fn sampled_items(&self, coordinates: &Coordinates<'_>) -> Result<usize, AlignError> {
        let fewer = coordinates.x.dim(0)?.min(coordinates.y.dim(0)?);
        Ok(self.problem.params.unpaired.sampled_items.min(fewer - fewer / 4))
    }

    /// At most `limit` items of either side, in the search's dimension; all draws differ.
    fn drawn(&self, coordinates: &Coordinates<'_>, limit: usize, number: u64) -> Result<(Tensor, Tensor), AlignError> {
        let seed = rng::stream(self.problem.params.seed, &[DRAWN, self.number, number]).random();
        let items = ReferenceItems { limit, seed };
        let drawn = |side: &Tensor, stream: u64| -> candle_core::Result<Tensor> {
            rows(side, items.of(side.dim(0)?, stream).as_deref())
        };
        Ok((drawn(&coordinates.view.0, 0)?, drawn(&coordinates.view.1, 1)?))
    }

    fn stage(&self, what: &str) -> String {
        match self.left_out {
            None => what.to_owned(),
            Some(LeftOut { side, axis }) => format!("without axis {} of the {side}, {what}", axis + 1),
        }
    }
}

/// Whether two maps agree as far as is asked for.
pub(super) fn is_enough(params: &AlignParams, agreement: Agreement) -> bool {
    agreement.cosine >= params.unpaired.least_agreement
        && agreement.same_partners >= params.unpaired.least_same_partners
}

impl Problem<'_> {
    /// Whether two maps agree so far that further starts would say the same.
    pub(super) fn is_sure(&self, agreement: Agreement) -> candle_core::Result<bool> {
        let fewer = self.source.dim(0)?.min(self.target.dim(0)?);
        Ok(is_sure(self.params, agreement, fewer))
    }
}

/// As [`Problem::is_sure`], of sides of which the smaller has so many items.
///
/// Where draws hardly share an item, maps differ by what chance made of each, and the nearest partners with them. But what
/// they have in common chance did not make: wrong maps have a cosine of .4 at most.
fn is_sure(params: &AlignParams, agreement: Agreement, fewer: usize) -> bool {
    let UnpairedParams { annealed_items, sure_same_partners, .. } = params.unpaired;
    let is_fresh = fewer >= FRESH_DRAWS * annealed_items;
    let agrees = agreement.same_partners >= sure_same_partners;
    is_enough(params, agreement) && (agrees || is_fresh && agreement.cosine >= SURE_COSINE_OF_FRESH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_of_draws_that_share_no_item_agree_by_their_images() {
        let params = AlignParams::default();
        let many = FRESH_DRAWS * params.unpaired.annealed_items;
        let sure = |cosine, same_partners, items| is_sure(&params, Agreement { cosine, same_partners }, items);
        assert!(sure(0.9, 0.36, many) && !sure(0.9, 0.36, many - 1), "many items only");
        assert!(sure(0.7, 0.5, 4000) && sure(0.7, 0.5, many), "the same partners, at any size");
        assert!(!sure(0.7, 0.36, many) && !sure(0.9, 0.01, many) && !sure(0.5, 0.9, 4000));
    }
}
