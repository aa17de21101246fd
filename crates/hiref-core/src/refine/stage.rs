//! Where a solve stands.

use super::pairing::Pairing;
use super::partition::Partition;
use crate::report::{LevelReport, PhaseSeconds, SweepReport};

/// What a solve has made so far, and so what comes next.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Nothing yet.
    Cold,
    /// Few points paired directly with many, optimal up to the rounding of a search in f32.
    Direct(Pairing),
    /// Both sides split into co-clusters, perhaps not down to the leaves yet.
    Split(Partition),
    /// A pairing of an earlier solve, to be judged.
    Warm(Pairing),
    /// A pairing to be polished from the start, whatever a trial would say of it.
    Given(Pairing),
    /// A pairing to be polished, perhaps not for the first time.
    Polish(Pairing, Origin),
}

/// Where the pairing that is polished comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was made here, from nothing.
    Here,
    /// An earlier solve made it.
    EarlierSolve,
}

/// What there is to report of a solve so far, and what its rules look back on.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// The y partner of each x index in a warm start that the first pairing is yet to be merged with.
    pub(crate) earlier: Option<Vec<u32>>,
    pub(crate) levels: Vec<LevelReport>,
    pub(crate) sweeps: Vec<SweepReport>,
    /// Mean costs before the first sweep and after each.
    pub(crate) costs: Vec<f64>,
    pub(crate) seconds: PhaseSeconds,
}
