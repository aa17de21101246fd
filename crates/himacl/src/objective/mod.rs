//! What training minimises.

mod regression;

pub use regression::Regression;

use candle_core::{Result, Tensor};

/// The mapped sources of one batch beside their partners.
///
/// A batch is handed over whole, so that an objective may compare every row with every other (in-batch negatives), not
/// only each row with its partner.
#[derive(Debug)]
pub struct Batch<'a> {
    /// T(x), `(b, e)`, with gradients.
    pub predicted: &'a Tensor,
    /// The partners' embeddings, `(b, e)`.
    pub target: &'a Tensor,
    /// Confidence of each pair, `(b,)`, not negative, with a positive sum.
    pub weight: &'a Tensor,
}

/// A differentiable loss of a batch.
#[derive(Debug, Clone, Copy)]
pub enum Objective {
    /// Bring each T(x) to its partner.
    Regression(Regression),
}

impl Objective {
    /// The loss of the batch, a scalar.
    ///
    /// # Errors
    /// Shapes that do not agree.
    pub fn loss(&self, batch: &Batch<'_>) -> Result<Tensor> {
        match self {
            Self::Regression(objective) => objective.loss(batch),
        }
    }
}
