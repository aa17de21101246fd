//! What an alignment returns.

use super::preparation::{Preparation, PreparedMap};
use super::refinement::RoundReport;
use super::selection::SelectionReport;
use super::unpaired::UnpairedReport;
use crate::map::TwoWayMap;
use hiref_core::Permutation;
use serde::{Deserialize, Serialize};

/// A first map between two spaces and the coupling that it gives.
#[derive(Debug, Clone)]
pub struct Alignment {
    /// Prepares source embeddings.
    pub source: Preparation,
    /// Prepares target embeddings.
    pub target: Preparation,
    /// Linear maps between the prepared spaces, both ways.
    pub map: TwoWayMap,
    /// The free items, those that no known pair names, coupled one to one; counted by rising index on each side. None
    /// where a side has no free item.
    pub coupling: Option<Permutation>,
    /// How far each free source item's partner is to be trusted; only the order counts. See
    /// [`pair_confidence`](super::pair_confidence).
    pub confidence: Vec<f32>,
    /// The map on the known pairs alone, for comparison; none in a shared space or without known pairs.
    pub anchors_only: Option<PreparedMap>,
    /// How it came about.
    pub report: AlignmentReport,
}

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

impl Alignment {
    /// The map with what prepares each side.
    pub fn prepared_map(&self) -> PreparedMap {
        PreparedMap { source: self.source.clone(), target: self.target.clone(), map: self.map.clone() }
    }
}
