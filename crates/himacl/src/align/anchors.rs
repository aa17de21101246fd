//! A map from a few known pairs and many unpaired items.

use super::axes::{Axes, Coordinates, Spaces};
use super::error::AlignError;
use super::known_pairs::{FEWEST_ANCHORS, anchors_only, check_anchors};
use super::output::{Alignment, Ending};
use super::params::{AlignParams, Aligner, Candidate};
use super::predicted::{coupled_by_pairs, predicted};
use super::refinement::{joint, refine};
use super::report::{AlignmentReport, SelectionReport};
use super::selection::{Contest, FEWEST_HIDDEN, num_folds};
use super::warm_coupling::{WarmCoupler, announce};
use candle_core::Tensor;
use hiref_core::Observer;

impl Aligner {
    /// Grows a map between two spaces from known pairs `anchors`, (source index, target index), and unpaired items.
    ///
    /// Each side is reduced to its principal axes, partly whitened, unit length. Ridge maps both ways start from the
    /// known pairs in a few dimensions. Each round then couples the free items one to one by the mean of both
    /// directions' cosines (an inner product of joint coordinates, so that the global solver does it at any size),
    /// believes the pairs that stand out most from their neighbourhoods, refits on them and on the known pairs, and
    /// looks at more dimensions. Which setting is used, or none, is chosen by cross-validation over the known pairs. Where
    /// the pairs follow from one another at the end, they are trusted as the known ones are: coupled once more, each by
    /// maps that have not seen it, and fitted to.
    ///
    /// *Shapes*: `source (n, d)`, `target (m, e)`, any float type. *Complexity*: for c candidates, f folds and r rounds
    /// at most (c f + 1) r + 2 couplings of n with m items in up to 512 coordinates, none of candidates whose targets are means
    /// alone but the last, and as many passes over (n + m) · `reference_items` scores. *Determinism*: same bits for the same seed, whatever the number of threads.
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
        let spaces = self.spaces(&axes, source, target)?;
        let coordinates = self.coordinates(&spaces, source, target)?;

        let selection = match num_folds(params, anchors.len()) {
            Some(folds) => {
                Contest { params, coordinates: &coordinates, anchors, observer }.cross_validate(folds, true)?
            }
            None => Vec::new(),
        };
        let couples: Vec<bool> = params.candidates.iter().map(|candidate| candidate.refinement.couples()).collect();
        let Chosen { candidate, by_known_alone } = chosen(&selection, &couples);
        let refinement = &params.candidates[candidate].refinement;
        let sides = coordinates[candidate].sides(anchors);
        let reference = params.reference();
        let mut coupler = WarmCoupler::new(&params.coupling, observer, "all known pairs");
        let rounds = if by_known_alone { 0 } else { refinement.rounds };
        announce(observer, rounds);
        let refined = refine(&sides, refinement, rounds, reference, &mut coupler)?;
        let (mut map, dimension) = if by_known_alone {
            (refined.start, refinement.first_dimension)
        } else {
            (refined.map, refinement.last_dimension)
        };
        let free = sides.free()?;
        let coupling = if free.x.is_empty() || free.y.is_empty() {
            None
        } else {
            let (x, y) = sides.view(dimension)?;
            let mut coupling = coupler.couple(&joint(&map, (&x, &y), &free, reference)?)?;
            if refinement.couples() && !by_known_alone {
                let pairs = free.pairs(&coupling);
                let predicted = predicted(&sides, (dimension, refinement.penalty), &pairs, reference)?;
                if predicted >= params.unpaired.least_predicted {
                    (coupling, map) = coupled_by_pairs(&sides, refinement, &pairs, reference, &mut coupler)?;
                }
            }
            Some(coupling)
        };

        let preparations = spaces[candidate].preparations(dimension)?;
        let ending = Ending { preparations, sides: &sides, refinement, dimension, reference };
        let baseline = anchors_only(source, target, anchors, params.baseline_penalty)?;
        let chosen = if by_known_alone { "anchors-only".to_owned() } else { params.candidates[candidate].name.clone() };
        let report = AlignmentReport { chosen, selection, rounds: refined.rounds, ..AlignmentReport::default() };
        ending.alignment(map, coupling, Some(baseline), report)
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
        let coordinates = self.coordinates(&self.spaces(&axes, source, target)?, source, target)?;
        Contest { params, coordinates: &coordinates, anchors, observer }.cross_validate(folds, false)
    }

    /// The spaces of every candidate.
    fn spaces(&self, axes: &Axes, source: &Tensor, target: &Tensor) -> Result<Vec<Spaces>, AlignError> {
        let AlignParams { candidates, seed, .. } = &self.params;
        let of = |candidate: &Candidate| Spaces::of(&candidate.refinement, axes, *seed, source, target);
        candidates.iter().map(of).collect()
    }

    /// Both sides in the space of every candidate.
    fn coordinates(
        &self,
        spaces: &[Spaces],
        source: &Tensor,
        target: &Tensor,
    ) -> candle_core::Result<Vec<Coordinates>> {
        let last = self.params.candidates.iter().map(|candidate| candidate.refinement.last_dimension);
        spaces.iter().zip(last).map(|(space, last)| space.coordinates(last, source, target)).collect()
    }
}

/// What the known pairs chose.
struct Chosen {
    candidate: usize,
    /// Whether the known pairs alone decide, because the loop surely ranks hidden pairs worse.
    by_known_alone: bool,
}

/// Of the candidates that are not surely behind the best one, the first that does not couple on the way, else the best; the
/// first of all where cross-validation said nothing. Hidden pairs are few: where they do not tell two candidates apart, what
/// costs least is taken. Those that were given up are no match.
fn chosen(selection: &[SelectionReport], couples: &[bool]) -> Chosen {
    let folds = selection.iter().map(|report| report.folds).max().unwrap_or(0);
    let open: Vec<usize> =
        (0..selection.len()).filter(|&at| selection[at].folds == folds && !selection[at].behind).collect();
    let best = |figure: fn(&SelectionReport) -> f64| {
        open.iter().copied().min_by(|&a, &b| figure(&selection[a]).total_cmp(&figure(&selection[b])))
    };
    let cheap = open.iter().copied().find(|&at| !couples[at]);
    let (Some(after), Some(before)) =
        (cheap.or_else(|| best(|report| report.mean_log_rank)), best(|report| report.anchors_only_mean_log_rank))
    else {
        return Chosen { candidate: 0, by_known_alone: false };
    };
    let by_known_alone = selection[after].anchors_only_ahead;
    Chosen { candidate: if by_known_alone { before } else { after }, by_known_alone }
}

#[cfg(test)]
mod tests;
