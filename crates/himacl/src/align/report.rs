//! How an alignment came about, as it is written beside its results.

use serde::{Deserialize, Serialize};

/// How an alignment came about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AlignmentReport {
    /// The chosen candidate, `anchors-only` where none was better, or `shared-space`.
    pub chosen: String,
    /// Dimensions of the prepared spaces.
    pub dimension: usize,
    /// What cross-validation said; empty where there was nothing to choose by.
    pub selection: Vec<SelectionReport>,
    /// The rounds of the final run.
    pub rounds: Vec<RoundReport>,
    /// What speaks for a pairing that was found without known pairs.
    #[serde(default)]
    pub unpaired: Option<UnpairedReport>,
}

/// One round of the loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundReport {
    /// Round, from 1.
    pub round: usize,
    /// Principal dimensions in which the round coupled.
    pub dimension: usize,
    /// Share of the coupled pairs that were believed.
    pub share: f64,
    /// Mean score of the coupled pairs, a mean of cosines; comparable only between rounds of one dimension.
    pub matched_score: f64,
    /// Share of the free source items that changed their partner; 1 in the first round.
    pub moved: f64,
    /// Wall time.
    pub seconds: f64,
}

/// What cross-validation says about one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelectionReport {
    /// The candidate's name.
    pub name: String,
    /// Folds on which it was tried: fewer than asked for where it fell far behind, or was far ahead of everything else.
    pub folds: usize,
    /// Mean over the hidden pairs, both directions and those folds of `ln(rank)`; lower is better.
    ///
    /// Ranks are among all items free in the fold, by the scaled score.
    pub mean_log_rank: f64,
    /// The same for the map from the fold's known pairs alone, in the candidate's first dimension.
    pub anchors_only_mean_log_rank: f64,
}

/// What speaks for a pairing that was found without known pairs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UnpairedReport {
    /// How far the two best starts of the chosen candidate agree, before they were combined.
    pub agreement: Agreement,
    /// Whether that is less than what was asked for: then the pairing is not to be trusted.
    pub shares_too_little: bool,
    /// The same of every candidate that was tried, in order: those after the first whose starts agree are not.
    pub candidates: Vec<Agreement>,
    /// Every start, in order.
    pub starts: Vec<StartReport>,
    /// The matched cosine of the run from the consensus of the chosen candidate's starts.
    pub combined_matched_cosine: f64,
    /// Whether that run was kept, because no single start has a higher one.
    pub combined_kept: bool,
}

/// How far the two best starts of one candidate agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Mean cosine between what both maps make of the source items: 1 where independent starts end in one map, near 0 where
    /// each ends in another.
    pub cosine: f64,
    /// Share of the source items to which both give the same partner.
    pub same_partners: f64,
}

/// One start of the search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartReport {
    /// The candidate's name.
    pub candidate: String,
    /// Start, from 1.
    pub start: usize,
    /// Largest linear CKA of the matched centroids.
    pub centroid_alignment: f64,
    /// Cosine between the first maps of the odd and of the even restarts.
    pub restart_agreement: f64,
    /// Mean cosine of the matched pairs of either half under the map fitted to the other half: higher is better, and
    /// what the starts of one candidate are chosen by.
    pub matched_cosine: f64,
}

impl UnpairedReport {
    /// What to tell the user, where the spaces share too little.
    pub fn warning(&self) -> Option<String> {
        self.shares_too_little.then(|| {
            format!(
                "the two spaces share too little for a pairing without known pairs: independent starts agree by {:.2} only, and give {:.1}% of the items the same partner; do not trust this pairing\nhint: give some known pairs (data.anchors), or embed with models that know more of each other",
                self.agreement.cosine,
                100.0 * self.agreement.same_partners
            )
        })
    }
}
