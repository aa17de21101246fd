//! A map from a few known pairs and many unpaired items.

use super::confidence::{confidence, pair_scores};
use super::coupler::Coupler;
use super::error::AlignError;
use super::output::{Alignment, AlignmentReport};
use super::params::{Aligner, Candidate, RefinementParams};
use super::preparation::{Preparation, PreparedMap};
use super::principal_axes::PrincipalAxes;
use super::refinement::{Sides, joint, refine, ridge_both_ways, select};
use super::selection::{FEWEST_HIDDEN, SelectionReport, cross_validate, num_folds};
use candle_core::Tensor;
use hiref_core::Observer;

/// The least number of known pairs.
const FEWEST_ANCHORS: usize = 2;

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
        let reference = (params.reference_items, params.seed);
        let mut coupler = Coupler::new(&params.coupling, observer);
        let rounds = if fallback.is_some() { 0 } else { refinement.rounds };
        let refined = refine(&sides, refinement, rounds, reference, &mut coupler)?;
        let (map, dimension) = if fallback.is_some() {
            (refined.start, refinement.first_dimension)
        } else {
            (refined.map, refinement.last_dimension)
        };

        let view = sides.view(dimension)?;
        let joint = joint(&map, (&view.0, &view.1), &sides.free()?, reference)?;
        let (coupling, trust) = if joint.sides().0.dim(0)? == 0 || joint.sides().1.dim(0)? == 0 {
            (None, Vec::new())
        } else {
            let coupling = coupler.couple(&joint)?;
            let (x_means, y_means) = joint.neighbourhoods(refinement.neighbours)?;
            let trust = confidence(&pair_scores(&joint, &coupling)?, &coupling, &x_means, &y_means);
            (Some(coupling), trust)
        };
        let (source_preparation, target_preparation) = axes.preparations(dimension, refinement.whitening)?;
        Ok(Alignment {
            source: source_preparation,
            target: target_preparation,
            map,
            coupling,
            confidence: trust,
            anchors_only: Some(anchors_only(source, target, anchors, params.baseline_penalty)?),
            report: AlignmentReport {
                chosen: if fallback.is_some() {
                    "anchors-only".to_owned()
                } else {
                    params.candidates[chosen].name.clone()
                },
                dimension: view.0.dim(1)?,
                selection,
                rounds: refined.rounds,
                unpaired: None,
            },
        })
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

/// The principal axes of both sides, as many as the candidates need.
pub(super) struct Axes {
    source: PrincipalAxes,
    target: PrincipalAxes,
}

impl Axes {
    pub(super) fn fit(
        candidates: &[Candidate],
        seed: u64,
        source: &Tensor,
        target: &Tensor,
    ) -> Result<Self, AlignError> {
        let largest = candidates.iter().map(|candidate| candidate.refinement.last_dimension).max().unwrap_or(1);
        Ok(Self {
            source: PrincipalAxes::fit(source, largest, seed, "source")?,
            target: PrincipalAxes::fit(target, largest, seed, "target")?,
        })
    }

    /// What prepares both sides.
    pub(super) fn preparations(
        &self,
        dimension: usize,
        whitening: f64,
    ) -> candle_core::Result<(Preparation, Preparation)> {
        let source = Preparation::whitening(&self.source, dimension, whitening)?;
        Ok((source, Preparation::whitening(&self.target, dimension, whitening)?))
    }

    /// Both sides' whitened coordinates for each candidate.
    pub(super) fn coordinates(
        &self,
        candidates: &[Candidate],
        source: &Tensor,
        target: &Tensor,
    ) -> candle_core::Result<Vec<(Tensor, Tensor)>> {
        let of = |candidate: &Candidate| {
            let RefinementParams { last_dimension, whitening, .. } = candidate.refinement;
            let (x, y) = self.preparations(last_dimension, whitening)?;
            Ok((x.coordinates(source)?, y.coordinates(target)?))
        };
        candidates.iter().map(of).collect()
    }
}

/// Ridge maps both ways on the known pairs alone, on centred unit embeddings: what any alignment has to beat.
///
/// *Shapes*: `source (n, d)`, `target (m, e)`; all rows are used for the means. *Complexity*: O((n + m) (d + e)) and one
/// solve per direction.
///
/// # Errors
/// As [`Aligner::anchors`].
pub fn anchors_only(
    source: &Tensor,
    target: &Tensor,
    anchors: &[(u32, u32)],
    penalty: f64,
) -> Result<PreparedMap, AlignError> {
    let (x, y) = (Preparation::centring(source, "source")?, Preparation::centring(target, "target")?);
    check_anchors(anchors, FEWEST_ANCHORS, source.dim(0)?, target.dim(0)?)?;
    let (i, j): (Vec<u32>, Vec<u32>) = anchors.iter().copied().unzip();
    let map = ridge_both_ways(&x.apply(&select(source, &i)?)?, &y.apply(&select(target, &j)?)?, None, penalty)?;
    Ok(PreparedMap { source: x, target: y, map })
}

/// At least `fewest` known pairs, each of two items that exist and occur once.
pub(super) fn check_anchors(
    anchors: &[(u32, u32)],
    fewest: usize,
    num_source: usize,
    num_target: usize,
) -> Result<(), AlignError> {
    if anchors.len() < fewest {
        return Err(AlignError::TooFewAnchors { got: anchors.len(), expected: fewest });
    }
    let check = |side: &'static str, limit: usize, of: fn(&(u32, u32)) -> u32| {
        let mut seen = vec![None; limit];
        for (position, value) in anchors.iter().map(of).enumerate() {
            let slot =
                seen.get_mut(value as usize).ok_or(AlignError::AnchorOutOfRange { position, side, value, limit })?;
            if let Some(first) = slot.replace(position) {
                return Err(AlignError::RepeatedAnchor { side, value, first, second: position });
            }
        }
        Ok(())
    };
    check("source", num_source, |pair| pair.0)?;
    check("target", num_target, |pair| pair.1)
}

#[cfg(test)]
mod tests;
