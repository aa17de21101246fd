//! Settings of the loop that grows a map.

use super::rule;
use crate::align::error::AlignError;
use crate::align::kernel::LEAST_WIDTH;
use serde::{Deserialize, Serialize};

/// One setting of the loop that grows a map from a few known pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefinementParams {
    /// Exponent of the partial whitening, in [0, 1]: 0 leaves the variances as they are, 1 makes them equal.
    pub whitening: f64,
    /// Width of a Gaussian kernel, in units of the cosine, whose features stand beside the whitened coordinates: maps are
    /// then linear and smooth functions of them side by side, as many dimensions each; 0 leaves maps linear.
    pub kernel_width: f64,
    /// Principal dimensions in the first round: few, so that few known pairs determine a map.
    pub first_dimension: usize,
    /// Principal dimensions after the last round; they grow geometrically in between.
    pub last_dimension: usize,
    /// Ridge penalty, relative to the mean square of the inputs' coordinates.
    pub penalty: f64,
    /// Rounds of coupling and refitting.
    pub rounds: usize,
    /// Share of the coupled pairs that the first round believes, the surest; it grows to `last_share`, linearly.
    pub first_share: f64,
    /// Share of the coupled pairs that the last round believes.
    pub last_share: f64,
    /// Share of the total weight that the known pairs keep; where nothing is coupled, more once they are many.
    pub anchor_share: f64,
    /// Neighbours on which a pair's confidence is measured.
    pub neighbours: usize,
    /// Candidates among which a target is softened.
    pub candidates: usize,
    /// Temperature of the softening, in units of the scaled score (a difference of mean cosines).
    pub temperature: f64,
    /// Weight of the density profiles in the first round's scores, beside a mean of cosines; it falls to 0, linearly, in
    /// the last.
    pub structure: f64,
    /// Share of the softened target; the coupled partner is the rest.
    pub softness: f64,
    /// Share of the joint coordinates that the first round's coupling leaves out, drawn anew each round; it falls to 0,
    /// linearly, in the last. Wrong pairs that confirm one another do not survive it.
    pub dropout: f64,
}

/// How they were chosen: `benchmarks/2026-11-22-alignment.md` and `benchmarks/2026-11-23-himacl.md`.
impl RefinementParams {
    /// For two views of the same thing, where the coupling soon finds many true pairs.
    pub fn sharp() -> Self {
        Self {
            whitening: 0.5,
            kernel_width: 0.0,
            first_dimension: 24,
            last_dimension: 256,
            penalty: 0.25,
            rounds: 16,
            first_share: 0.25,
            last_share: 1.0,
            anchor_share: 0.3,
            neighbours: 10,
            candidates: 100,
            temperature: 0.05,
            structure: 0.2,
            softness: 0.5,
            dropout: 0.8,
        }
    }

    /// For spaces that share only their coarse structure, as pictures and words do, where a coupling finds few true pairs.
    ///
    /// A single partner would be wrong nearly always, so each target is a mean of a hundred candidates and nothing is
    /// coupled until the end; its noise is small enough to fit maps in many dimensions from the start. Beside the linear
    /// maps there are maps of a kernel's features: what an item is near to carries over where its coordinates do not.
    pub fn diffuse() -> Self {
        Self {
            whitening: 0.2,
            kernel_width: 0.25,
            first_dimension: 256,
            last_dimension: 256,
            penalty: 0.5,
            rounds: 3,
            first_share: 1.0,
            last_share: 1.0,
            anchor_share: 0.5,
            neighbours: 10,
            candidates: 100,
            temperature: 0.1,
            structure: 0.0,
            softness: 1.0,
            dropout: 0.0,
        }
    }

    /// What follows a start without known pairs: from the map that was found to all pairs, in more dimensions.
    pub fn unpaired() -> Self {
        Self {
            first_dimension: 64,
            last_dimension: 256,
            rounds: 5,
            first_share: 0.6,
            candidates: 30,
            structure: 0.0,
            dropout: 0.0,
            ..Self::sharp()
        }
    }

    /// Whether anything that the loop does depends on a coupling.
    pub(crate) fn couples(&self) -> bool {
        self.softness < 1.0 || self.first_share < 1.0
    }

    pub(super) fn check(&self) -> Result<(), AlignError> {
        let share = "a share in [0, 1]";
        let positive = "a positive finite number";
        let unit = |value: f64| (0.0..=1.0).contains(&value);
        let above_zero = |value: f64| value > 0.0 && value.is_finite();
        rule(unit(self.whitening), "whitening", self.whitening, "an exponent in [0, 1]")?;
        let width = self.kernel_width;
        let wide = width == 0.0 || (width >= LEAST_WIDTH && width.is_finite());
        rule(wide, "kernel_width", width, "0, or a finite number of at least 0.001")?;
        rule(self.first_dimension >= 1, "first_dimension", self.first_dimension, "at least 1")?;
        let grows = self.last_dimension >= self.first_dimension;
        rule(grows, "last_dimension", self.last_dimension, "at least `first_dimension`")?;
        let whole = width == 0.0 || self.first_dimension == self.last_dimension;
        rule(whole, "first_dimension", self.first_dimension, "`last_dimension`, where there is a kernel")?;
        rule(above_zero(self.penalty), "penalty", self.penalty, positive)?;
        rule(self.rounds >= 1, "rounds", self.rounds, "at least 1")?;
        rule(unit(self.first_share), "first_share", self.first_share, share)?;
        let grows = self.last_share >= self.first_share && self.last_share <= 1.0;
        rule(grows, "last_share", self.last_share, "a share from `first_share` to 1")?;
        rule(
            unit(self.anchor_share) && self.anchor_share < 1.0,
            "anchor_share",
            self.anchor_share,
            "a share in [0, 1)",
        )?;
        rule(self.neighbours >= 1, "neighbours", self.neighbours, "at least 1")?;
        rule(self.candidates >= 1, "candidates", self.candidates, "at least 1")?;
        rule(above_zero(self.temperature), "temperature", self.temperature, positive)?;
        rule(
            self.structure >= 0.0 && self.structure.is_finite(),
            "structure",
            self.structure,
            "a finite number, at least 0",
        )?;
        rule(unit(self.softness), "softness", self.softness, share)?;
        rule(unit(self.dropout) && self.dropout < 1.0, "dropout", self.dropout, "a share in [0, 1)")
    }
}

impl Default for RefinementParams {
    fn default() -> Self {
        Self::sharp()
    }
}

/// A setting among which the known pairs choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Its name in reports.
    pub name: String,
    /// The setting.
    #[serde(default)]
    pub refinement: RefinementParams,
}
