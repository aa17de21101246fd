//! Normalisation of rows.

use super::{fused, parallel, with_values};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{D, DType, Result, Tensor};

/// Layer normalisation, or by the root mean square alone.
pub(in crate::encoder) struct Norm {
    weight: Tensor,
    bias: Option<Tensor>,
    epsilon: f64,
    centred: bool,
    /// What weights are counted from.
    origin: f64,
}

impl Norm {
    /// Layer normalisation: `weight` and, if there is one, `bias`.
    pub(in crate::encoder) fn layer(weights: &Weights, epsilon: f64) -> std::result::Result<Self, EncoderError> {
        Ok(Self { weight: weights.get("weight")?, bias: weights.maybe("bias")?, epsilon, centred: true, origin: 0.0 })
    }

    /// By the root mean square.
    pub(in crate::encoder) fn root_mean_square(
        weights: &Weights,
        epsilon: f64,
    ) -> std::result::Result<Self, EncoderError> {
        Ok(Self { weight: weights.get("weight")?, bias: None, epsilon, centred: false, origin: 0.0 })
    }

    /// By the root mean square, weights as their differences from one.
    pub(in crate::encoder) fn root_mean_square_from_one(
        weights: &Weights,
        epsilon: f64,
    ) -> std::result::Result<Self, EncoderError> {
        Ok(Self { origin: 1.0, ..Self::root_mean_square(weights, epsilon)? })
    }

    /// Normalises the last axis.
    pub(in crate::encoder) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let width = x.dim(D::Minus1)?;
        let bias = self.bias.as_ref();
        if !fused(&[x, &self.weight]) || bias.is_some_and(|bias| bias.track_op()) {
            return self.plain(x);
        }
        let weight: Vec<f32> = self.weight.to_vec1::<f32>()?.into_iter().map(|w| w + self.origin as f32).collect();
        let bias = bias.map(|bias| bias.to_vec1::<f32>()).transpose()?.unwrap_or_else(|| vec![0.0; width]);
        if weight.len() != width || bias.len() != width {
            candle_core::bail!("a normalisation of {} got rows of {width}", weight.len());
        }
        let mut out = vec![0f32; x.elem_count()];
        let contiguous = x.contiguous()?;
        with_values(&contiguous, |x| {
            parallel::rows(x, &mut out, width, |x, out| {
                let (weight, bias) = (&weight, &bias);
                pulp::Arch::new().dispatch(NormRows {
                    x,
                    out,
                    weight,
                    bias,
                    epsilon: self.epsilon,
                    centred: self.centred,
                });
            });
        })?;
        Tensor::from_vec(out, x.shape(), x.device())
    }

    fn plain(&self, x: &Tensor) -> Result<Tensor> {
        let kind = x.dtype();
        let y = x.to_dtype(DType::F32)?;
        let y = if self.centred { y.broadcast_sub(&y.mean_keepdim(D::Minus1)?)? } else { y };
        let deviation = (y.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?.sqrt()?;
        let weight = if self.origin == 0.0 { self.weight.clone() } else { (&self.weight + self.origin)? };
        let y = y.broadcast_div(&deviation)?.to_dtype(kind)?.broadcast_mul(&weight)?;
        self.bias.iter().try_fold(y, |y, bias| y.broadcast_add(bias))
    }
}

/// Rows brought to unit length, `(n, d)`.
pub(in crate::encoder) fn unit_rows(x: &Tensor) -> Result<Tensor> {
    if !fused(&[x]) {
        let x = x.to_dtype(DType::F32)?;
        // The smallest length keeps a vector of zeros what it is.
        let length = (x.sqr()?.sum_keepdim(D::Minus1)? + 1e-24)?.sqrt()?;
        return x.broadcast_div(&length);
    }
    let mut values = with_values(&x.contiguous()?, <[f32]>::to_vec)?;
    for row in values.chunks_exact_mut(x.dim(D::Minus1)?.max(1)) {
        let length = (sum(row, |x| x * x) + 1e-24).sqrt();
        row.iter_mut().for_each(|x| *x /= length);
    }
    Tensor::from_vec(values, x.shape(), x.device())
}

struct NormRows<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f64,
    centred: bool,
}

impl pulp::NullaryFnOnce for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let width = self.weight.len();
        for (x, out) in self.x.chunks_exact(width).zip(self.out.chunks_exact_mut(width)) {
            let mean = if self.centred { sum(x, |x| x) / width as f32 } else { 0.0 };
            let variance = sum(x, |x| (x - mean) * (x - mean)) / width as f32;
            let scale = (1.0 / (f64::from(variance) + self.epsilon).sqrt()) as f32;
            for (((out, &x), &weight), &bias) in out.iter_mut().zip(x).zip(self.weight).zip(self.bias) {
                *out = (x - mean) * scale * weight + bias;
            }
        }
    }
}

/// A sum in sixteen lanes, so that it vectorises.
#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; 16];
    let chunks = values.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|&x| of(x)).sum();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += of(x);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn fused_as_plain() {
        let tensor = |n: usize, shape: &[usize]| {
            let values: Vec<f32> = (0..n).map(|i| ((i * 37 + 11) % 101) as f32 / 17.0 - 2.0).collect();
            Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
        };
        for centred in [true, false] {
            let bias = centred.then(|| tensor(37, &[37]));
            let origin = if centred { 0.0 } else { 1.0 };
            let norm = Norm { weight: tensor(37, &[37]), bias, epsilon: 1e-5, centred, origin };
            let x = tensor(37 * 500, &[500, 37]);
            let worst =
                (norm.forward(&x).unwrap() - norm.plain(&x).unwrap()).unwrap().abs().unwrap().max_all().unwrap();
            assert!(worst.to_scalar::<f32>().unwrap() < 1e-5);
        }
    }
}
