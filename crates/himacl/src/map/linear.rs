//! Linear maps.

use candle_core::{Result, Tensor};

/// `T(x) = x W + b`.
#[derive(Debug, Clone)]
pub struct LinearMap {
    /// `(d, e)`.
    pub weight: Tensor,
    /// `(e,)`.
    pub bias: Tensor,
}

impl LinearMap {
    /// Maps the rows of `x`, `(n, d)`, to `(n, e)`.
    ///
    /// # Errors
    /// Rows of another dimension than d.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight)?.broadcast_add(&self.bias) // (n, e)
    }
}
