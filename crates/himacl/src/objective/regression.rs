//! Bring each mapped source to its partner.

use super::Batch;
use candle_core::{Result, Tensor};

/// `Σ w_i (λ (1 - cos(T(x_i), y_i)) + (1 - λ) |T(x_i) - y_i|²) / Σ w_i`.
#[derive(Debug, Clone, Copy)]
pub struct Regression {
    /// λ, the share of the cosine term, in [0, 1].
    pub cosine_share: f64,
}

impl Regression {
    /// The loss, a scalar; differentiable in both sides.
    ///
    /// # Errors
    /// Shapes that do not agree.
    pub fn loss(&self, batch: &Batch<'_>) -> Result<Tensor> {
        let Batch { predicted, target, weight } = *batch;
        himacl_nn::regression(predicted, target, weight, self.cosine_share)
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
