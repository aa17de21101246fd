//! What encoders in training make of the dataset.

use crate::side::DataSide;
use candle_core::Tensor;

/// Embeddings of all rows by the encoders as trained so far, `(n, d)`; a side whose encoder is frozen has none.
#[derive(Debug, Clone, Default)]
pub struct Embedded {
    /// The source's.
    pub source: Option<Tensor>,
    /// The target's.
    pub target: Option<Tensor>,
}

impl Embedded {
    /// Those of a side.
    pub fn of(&self, side: DataSide) -> Option<&Tensor> {
        match side {
            DataSide::Source => self.source.as_ref(),
            DataSide::Target => self.target.as_ref(),
        }
    }
}
