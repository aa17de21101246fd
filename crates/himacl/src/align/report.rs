//! How an alignment came about, as it is written beside its results.

use crate::side::DataSide;
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
    /// Mean score of the coupled pairs, or of each item with its nearest where nothing is coupled: a mean of cosines;
    /// comparable only between rounds of one dimension.
    pub matched_score: f64,
    /// Share of the free source items that changed their partner, coupled or nearest; 1 in the first round.
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
    /// Whether it is surely behind the best candidate: by more than two standard errors, on the pairs that both ranked.
    #[serde(default)]
    pub behind: bool,
    /// Whether the known pairs alone are surely ahead of the loop.
    #[serde(default)]
    pub anchors_only_ahead: bool,
    /// Share of the hidden pairs, both directions, that came first by the better of the two.
    #[serde(default)]
    pub hidden_first: f64,
}

/// What speaks for a pairing that was found without known pairs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UnpairedReport {
    /// How far another group of starts agrees with the one that matches best, on a sample of the items.
    pub agreement: Agreement,
    /// Share of the pairs that predict themselves: whose partners are the nearest under the map that is fitted to the pairs
    /// of the other half of the items; in the coupling by the map of the rounds, before the last one.
    #[serde(default)]
    pub predicted: f64,
    /// Whether that is less than what was asked for: then the map is not to be trusted.
    pub shares_too_little: bool,
    /// What the agreement says of map and pairing.
    pub verdict: Verdict,
    /// Known pairs that joined.
    #[serde(default)]
    pub known_pairs: usize,
    /// The principal axis that the search left out, if that made starts agree.
    pub left_out: Option<LeftOut>,
    /// Every search that was made, in order: in all axes, or without one.
    pub searches: Vec<SearchReport>,
    /// Every start, in order.
    pub starts: Vec<StartReport>,
    /// The run from the consensus of starts, where these did not agree surely.
    pub combined: Option<CombinedReport>,
    /// Mean cosine of the pairs under the map that is fitted to the pairs of the other half of the items, in the dimensions of
    /// the last stage.
    pub matched_cosine: f64,
}

/// A principal axis left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Of which side.
    pub side: DataSide,
    /// Which one, from 0, by falling variance.
    pub axis: usize,
}

/// How far two starts agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Mean cosine between what both maps make of the source items: 1 where independent starts end in one map, near 0 where
    /// each ends in another.
    pub cosine: f64,
    /// Share of the source items for which both have the same nearest target item.
    pub same_partners: f64,
}

/// What one search came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchReport {
    /// The axis left out.
    pub left_out: Option<LeftOut>,
    /// Starts made.
    pub starts: usize,
    /// Of another group of its starts with the best one.
    pub agreement: Agreement,
    /// Of the best group, as of a start.
    pub score: f64,
}

/// One start of the search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartReport {
    /// The axis left out.
    pub left_out: Option<LeftOut>,
    /// Start, from 1.
    pub start: usize,
    /// Largest linear CKA of the matched centroids.
    pub centroid_alignment: f64,
    /// Cosine between the first maps of the odd and of the even restarts.
    pub restart_agreement: f64,
    /// The largest mean inner product of softly matched items that a rotation near its map reaches: higher is better.
    pub score: f64,
}

/// The consensus of all starts, where no two groups agreed surely.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CombinedReport {
    /// As of a start.
    pub score: f64,
    /// With the best group.
    pub agreement: Agreement,
    /// Whether it was kept, because no group matches better.
    pub kept: bool,
}

/// What a pairing that was found without known pairs is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Independent starts end in different maps: neither map nor pairing is to be trusted.
    #[default]
    Nothing,
    /// They end in one map, but most pairs do not follow from the others: the map brings an item near its partner.
    Map,
    /// They end in one map, and most pairs follow from the others.
    Pairing,
}

/// From so many known pairs on, some can be hidden to choose a setting by.
const FEWEST_TO_CHOOSE_BY: usize = 6;
/// Share of the hidden known pairs that must come first for single pairs to be trusted.
const LEAST_FIRST: f64 = 0.2;

impl AlignmentReport {
    /// What to tell the user where the pairing, or the map too, is not to be trusted.
    pub fn warning(&self) -> Option<String> {
        match &self.unpaired {
            Some(unpaired) => unpaired.warning(),
            None => self.warning_of_hidden_pairs(),
        }
    }

    /// By the known pairs that were hidden to choose a setting, if there were enough to hide some.
    fn warning_of_hidden_pairs(&self) -> Option<String> {
        let better = |report: &SelectionReport| report.mean_log_rank.min(report.anchors_only_mean_log_rank);
        let best = self.selection.iter().min_by(|a, b| better(a).total_cmp(&better(b)))?;
        (best.hidden_first < LEAST_FIRST).then(|| {
            format!(
                "of the known pairs that were hidden, {:.0}% came first and the others near (rank {:.0} in the geometric mean): the map may be used, single pairs are not to be trusted\nhint: give more known pairs (data.anchors), or embed with models that know more of each other",
                100.0 * best.hidden_first,
                better(best).exp()
            )
        })
    }
}

impl UnpairedReport {
    /// What to tell the user, where not all is to be trusted.
    fn warning(&self) -> Option<String> {
        let Agreement { cosine, same_partners } = self.agreement;
        let hint = match self.known_pairs {
            0 => "hint: give some known pairs (data.anchors), or embed with models that know more of each other",
            1..FEWEST_TO_CHOOSE_BY => {
                "hint: give more known pairs (data.anchors), or embed with models that know more of each other"
            }
            _ => {
                "hint: with so many known pairs try mode = \"anchors\", give more of them (data.anchors), or embed with models that know more of each other"
            }
        };
        let agree = format!(
            "independent starts agree by {cosine:.2}, and give {:.1}% of the items the same partner",
            100.0 * same_partners
        );
        let predict = format!("{:.1}% of the pairs follow from the others", 100.0 * self.predicted);
        match self.verdict {
            Verdict::Pairing => None,
            Verdict::Map => {
                Some(format!("the map may be used, single pairs are not to be trusted: {agree}, but {predict}\n{hint}"))
            }
            Verdict::Nothing => Some(format!(
                "the two spaces share too little for a pairing without known pairs: {agree}; do not trust this pairing\n{hint}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_its_warning() {
        let warning = |verdict| {
            let unpaired = Some(UnpairedReport { verdict, ..UnpairedReport::default() });
            AlignmentReport { unpaired, ..AlignmentReport::default() }.warning()
        };
        assert!(warning(Verdict::Nothing).unwrap().contains("share too little"));
        assert!(warning(Verdict::Map).unwrap().contains("the map may be used"));
        assert_eq!(warning(Verdict::Pairing), None);
        for (known_pairs, hint) in
            [(0, "hint: give some known pairs"), (5, "hint: give more known"), (50, "try mode = \"anchors\"")]
        {
            let unpaired = Some(UnpairedReport { known_pairs, verdict: Verdict::Map, ..UnpairedReport::default() });
            let warning = AlignmentReport { unpaired, ..AlignmentReport::default() }.warning().unwrap();
            assert!(warning.contains(hint), "{known_pairs}: {warning}");
        }
        let known = |hidden_first: f64| {
            let of = SelectionReport {
                name: String::new(),
                folds: 4,
                mean_log_rank: 3.0,
                anchors_only_mean_log_rank: 4.0,
                behind: false,
                anchors_only_ahead: false,
                hidden_first,
            };
            AlignmentReport { selection: vec![of], ..AlignmentReport::default() }.warning()
        };
        assert!(known(0.25).is_none());
        let warning = known(0.125).unwrap();
        assert!(warning.contains("12% came first") && warning.contains("rank 20"), "{warning}");
        assert_eq!(AlignmentReport::default().warning(), None);
    }
}
