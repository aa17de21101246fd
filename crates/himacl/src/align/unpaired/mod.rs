//! A map between two spaces of which no pair is known.

mod first_map;
mod k_means;
mod quadratic_assignment;

pub(crate) use k_means::k_means;

use super::axes::Axes;
use super::error::AlignError;
use super::joint::ReferenceItems;
use super::known_pairs::{FEWEST_ANCHORS, anchors_only, check_anchors};
use super::output::{Alignment, Ending};
use super::params::{Aligner, RefinementParams, UnpairedParams};
use super::refinement::{Refined, Sides, joint, refine_from, ridge_both_ways, select};
use super::report::{Agreement, AlignmentReport, StartReport, UnpairedReport};
use super::warm_coupling::WarmCoupler;
use crate::map::{Map, TwoWayMap, unit_rows};
use candle_core::Tensor;
use hiref_core::{Observer, Permutation, UNMATCHED, rng};
use rand::Rng;
use rayon::prelude::*;

/// Names the streams of the loop's own draws.
const RUN: u64 = 0x7275_6e73;

/// One start, refined.
struct RefinedStart {
    refined: Refined,
    coupling: Permutation,
    /// Fitted to the whole coupling.
    fitted: TwoWayMap,
    report: StartReport,
}

impl Aligner {
    /// Finds a map between two spaces without any known pair; `anchors` may name some, and then join the search.
    ///
    /// For each candidate setting and each start: both sides are reduced to their principal axes; many times over,
    /// k-means centroids of both sides are matched by the permutation of largest linear CKA; the cross-covariances of the
    /// matched centroids, weighted by their consensus, are the first map; then the loop of [`Aligner::anchors`] couples,
    /// believes a growing share of the surest pairs, and refits. Of the starts of one candidate, those are best whose
    /// pairing predicts itself best: the mean cosine of the matched pairs of one half of the items under the map fitted to
    /// the other half. The first candidate is kept whose two best starts agree as far as asked for; further ones are not
    /// tried. What its starts ended in is then averaged, by consensus again, to one more first map, from which the loop
    /// runs once more: wrong pairs of one start are not those of another. No true pair enters these choices.
    ///
    /// Two spaces whose geometries differ have no such map. [`UnpairedReport::agreement`] says so: independent starts then
    /// end in different maps. The last candidate is kept then, which should be the most cautious.
    ///
    /// *Shapes*: `source (n, d)`, `target (m, e)`, any float type. *Complexity*: for s starts in all and r rounds, (s + 1) r
    /// couplings of n with m items, and s · `restarts` clusterings of up to `reference_items` items.
    /// *Determinism*: same bits for the same seed, whatever the number of threads.
    ///
    /// References: \[RS26\] "Shared Geometry as a Rosetta Stone", arXiv 2610.09411, 2026 (centroids matched by linear CKA,
    /// averaged over restarts); \[ALA18\] (the loop, and that a falling share of the scores is left out at random; here it is
    /// coordinates). We differ in the weights by consensus, in the growing share of believed pairs under a one-to-one
    /// coupling, in the choice by agreement and cross-fitted cosine, in combining starts.
    ///
    /// # Errors
    /// Embeddings that are empty or not finite; known pairs that repeat or name no item; [`AlignError::Interrupted`] once
    /// the observer asks to stop.
    pub fn unpaired(
        &self,
        source: &Tensor,
        target: &Tensor,
        anchors: &[(u32, u32)],
        observer: &dyn Observer,
    ) -> Result<Alignment, AlignError> {
        let params = &self.params;
        let candidates = &params.unpaired.candidates;
        let axes = Axes::fit(candidates, params.seed, source, target)?;
        let (n, m) = (source.dim(0)?, target.dim(0)?);
        check_anchors(anchors, 0, n, m)?;
        if anchors.len() >= n.min(m) {
            // Nothing is left to be paired.
            return self.anchors(source, target, anchors, observer);
        }
        let coordinates = axes.coordinates(candidates, source, target)?;
        let search = Search { aligner: self, coordinates: &coordinates, anchors, observer };

        let UnpairedParams { least_agreement, least_same_partners, starts, .. } = params.unpaired;
        let (mut candidate, mut agreements, mut reports) = (0, Vec::new(), Vec::new());
        let (agreement, enough, mut runs) = loop {
            let one = |start: usize| search.start(candidate, start);
            // Side by side only where each run keeps little in memory; large ones use every core by themselves.
            let mut runs: Vec<RefinedStart> = if n.max(m) <= params.coupling.exact_limit {
                (0..starts).into_par_iter().map(one).collect::<Result<_, _>>()?
            } else {
                (0..starts).map(one).collect::<Result<_, _>>()?
            };
            reports.extend(runs.iter().map(|run| run.report.clone()));
            runs.sort_by(|a, b| b.report.matched_cosine.total_cmp(&a.report.matched_cosine));
            let agreement = search.agreement(candidate, &runs[0], &runs[1])?;
            agreements.push(agreement);
            let enough = agreement.cosine >= least_agreement && agreement.same_partners >= least_same_partners;
            if enough || candidate + 1 == candidates.len() {
                break (agreement, enough, runs);
            }
            candidate += 1;
        };
        let combined = search.combined(candidate, &runs)?;
        let combined_matched_cosine = combined.report.matched_cosine;
        let best = runs.swap_remove(0);
        let combined_kept = combined_matched_cosine >= best.report.matched_cosine;
        let RefinedStart { refined, coupling, .. } = if combined_kept { combined } else { best };
        let unpaired = UnpairedReport {
            agreement,
            shares_too_little: !enough,
            candidates: agreements,
            starts: reports,
            combined_matched_cosine,
            combined_kept,
        };
        let refinement = &candidates[candidate].refinement;
        let (x, y) = &coordinates[candidate];
        let (dimension, reference) = (refinement.last_dimension, params.reference());
        let ending = Ending { axes: &axes, sides: &Sides { x, y, anchors }, refinement, dimension, reference };
        let enough = anchors.len() >= FEWEST_ANCHORS;
        let baseline = enough.then(|| anchors_only(source, target, anchors, params.baseline_penalty)).transpose()?;
        let report = AlignmentReport {
            chosen: candidates[candidate].name.clone(),
            rounds: refined.rounds,
            unpaired: Some(unpaired),
            ..AlignmentReport::default()
        };
        ending.alignment(refined.map, |_| Ok(Some(coupling)), baseline, report)
    }
}

/// What all starts share.
struct Search<'a> {
    aligner: &'a Aligner,
    /// Both sides' whitened coordinates for each candidate.
    coordinates: &'a [(Tensor, Tensor)],
    anchors: &'a [(u32, u32)],
    observer: &'a dyn Observer,
}

impl Search<'_> {
    /// One start of a candidate.
    fn start(&self, candidate: usize, number: usize) -> Result<RefinedStart, AlignError> {
        let params = &self.aligner.params;
        let (sides, refinement) = self.candidate(candidate)?;
        let (x, y) = sides.view(refinement.first_dimension)?;
        let path = [candidate as u64, number as u64];
        let reference = params.reference();
        let start = first_map::first_map((&x, &y), self.anchors, &params.unpaired, reference, &path, self.observer)?;
        let mut run = self.run(candidate, number, start.map)?;
        run.report.centroid_alignment = start.alignment;
        run.report.restart_agreement = start.agreement;
        Ok(run)
    }

    /// One more run, from what all starts of a candidate ended in.
    fn combined(&self, candidate: usize, runs: &[RefinedStart]) -> Result<RefinedStart, AlignError> {
        let (sides, refinement) = self.candidate(candidate)?;
        let free = sides.free()?;
        let pairs = |run: &RefinedStart| run.coupling.pairs().map(|(i, j)| (free.x[i], free.y[j])).collect::<Vec<_>>();
        let pairs: Vec<Vec<(u32, u32)>> = runs.iter().map(pairs).collect();
        let (x, y) = sides.view(refinement.first_dimension)?;
        let weight = self.aligner.params.unpaired.anchor_weight;
        let map = first_map::combined((&x, &y), &pairs, self.anchors, weight)?;
        self.run(candidate, runs.len(), map)
    }

    fn candidate(&self, candidate: usize) -> Result<(Sides<'_>, RefinementParams), AlignError> {
        let (x, y) = &self.coordinates[candidate];
        let named = &self.aligner.params.unpaired.candidates[candidate];
        Ok((Sides { x, y, anchors: self.anchors }, self.worth_of_anchors(&named.refinement)?))
    }

    /// The loop from a first map, and how well what it finds predicts itself.
    fn run(&self, candidate: usize, number: usize, map: TwoWayMap) -> Result<RefinedStart, AlignError> {
        let params = &self.aligner.params;
        let (sides, refinement) = self.candidate(candidate)?;
        // Draws of its own for each run, so that runs err in different ways.
        let seed = rng::stream(params.seed, &[RUN, candidate as u64, number as u64]).random();
        let reference = ReferenceItems { limit: params.reference_items, seed };
        let mut coupler = WarmCoupler::new(&params.coupling, self.observer);
        let refined = refine_from(&sides, &refinement, map, refinement.rounds, reference, &mut coupler)?;
        let view = sides.view(refinement.last_dimension)?;
        let joint = joint(&refined.map, (&view.0, &view.1), &sides.free()?, reference)?;
        let coupling = coupler.couple(&joint)?;
        let (matched_cosine, fitted) = matched_cosine(&sides, &view, refinement.penalty, &coupling)?;
        let report = StartReport {
            candidate: params.unpaired.candidates[candidate].name.clone(),
            start: number + 1,
            centroid_alignment: 0.0,
            restart_agreement: 0.0,
            matched_cosine,
        };
        Ok(RefinedStart { refined, coupling, fitted, report })
    }

    /// The candidate with the share of the known pairs cut down to what so few are worth.
    fn worth_of_anchors(&self, refinement: &RefinementParams) -> Result<RefinementParams, AlignError> {
        let (x, y) = &self.coordinates[0];
        let worth = self.aligner.params.unpaired.anchor_worth * self.anchors.len() as f64;
        let coupled = x.dim(0)?.min(y.dim(0)?).saturating_sub(self.anchors.len()) as f64;
        let share = if worth > 0.0 { worth / (worth + coupled) } else { 0.0 };
        Ok(RefinementParams { anchor_share: refinement.anchor_share.min(share), ..refinement.clone() })
    }

    /// Of two runs of one candidate.
    fn agreement(
        &self,
        candidate: usize,
        first: &RefinedStart,
        second: &RefinedStart,
    ) -> Result<Agreement, AlignError> {
        let (x, y) = &self.coordinates[candidate];
        let last = self.aligner.params.unpaired.candidates[candidate].refinement.last_dimension;
        let (x, _) = Sides { x, y, anchors: self.anchors }.view(last)?;
        let image = |map: &Map| -> candle_core::Result<Tensor> { unit_rows(&map.apply(&x)?) };
        let cosines = (image(&first.fitted.forward)? * image(&second.fitted.forward)?)?.sum(1)?;
        let partners = first.coupling.y_of_x().iter().zip(second.coupling.y_of_x());
        let same = partners.filter(|(a, b)| a == b && **a != UNMATCHED).count();
        Ok(Agreement {
            cosine: f64::from(cosines.mean(0)?.to_scalar::<f32>()?),
            same_partners: same as f64 / first.coupling.num_pairs().max(1) as f64,
        })
    }
}

/// Mean score of the pairs of either half under the maps fitted to the other half, and the maps fitted to all.
fn matched_cosine(
    sides: &Sides<'_>,
    view: &(Tensor, Tensor),
    penalty: f64,
    coupling: &Permutation,
) -> Result<(f64, TwoWayMap), AlignError> {
    let free = sides.free()?;
    let part = |parity: Option<usize>| -> Result<(Tensor, Tensor), AlignError> {
        let pairs = coupling.pairs().enumerate().filter(|(at, _)| parity.is_none_or(|parity| at % 2 == parity));
        let (i, j): (Vec<u32>, Vec<u32>) = pairs.map(|(_, (i, j))| (free.x[i], free.y[j])).unzip();
        Ok((select(&view.0, &i)?, select(&view.1, &j)?))
    };
    let halves = [part(Some(0))?, part(Some(1))?];
    let mut total = 0.0;
    for (fitted, judged) in [(0, 1), (1, 0)] {
        let map = ridge_both_ways(&halves[fitted].0, &halves[fitted].1, None, penalty)?;
        let (x, y) = map.joint(&halves[judged].0, &halves[judged].1)?;
        total += 0.5 * f64::from((x * y)?.sum(1)?.mean(0)?.to_scalar::<f32>()?);
    }
    let all = part(None)?;
    Ok((total, ridge_both_ways(&all.0, &all.1, None, penalty)?))
}

#[cfg(test)]
mod tests;
