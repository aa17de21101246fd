//! Affine maps.

use super::parallel::rows_times;
use super::{Activation, fused, with_values};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{Result, Tensor};

/// `activation(x w + b + residual)`.
pub(in crate::encoder) struct Linear {
    weight: Tensor, // (inputs, outputs)
    bias: Option<Tensor>,
    scale: Option<Tensor>,
}

impl Linear {
    /// Reads `weight` `(outputs, inputs)` and, if there is one, `bias` `(outputs)`.
    pub(in crate::encoder) fn load(weights: &Weights) -> std::result::Result<Self, EncoderError> {
        Self::new(&weights.get("weight")?, weights.maybe("bias")?)
    }

    /// Part number `place` of `parts` layers that are stored as one: `weight` `(parts outputs, inputs)`, and `bias`.
    pub(in crate::encoder) fn part(
        weights: &Weights,
        (weight, bias): (&str, &str),
        place: usize,
        parts: usize,
    ) -> std::result::Result<Self, EncoderError> {
        let (weight, bias) = (weights.get(weight)?, weights.maybe(bias)?);
        let rows = weight.dim(0)? / parts;
        let bias = bias.map(|bias| bias.narrow(0, place * rows, rows)).transpose()?;
        Self::new(&weight.narrow(0, place * rows, rows)?, bias)
    }

    /// From a matrix `(outputs, inputs)` and a vector `(outputs)`.
    pub(in crate::encoder) fn new(weight: &Tensor, bias: Option<Tensor>) -> std::result::Result<Self, EncoderError> {
        let (outputs, _) = weight.dims2()?;
        if let Some(bias) = &bias {
            bias.reshape(outputs)?;
        }
        // The product reads columns; a variable must stay where it is, and is read as it lies.
        let weight = if weight.track_op() { weight.t()? } else { weight.t()?.contiguous()? };
        Ok(Self { weight, bias, scale: None })
    }

    /// With a bias that is stored elsewhere, `(outputs)`.
    pub(in crate::encoder) fn biased(self, bias: Tensor) -> Result<Self> {
        bias.reshape(self.outputs()?)?;
        Ok(Self { bias: Some(bias), ..self })
    }

    /// Multiplies each output by a number of its own, `(outputs)`.
    pub(in crate::encoder) fn scaled(self, scale: Tensor) -> Result<Self> {
        if scale.track_op() {
            return Ok(Self { scale: Some(scale), ..self });
        }
        let bias = self.bias.map(|bias| bias.mul(&scale)).transpose()?;
        Ok(Self { weight: self.weight.broadcast_mul(&scale)?, bias, scale: None })
    }

    pub(in crate::encoder) fn outputs(&self) -> Result<usize> {
        self.weight.dim(1)
    }

    /// `(rows, inputs)` to `(rows, outputs)`; `residual` `(rows, outputs)` is added before the activation.
    ///
    /// # Complexity
    /// O(rows inputs outputs).
    pub(in crate::encoder) fn forward(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        let tensors = [Some(x), Some(&self.weight), self.bias.as_ref(), self.scale.as_ref(), residual];
        if !fused(&tensors.into_iter().flatten().collect::<Vec<_>>()) {
            let y = match &self.bias {
                Some(bias) => himacl_nn::linear(x, &self.weight.contiguous()?, bias)?,
                None => x.matmul(&self.weight)?,
            };
            let y = self.scale.iter().try_fold(y, |y, scale| y.broadcast_mul(scale))?;
            return activation.forward(&residual.iter().try_fold(y, |y, residual| y + *residual)?);
        }
        let (rows, inputs) = x.dims2()?;
        let (expected, outputs) = self.weight.dims2()?;
        if inputs != expected {
            candle_core::bail!("a layer got rows of {inputs}, expected {expected}");
        }
        let bias = self.bias.as_ref().map(|bias| bias.to_vec1::<f32>()).transpose()?;
        let residual = residual.map(Tensor::contiguous).transpose()?;
        let mut out = vec![0f32; rows * outputs];
        let x = x.contiguous()?;
        let mut run = |x: &[f32], residual: Option<&[f32]>| {
            let prepare = |row: usize, out: &mut [f32]| {
                if let Some(residual) = residual {
                    out.copy_from_slice(&residual[row * outputs..][..out.len()]);
                    if let Some(bias) = &bias {
                        add_rows(out, bias);
                    }
                } else if let Some(bias) = &bias {
                    out.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias));
                }
            };
            with_values(&self.weight, |w| {
                rows_times(x, w, (inputs, outputs), &mut out, prepare, |out| activation.apply(out));
            })
        };
        with_values(&x, |x| match &residual {
            Some(residual) => with_values(residual, |residual| run(x, Some(residual)))?,
            None => run(x, None),
        })??;
        Tensor::from_vec(out, (rows, outputs), x.device())
    }
}

/// Adds a vector to every row.
pub(super) fn add_rows(rows: &mut [f32], vector: &[f32]) {
    rows.chunks_exact_mut(vector.len()).for_each(|row| row.iter_mut().zip(vector).for_each(|(x, b)| *x += b));
}
