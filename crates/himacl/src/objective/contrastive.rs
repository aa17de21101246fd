//! Tell each mapped source's partner from every other target of the batch.

use super::Batch;
use crate::map::unit_rows;
use candle_core::{D, DType, Result, Tensor};

/// Which contrastive loss.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContrastiveKind {
    /// The softmax over the batch, both ways, as CLIP has it.
    #[default]
    InfoNce,
    /// A yes or no for every pair of the batch.
    SigLip,
}

/// A contrastive loss on `l_ij = scale · cos(T(x_i), y_j) + bias`, with the pairs of the batch as positives.
///
/// `InfoNCE`: `-Σ w_i (log softmax_j(l_ij)_i + log softmax_j(l_ji)_i) / (2 Σ w_i)`; the bias has no effect.
/// `SigLIP`: `Σ_i w_i Σ_j softplus(∓ l_ij) / Σ w_i`, with the minus sign for the partner.
///
/// References: \[OLV18\] van den Oord et al., "Representation learning with contrastive predictive coding", 2018;
/// \[ZMKB23\] Zhai et al., "Sigmoid loss for language image pre-training", ICCV 2023.
#[derive(Debug, Clone, Copy)]
pub struct Contrastive {
    /// Softmax or sigmoid.
    pub kind: ContrastiveKind,
    /// Inverse temperature.
    pub scale: f64,
    /// Added to every logit (`SigLIP`).
    pub bias: f64,
}

impl Contrastive {
    /// The loss, a scalar; differentiable in `predicted`. O(b² e) for a batch of b.
    ///
    /// # Errors
    /// Shapes that do not agree.
    pub fn loss(&self, batch: &Batch<'_>) -> Result<Tensor> {
        let Batch { predicted, target, weight } = *batch;
        let cosines = unit_rows(predicted)?.matmul(&unit_rows(target)?.t()?)?; // (b, b)
        let logits = cosines.affine(self.scale, self.bias)?;
        let size = logits.dim(0)?;
        let partner = Tensor::eye(size, DType::F32, logits.device())?; // (b, b)
        let each = match self.kind {
            ContrastiveKind::InfoNce => {
                let own = (&logits * &partner)?.sum(D::Minus1)?; // (b,)
                let forward = (log_sum_exp(&logits)? - &own)?;
                let backward = (log_sum_exp(&logits.t()?.contiguous()?)? - own)?;
                ((forward + backward)? * 0.5)?
            }
            ContrastiveKind::SigLip => {
                // -1 for the partner, 1 for the others.
                let sign = partner.affine(-2.0, 1.0)?;
                softplus(&(logits * sign)?)?.sum(D::Minus1)?
            }
        };
        (each * weight)?.sum_all()? / weight.sum_all()?
    }
}

/// `log Σ_j exp(l_ij)`, `(b,)`, from basic operations, so that it is differentiable; the shift has no gradient, it cancels.
pub(super) fn log_sum_exp(logits: &Tensor) -> Result<Tensor> {
    let shift = logits.max_keepdim(D::Minus1)?.detach(); // (b, 1)
    logits.broadcast_sub(&shift)?.exp()?.sum(D::Minus1)?.log()? + shift.squeeze(D::Minus1)?
}

/// `log(1 + exp v)` without overflow.
fn softplus(values: &Tensor) -> Result<Tensor> {
    values.relu()? + (values.abs()?.neg()?.exp()? + 1.0)?.log()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn loss(kind: ContrastiveKind, bias: f64) -> f64 {
        let tensor = |values: &[[f32; 2]; 2]| Tensor::new(values, &Device::Cpu).unwrap();
        let (predicted, target) = (tensor(&[[2.0, 0.0], [0.0, 3.0]]), tensor(&[[1.0, 0.0], [0.6, 0.8]]));
        let weight = Tensor::new(&[3f32, 1.0], &Device::Cpu).unwrap();
        let batch = Batch { predicted: &predicted, target: &target, weight: &weight };
        let loss = Contrastive { kind, scale: 2.0, bias }.loss(&batch).unwrap();
        f64::from(loss.to_scalar::<f32>().unwrap())
    }

    #[test]
    fn info_nce_by_hand() {
        // Logits (2, 1.2) and (0, 1.6).
        let term = |own: f64, other: f64| (own.exp() + other.exp()).ln() - own;
        let first = 0.5 * (term(2.0, 1.2) + term(2.0, 0.0));
        let second = 0.5 * (term(1.6, 0.0) + term(1.6, 1.2));
        let expected = (3.0 * first + second) / 4.0;
        assert!((loss(ContrastiveKind::InfoNce, 0.0) - expected).abs() < 1e-6);
        assert!((loss(ContrastiveKind::InfoNce, -5.0) - expected).abs() < 1e-5);
    }

    #[test]
    fn sig_lip_by_hand() {
        let softplus = |value: f64| value.exp().ln_1p();
        let first = softplus(-(2.0 - 1.0)) + softplus(1.2 - 1.0);
        let second = softplus(0.0 - 1.0) + softplus(-(1.6 - 1.0));
        assert!((loss(ContrastiveKind::SigLip, -1.0) - (3.0 * first + second) / 4.0).abs() < 1e-6);
    }

    #[test]
    fn large_logits_stay_finite() {
        let values = softplus(&Tensor::new(&[-200f32, 0.0, 200.0], &Device::Cpu).unwrap()).unwrap();
        let values = values.to_vec1::<f32>().unwrap();
        assert!(values[0].abs() < 1e-6 && (values[1] - 2f32.ln()).abs() < 1e-6 && values[2] == 200.0);
    }
}
