//! What an alignment returns.

use super::confidence::confidence_of;
use super::error::AlignError;
use super::joint::ReferenceItems;
use super::params::RefinementParams;
use super::preparation::{Preparation, PreparedMap};
use super::refinement::{Sides, joint};
use super::report::AlignmentReport;
use crate::map::TwoWayMap;
use hiref_core::Permutation;

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

/// What an alignment by principal axes ends with.
pub(super) struct Ending<'a> {
    /// What prepares both sides, up to `dimension`.
    pub(super) preparations: (Preparation, Preparation),
    pub(super) sides: &'a Sides<'a>,
    pub(super) refinement: &'a RefinementParams,
    /// Principal dimensions between which the map lies.
    pub(super) dimension: usize,
    pub(super) reference: ReferenceItems,
}

impl Ending<'_> {
    /// The alignment by a map and a coupling of the free items: what prepares both sides, and how far the pairs are to be trusted.
    pub(super) fn alignment(
        self,
        map: TwoWayMap,
        coupling: Option<Permutation>,
        anchors_only: Option<PreparedMap>,
        report: AlignmentReport,
    ) -> Result<Alignment, AlignError> {
        let Self { preparations: (source, target), sides, refinement, dimension, reference } = self;
        let (x, y) = sides.view(dimension)?;
        let joint = joint(&map, (&x, &y), &sides.free()?, reference)?;
        let confidence = match &coupling {
            Some(coupling) => confidence_of(&joint, coupling, refinement.neighbours)?,
            None => Vec::new(),
        };
        let report = AlignmentReport { dimension: x.dim(1)?, ..report };
        Ok(Alignment { source, target, map, coupling, confidence, anchors_only, report })
    }
}

impl Alignment {
    /// The map with what prepares each side.
    pub fn prepared_map(&self) -> PreparedMap {
        PreparedMap { source: self.source.clone(), target: self.target.clone(), map: self.map.clone() }
    }
}
