//! Why an alignment was refused.

use crate::map::{DecompositionError, FitError};

/// Why an alignment was refused, or could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum AlignError {
    /// A shared space was asked for, but the two sides differ in dimension.
    #[error(
        "the source has {source_dimension} coordinates and the target {target_dimension}: no shared space\n\
         hint: give some known pairs and use mode = \"anchors\", or none and mode = \"unpaired\""
    )]
    NoSharedSpace {
        /// Coordinates of the source.
        source_dimension: usize,
        /// Coordinates of the target.
        target_dimension: usize,
    },
    /// Too few known pairs for a first map.
    #[error("{got} known pairs, expected at least {expected}")]
    TooFewAnchors {
        /// Known pairs given.
        got: usize,
        /// The least number.
        expected: usize,
    },
    /// A known pair names an item that does not exist.
    #[error("known pair {position} names {side} item {value}, expected an index below {limit}")]
    AnchorOutOfRange {
        /// Position in the list of known pairs.
        position: usize,
        /// `source` or `target`.
        side: &'static str,
        /// The index found.
        value: u32,
        /// Items on that side.
        limit: usize,
    },
    /// An item occurs in two known pairs.
    #[error("{side} item {value} occurs in two known pairs, at {first} and {second}")]
    RepeatedAnchor {
        /// `source` or `target`.
        side: &'static str,
        /// The index.
        value: u32,
        /// First position in the list of known pairs.
        first: usize,
        /// Second position.
        second: usize,
    },
    /// Embeddings that are empty or not finite.
    #[error(
        "the {side} embeddings have shape {shape:?} and a mean square of {mean_square}, expected rows of finite numbers that are not all zero"
    )]
    Embeddings {
        /// `source` or `target`.
        side: &'static str,
        /// Their shape.
        shape: Vec<usize>,
        /// Mean square of all their coordinates.
        mean_square: f64,
    },
    /// A parameter outside its range.
    #[error("alignment parameter `{name}` is {value}, expected {expected}")]
    Parameter {
        /// Name of the field.
        name: &'static str,
        /// The value found.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// The observer asked to stop.
    #[error("interrupted before the alignment was finished")]
    Interrupted,
    /// The solver refused a coupling.
    #[error(transparent)]
    Solver(hiref_core::Error),
    /// A map could not be fitted.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// Principal axes do not exist.
    #[error(transparent)]
    Decomposition(#[from] DecompositionError),
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

impl From<hiref_core::Error> for AlignError {
    /// A solver that was asked to stop refused nothing.
    fn from(error: hiref_core::Error) -> Self {
        match error {
            hiref_core::Error::Interrupted => Self::Interrupted,
            other => Self::Solver(other),
        }
    }
}
