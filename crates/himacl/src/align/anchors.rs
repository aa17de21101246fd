//! A map from a few known pairs and many unpaired items.

use super::axes::Axes;
use super::error::AlignError;
use super::joint::Joint;
use super::known_pairs::{FEWEST_ANCHORS, anchors_only, check_anchors};
use super::output::{Alignment, Ending};
use super::params::Aligner;
use super::refinement::{Sides, refine};
use super::report::{AlignmentReport, SelectionReport};
use super::selection::{FEWEST_HIDDEN, cross_validate, num_folds};
use super::warm_coupling::{WarmCoupler, announce};
use candle_core::Tensor;
use hiref_core::{Observer, Permutation};

impl Aligner {
    /// Grows a map between two spaces from known pairs `anchors`, (source index, target index), and unpaired items.
    ///
    /// Each side is reduced to its principal axes, partly whitened, unit length. Ridge maps both ways start from the
    /// known pairs in a few dimensions. Each round then couples the free items one to one by the mean of both
    /// directions' cosines (an inner product of joint coordinates, so that the global solver does it at any size),
    /// believes the pairs that stand out most from their neighbourhoods, refits on them and on the known pairs, and
    /// looks at more dimensions. Which setting is used, or none, is chosen by cross-validation over the known pairs.
    ///
    /// *Shapes*: `source (n, d)`, `target (m, e)`, any float type. *Complexity*: for c candidates, f folds and r rounds
    /// about (c f + 1) r couplings of n with m items in up to 512 coordinates, and as many passes over
    /// (n + m) · `reference_items` scores. *Determinism*: same bits for the same seed, whatever the number of threads.
    ///
    /// References: \[CSLS\] Conneau et al., "Word translation without parallel data", 2018; \[ALA18\] Artetxe, Labaka,
    /// Agirre, "A robust self-learning method for fully unsupervised cross-lingual mappings of word embeddings", 2018.
    /// We differ in the coupling, which is one to one and global, in the growing share of believed pairs and growing
    /// dimension, and in softened targets.
    ///
    /// # Errors
    /// Embeddings that are empty or not finite; fewer than two known pairs, or pairs that repeat or name no item;
    /// [`AlignError::Interrupted`] once the observer asks to stop.
    pub fn anchors(
        &self,
        source: &Tensor,
        target: &Tensor,
        anchors: &[(u32, u32)],
        observer: &dyn Observer,
    ) -> Result<Alignment, AlignError> {
        let params = &self.params;
        let axes = Axes::fit(&params.candidates, params.seed, source, target)?;
        check_anchors(anchors, FEWEST_ANCHORS, source.dim(0)?, target.dim(0)?)?;
        let coordinates = axes.coordinates(&params.candidates, source, target)?;

        let selection = match num_folds(params, anchors.len()) {
            Some(folds) => cross_validate(params, &coordinates, anchors, folds, true, observer)?,
            None => Vec::new(),
        };
        let best = (0..selection.len())
            .min_by(|&a, &b| selection[a].mean_log_rank.total_cmp(&selection[b].mean_log_rank))
            .unwrap_or(0);
        let best_start = (0..selection.len()).min_by(|&a, &b| {
            selection[a].anchors_only_mean_log_rank.total_cmp(&selection[b].anchors_only_mean_log_rank)
        });
        // The loop has to earn its place: where no setting beats the known pairs alone, they alone decide.
        let fallback =
            best_start.filter(|&start| selection[start].anchors_only_mean_log_rank <= selection[best].mean_log_rank);

        let chosen = fallback.unwrap_or(best);
        let refinement = &params.candidates[chosen].refinement;
        let (x, y) = &coordinates[chosen];
        let sides = Sides { x, y, anchors };
        let reference = params.reference();
        let mut coupler = WarmCoupler::new(&params.coupling, observer, "all known pairs");
        let rounds = if fallback.is_some() { 0 } else { refinement.rounds };
        announce(observer, rounds);
        let refined = refine(&sides, refinement, rounds, reference, &mut coupler)?;
        let (map, dimension) = if fallback.is_some() {
            (refined.start, refinement.first_dimension)
        } else {
            (refined.map, refinement.last_dimension)
        };

        let ending = Ending { axes: &axes, sides: &sides, refinement, dimension, reference };
        let couple = |joint: &Joint| -> Result<Option<Permutation>, AlignError> {
            let (x, y) = joint.sides();
            let nothing_left = x.dim(0)? == 0 || y.dim(0)? == 0;
            Ok(if nothing_left { None } else { Some(coupler.couple(joint)?) })
        };
        let baseline = anchors_only(source, target, anchors, params.baseline_penalty)?;
        let chosen =
            if fallback.is_some() { "anchors-only".to_owned() } else { params.candidates[chosen].name.clone() };
        let report = AlignmentReport { chosen, selection, rounds: refined.rounds, ..AlignmentReport::default() };
        ending.alignment(map, couple, Some(baseline), report)
    }

    /// Scores every candidate by hiding each fold of the known pairs in turn: what [`Aligner::anchors`] chooses by, but
    /// on every fold for every candidate.
    ///
    /// For choosing settings over several problems. Nothing of the pairing but `anchors` is used.
    ///
    /// *Shapes*: as [`Aligner::anchors`]. *Complexity*: for c candidates and f folds c f runs of the loop.
    /// *Determinism*: same bits for the same seed, whatever the number of threads.
    ///
    /// # Errors
    /// As [`Aligner::anchors`]; fewer than two folds, or than three known pairs a fold.
    pub fn cross_validate(
        &self,
        source: &Tensor,
        target: &Tensor,
        anchors: &[(u32, u32)],
        observer: &dyn Observer,
    ) -> Result<Vec<SelectionReport>, AlignError> {
        let params = &self.params;
        let axes = Axes::fit(&params.candidates, params.seed, source, target)?;
        check_anchors(anchors, FEWEST_ANCHORS, source.dim(0)?, target.dim(0)?)?;
        let folds = num_folds(params, anchors.len())
            .ok_or(AlignError::TooFewAnchors { got: anchors.len(), expected: 2 * FEWEST_HIDDEN })?;
        let coordinates = axes.coordinates(&params.candidates, source, target)?;
        cross_validate(params, &coordinates, anchors, folds, false, observer)
    }
}

#[cfg(test)]
mod tests;
