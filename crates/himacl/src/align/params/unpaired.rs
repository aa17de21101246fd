//! What can be set of an alignment without pairs.

use super::{Candidate, RefinementParams, rule};
use crate::align::error::AlignError;
use serde::{Deserialize, Serialize};

/// Parameters of [`Aligner::unpaired`](crate::align::Aligner::unpaired).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnpairedParams {
    /// Centroids of each side.
    pub centroids: usize,
    /// Times that both sides are clustered and matched for one start.
    pub restarts: usize,
    /// Starts of each quadratic assignment.
    pub matching_starts: usize,
    /// Most starts of each candidate, each from restarts of its own; they end when two agree surely.
    pub starts: usize,
    /// Items of a side that are clustered, drawn anew for each restart.
    pub clustered_items: usize,
    /// How many of the first principal axes of either side are tried left out, one at a time, where starts in all axes do
    /// not agree surely: an axis that the other side does not share, such as the length of texts, misleads every start.
    pub axes_left_out: usize,
    /// Principal dimensions of the last stage, on all items, once starts agree; it believes all pairs.
    pub final_dimension: usize,
    /// Rounds of the last stage.
    pub final_rounds: usize,
    /// Weight of the known pairs in the first map, where there are any, beside 1 for all restarts together.
    pub anchor_weight: f64,
    /// A known pair counts as this many believed ones when maps are refitted, up to the candidate's `anchor_share`.
    pub anchor_worth: f64,
    /// Mean cosine between the images that two starts give to an item, below which the spaces are said to share too little.
    pub least_agreement: f64,
    /// Share of the items to which two starts give the same nearest partner, below which the same is said.
    pub least_same_partners: f64,
    /// Share of the items to which two starts give the same nearest partner, from which on no further start is made.
    pub sure_same_partners: f64,
    /// The settings of the loop, the sharpest first, of which the first one is kept whose starts agree, else the last;
    /// `first_dimension` is that of the matching too.
    pub candidates: Vec<Candidate>,
}

impl Default for UnpairedParams {
    fn default() -> Self {
        let candidate = |name: &str, refinement| Candidate { name: name.to_owned(), refinement };
        Self {
            centroids: 25,
            restarts: 24,
            matching_starts: 8,
            starts: 5,
            clustered_items: 1536,
            axes_left_out: 3,
            final_dimension: 256,
            final_rounds: 5,
            anchor_weight: 0.5,
            anchor_worth: 10.0,
            least_agreement: 0.8,
            least_same_partners: 0.05,
            sure_same_partners: 0.5,
            candidates: vec![
                candidate("sharp", RefinementParams::unpaired_sharp()),
                candidate("cautious", RefinementParams::unpaired_cautious()),
            ],
        }
    }
}

impl UnpairedParams {
    pub(super) fn check(&self) -> Result<(), AlignError> {
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        rule(self.centroids >= 2, "centroids", self.centroids, "at least 2")?;
        rule(self.restarts >= 2, "restarts", self.restarts, "at least 2")?;
        rule(self.matching_starts >= 1, "matching_starts", self.matching_starts, "at least 1")?;
        rule(self.starts >= 2, "starts", self.starts, "at least 2, whose agreement is measured")?;
        rule(self.clustered_items >= self.centroids, "clustered_items", self.clustered_items, "at least `centroids`")?;
        rule(self.final_dimension >= 1, "final_dimension", self.final_dimension, "at least 1")?;
        rule(self.final_rounds >= 1, "final_rounds", self.final_rounds, "at least 1")?;
        let at_least = "a finite number, at least 0";
        rule(not_negative(self.anchor_weight), "anchor_weight", self.anchor_weight, at_least)?;
        rule(not_negative(self.anchor_worth), "anchor_worth", self.anchor_worth, at_least)?;
        let agreement = self.least_agreement;
        rule((-1.0..=1.0).contains(&agreement), "least_agreement", agreement, "a number in [-1, 1]")?;
        let same = self.least_same_partners;
        rule((0.0..=1.0).contains(&same), "least_same_partners", same, "a share in [0, 1]")?;
        let sure = self.sure_same_partners;
        rule((same..=1.0).contains(&sure), "sure_same_partners", sure, "a share from `least_same_partners` to 1")?;
        rule(!self.candidates.is_empty(), "unpaired.candidates", self.candidates.len(), "at least one")?;
        self.candidates.iter().try_for_each(|candidate| candidate.refinement.check())
    }
}
