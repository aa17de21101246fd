//! What can be set of an alignment without pairs.

use super::{RefinementParams, rule};
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
    /// Items of a side that are clustered, drawn anew for each restart.
    pub clustered_items: usize,
    /// Starts of a group, whose consensus is annealed together.
    pub starts: usize,
    /// The most groups of starts in one set of axes; they end when two agree surely.
    pub groups: usize,
    /// Items of a side on which each start is annealed, drawn anew for each.
    pub sampled_items: usize,
    /// Items of a side on which the consensus of several starts is annealed.
    pub annealed_items: usize,
    /// How many of the first principal axes of either side are tried left out, one at a time, where starts in all axes do
    /// not agree surely: an axis that the other side does not share, such as the length of texts, misleads every start.
    pub axes_left_out: usize,
    /// Weight of the known pairs in the first map, where there are any, beside 1 for all restarts together.
    pub anchor_weight: f64,
    /// A known pair counts as this many believed ones when maps are refitted, up to the setting's `anchor_share`.
    pub anchor_worth: f64,
    /// Mean cosine between the images that two groups of starts give to an item, below which the spaces are said to
    /// share too little.
    pub least_agreement: f64,
    /// Share of the items to which both give the same nearest partner, below which the same is said.
    pub least_same_partners: f64,
    /// The same share, from which on no further start is made.
    pub sure_same_partners: f64,
    /// Share of the pairs that must predict themselves for the pairing to be trusted: in the verdict, and as targets of the map
    /// as they are, also of an alignment by known pairs.
    pub least_predicted: f64,
    /// The last stage, which couples all items; the search looks at its `first_dimension` principal axes.
    pub refinement: RefinementParams,
}

impl Default for UnpairedParams {
    fn default() -> Self {
        Self {
            centroids: 25,
            restarts: 12,
            matching_starts: 4,
            clustered_items: 4096,
            starts: 3,
            groups: 4,
            sampled_items: 1536,
            annealed_items: 4096,
            axes_left_out: 3,
            anchor_weight: 0.5,
            anchor_worth: 10.0,
            least_agreement: 0.6,
            least_same_partners: 0.05,
            sure_same_partners: 0.5,
            least_predicted: 0.5,
            refinement: RefinementParams::unpaired(),
        }
    }
}

impl UnpairedParams {
    pub(super) fn check(&self) -> Result<(), AlignError> {
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        let clustered = "at least `centroids`";
        rule(self.centroids >= 2, "centroids", self.centroids, "at least 2")?;
        rule(self.restarts >= 2, "restarts", self.restarts, "at least 2")?;
        rule(self.matching_starts >= 1, "matching_starts", self.matching_starts, "at least 1")?;
        rule(self.clustered_items >= self.centroids, "clustered_items", self.clustered_items, clustered)?;
        rule(self.starts >= 1, "starts", self.starts, "at least 1")?;
        rule(self.groups >= 2, "groups", self.groups, "at least 2, whose agreement is measured")?;
        rule(self.sampled_items >= 2, "sampled_items", self.sampled_items, "at least 2")?;
        rule(self.annealed_items >= 2, "annealed_items", self.annealed_items, "at least 2")?;
        let at_least = "a finite number, at least 0";
        rule(not_negative(self.anchor_weight), "anchor_weight", self.anchor_weight, at_least)?;
        rule(not_negative(self.anchor_worth), "anchor_worth", self.anchor_worth, at_least)?;
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let unit = "a number from 0 to 1";
        rule(share(self.least_agreement), "least_agreement", self.least_agreement, unit)?;
        rule(share(self.least_same_partners), "least_same_partners", self.least_same_partners, unit)?;
        rule(share(self.sure_same_partners), "sure_same_partners", self.sure_same_partners, unit)?;
        rule(share(self.least_predicted), "least_predicted", self.least_predicted, unit)?;
        let kernel_width = self.refinement.kernel_width;
        rule(kernel_width == 0.0, "kernel_width", kernel_width, "0 without known pairs, where maps are linear")?;
        self.refinement.check()
    }
}
