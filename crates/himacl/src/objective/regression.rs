//! Bring each mapped source to its partner.

use super::Batch;
use candle_core::{D, Result, Tensor};

/// Keeps the cosine of a zero vector finite.
const NORM_EPSILON: f64 = 1e-12;

/// `Σ w_i (λ (1 - cos(T(x_i), y_i)) + (1 - λ) |T(x_i) - y_i|²) / Σ w_i`.
#[derive(Debug, Clone, Copy)]
pub struct Regression {
    /// λ, the share of the cosine term, in [0, 1].
    pub cosine_share: f64,
}

impl Regression {
    /// The loss, a scalar; differentiable in `predicted`.
    ///
    /// # Errors
    /// Shapes that do not agree.
    pub fn loss(&self, batch: &Batch<'_>) -> Result<Tensor> {
        let Batch { predicted, target, weight } = *batch;
        let squared = (predicted - target)?.sqr()?.sum(D::Minus1)?; // (b,)
        let inner = (predicted * target)?.sum(D::Minus1)?; // (b,)
        let norms = (predicted.sqr()?.sum(D::Minus1)? * target.sqr()?.sum(D::Minus1)?)?; // (b,)
        let cosine = (inner / (norms + NORM_EPSILON)?.sqrt()?)?; // (b,)
        let cosine_term = cosine.affine(-self.cosine_share, self.cosine_share)?; // (b,)
        let each = (cosine_term + (squared * (1.0 - self.cosine_share))?)?; // (b,)
        (each * weight)?.sum_all()? / weight.sum_all()?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_weighted_mix_by_hand() {
        let tensor = |values: &[[f32; 2]]| {
            Tensor::from_iter(values.iter().flatten().copied(), &Device::Cpu)
                .and_then(|flat| flat.reshape((values.len(), 2)))
                .unwrap()
        };
        let weight = Tensor::new(&[3f32, 1.0], &Device::Cpu).unwrap();
        let predicted = tensor(&[[1.0, 0.0], [0.0, 2.0]]);
        let target = tensor(&[[0.0, 1.0], [0.0, 1.0]]);
        let loss = |cosine_share| {
            let batch = Batch { predicted: &predicted, target: &target, weight: &weight };
            Regression { cosine_share }.loss(&batch).unwrap().to_scalar::<f32>().unwrap()
        };
        // Squared distances 2 and 1, cosines 0 and 1.
        assert_eq!(loss(0.0), (3.0 * 2.0 + 1.0) / 4.0);
        assert_eq!(loss(1.0), 3.0 / 4.0);
        assert!((loss(0.5) - 0.5 * (loss(0.0) + loss(1.0))).abs() < 1e-6);
    }
}
