//! A map between two spaces of which no pair is known.

mod agreement;
mod annealing;
mod choice;
mod first_map;
mod k_means;
mod last_stage;
mod quadratic_assignment;
mod search;

pub(crate) use k_means::k_means;

use super::axes::Axes;
use super::error::AlignError;
use super::known_pairs::{FEWEST_ANCHORS, anchors_only, check_anchors};
use super::output::{Alignment, Ending};
use super::params::Aligner;
use super::refinement::Sides;
use super::report::{AlignmentReport, UnpairedReport, Verdict};
use candle_core::Tensor;
use choice::{Searched, searched};
use hiref_core::Observer;
use last_stage::{LastStage, last_stage};
use search::{Problem, is_enough};

impl Aligner {
    /// Finds a map between two spaces without any known pair; `anchors` may name some, and then join the search.
    ///
    /// Both sides are reduced to their principal axes. For each start, k-means centroids of both sides are matched many
    /// times by the permutation of largest linear CKA; the cross-covariances of the matched centroids, weighted by their
    /// consensus, are a first map; a soft matching of samples of both sides and the map are then found in turns while the
    /// matching sharpens. A few starts have a consensus, which is annealed again on more items; where two groups of starts
    /// agree, that is the map. Where they do not, more starts are made, also with one of the first axes of either side left
    /// out: first of all without the axis in whose absence centroids match best. The last stage couples all items one to one, and refits in
    /// more dimensions. No true pair enters these choices.
    ///
    /// Two spaces whose geometries differ have no such map. [`UnpairedReport::agreement`] says so: groups of starts then end in
    /// different maps. [`UnpairedReport::predicted`] says whether the pairing is to be trusted beside the map.
    ///
    /// *Shapes*: `source (n, d)`, `target (m, e)`, any float type. *Complexity*: for s starts s · `restarts` clusterings of
    /// up to `clustered_items` items, some 20 s passes over `sampled_items`² and 50 over `annealed_items`² scores, and
    /// `refinement.rounds` + 2 couplings of n with m items.
    /// *Determinism*: same bits for the same seed, whatever the number of threads.
    ///
    /// References: \[RS26\] "Shared Geometry as a Rosetta Stone", arXiv 2610.09411, 2026 (centroids matched by linear CKA,
    /// averaged over restarts); \[GJB19\] Grave, Joulin, Berthet, "Unsupervised Alignment of Embeddings with Wasserstein
    /// Procrustes", AISTATS 2019 (matching and map in turns). We differ in the consensus of restarts and starts, in the
    /// annealed entropic matching, of which the map is the whole cross-covariance, not a rotation, and in the choice by
    /// agreement.
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
        let refinement = &params.unpaired.refinement;
        let axes = Axes::leading(refinement.last_dimension, params.seed, source, target)?;
        let (n, m) = (source.dim(0)?, target.dim(0)?);
        check_anchors(anchors, 0, n, m)?;
        if anchors.len() >= n.min(m) {
            // Nothing is left to be paired.
            return self.anchors(source, target, anchors, observer);
        }
        let problem = Problem { params, axes: &axes, source, target, anchors, observer };
        let Searched { left_out, coordinates, found, agreement, searches, starts, combined } = searched(problem)?;
        let enough = is_enough(params, agreement);
        // What all starts came to together agrees with the best of them too easily to be sure.
        let sure = combined.is_none() && problem.is_sure(agreement)?;
        let (x, y) = axes.whitened(refinement.last_dimension, refinement.whitening, source, target)?;
        let sides = Sides { x: &x, y: &y, views: None, anchors };
        let ended = last_stage(&problem, &sides, LastStage { found, coordinates, left_out, sure })?;
        let unpaired = UnpairedReport {
            agreement,
            predicted: ended.predicted,
            shares_too_little: !enough,
            verdict: match (enough, ended.predicted >= params.unpaired.least_predicted) {
                (false, _) => Verdict::Nothing,
                (true, false) => Verdict::Map,
                (true, true) => Verdict::Pairing,
            },
            known_pairs: anchors.len(),
            left_out,
            searches,
            starts,
            combined,
            matched_cosine: ended.matched_cosine,
        };
        let ending = Ending {
            preparations: axes.preparations(ended.dimension, refinement.whitening)?,
            sides: &sides,
            refinement,
            dimension: ended.dimension,
            reference: params.reference(),
        };
        let some = anchors.len() >= FEWEST_ANCHORS;
        let baseline = some.then(|| anchors_only(source, target, anchors, params.baseline_penalty)).transpose()?;
        let report = AlignmentReport {
            chosen: "unpaired".to_owned(),
            rounds: ended.rounds,
            unpaired: Some(unpaired),
            ..AlignmentReport::default()
        };
        ending.alignment(ended.map, Some(ended.coupling), baseline, report)
    }
}

#[cfg(test)]
mod tests;
