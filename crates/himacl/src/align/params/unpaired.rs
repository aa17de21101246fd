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
    /// Starts of each candidate, each from restarts of its own.
    pub starts: usize,
    /// Weight of the known pairs in the first map, where there are any, beside 1 for all restarts together.
    pub anchor_weight: f64,
    /// A known pair counts as this many believed ones when maps are refitted, up to the candidate's `anchor_share`.
    pub anchor_worth: f64,
    /// Mean cosine between the images that two starts give to an item, below which the spaces are said to share too little.
    pub least_agreement: f64,
    /// Share of the items to which two starts give the same partner, below which the same is said.
    pub least_same_partners: f64,
    /// The settings of the loop, the sharpest first, of which the first one is kept whose starts agree, else the last;
    /// `first_dimension` is that of the matching too.
    pub candidates: Vec<Candidate>,
}

impl Default for UnpairedParams {
    fn default() -> Self {
        let candidate = |name: &str, refinement| Candidate { name: name.to_owned(), refinement };
        Self {
            centroids: 25,
            restarts: 40,
            matching_starts: 12,
            starts: 5,
            anchor_weight: 0.5,
            anchor_worth: 10.0,
            least_agreement: 0.8,
            least_same_partners: 0.05,
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
        let at_least = "a finite number, at least 0";
        rule(not_negative(self.anchor_weight), "anchor_weight", self.anchor_weight, at_least)?;
        rule(not_negative(self.anchor_worth), "anchor_worth", self.anchor_worth, at_least)?;
        let agreement = self.least_agreement;
        rule((-1.0..=1.0).contains(&agreement), "least_agreement", agreement, "a number in [-1, 1]")?;
        let same = self.least_same_partners;
        rule((0.0..=1.0).contains(&same), "least_same_partners", same, "a share in [0, 1]")?;
        rule(!self.candidates.is_empty(), "unpaired.candidates", self.candidates.len(), "at least one")?;
        self.candidates.iter().try_for_each(|candidate| candidate.refinement.check())
    }
}
