//! Convolutions of pictures `(n, height, width, channels)`.

use super::linear::add_rows;
use super::parallel::block_times;
use super::{Activation, fused, with_values};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// Places of a task: their patches stay in the cache.
const PLACES: usize = 384;

/// What is around a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::encoder) enum Padding {
    /// So many zeros on each side.
    Even(usize),
    /// TensorFlow's: the output has `ceil(size / stride)` places, and what is odd goes behind.
    Same,
}

/// Sizes along one axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) size: usize,
    pub(super) before: usize,
    after: usize,
    pub(super) out: usize,
}

pub(super) fn axis(size: usize, kernel: usize, stride: usize, padding: Padding) -> Result<Axis> {
    let (before, after) = match padding {
        Padding::Even(zeros) => (zeros, zeros),
        Padding::Same => {
            let all = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
            (all / 2, all - all / 2)
        }
    };
    if size + before + after < kernel {
        candle_core::bail!("a picture of {size} is smaller than a filter of {kernel}");
    }
    Ok(Axis { size, before, after, out: (size + before + after - kernel) / stride + 1 })
}

/// Batch normalisation with fixed statistics as factors and summands, `(channels)` each.
pub(in crate::encoder) fn scale_and_shift(
    normalisation: &Weights,
    epsilon: f64,
) -> std::result::Result<(Tensor, Tensor), EncoderError> {
    let deviation = (normalisation.constant("running_var")? + epsilon)?.sqrt()?;
    let scale = (normalisation.get("weight")? / deviation)?;
    let shift = (normalisation.get("bias")? - (normalisation.constant("running_mean")? * &scale)?)?;
    Ok((scale, shift))
}

/// A convolution's filter and bias, and the batch normalisation behind it, by the statistics that it was trained with.
#[derive(Clone)]
pub(in crate::encoder) struct Filter {
    weight: Tensor, // (outputs, inputs, kernel, kernel)
    bias: Option<Tensor>,
    norm: Option<BatchNorm>,
}

#[derive(Clone)]
struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    deviation: Tensor,
}

impl Filter {
    pub(in crate::encoder) fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias, norm: None }
    }

    /// Reads a convolution and the normalisation behind it.
    pub(in crate::encoder) fn normalised(
        convolution: &Weights,
        normalisation: &Weights,
        epsilon: f64,
    ) -> std::result::Result<Self, EncoderError> {
        let norm = BatchNorm {
            weight: normalisation.get("weight")?,
            bias: normalisation.get("bias")?,
            mean: normalisation.constant("running_mean")?,
            deviation: (normalisation.constant("running_var")? + epsilon)?.sqrt()?,
        };
        Self { weight: convolution.get("weight")?, bias: convolution.maybe("bias")?, norm: Some(norm) }.settled()
    }

    /// One weight and one bias, unless they are to be differentiated: variables change, and are read whenever the layer
    /// runs.
    fn settled(self) -> std::result::Result<Self, EncoderError> {
        let norm = self.norm.iter().flat_map(|norm| [&norm.weight, &norm.bias]);
        if norm.chain([&self.weight]).chain(&self.bias).any(Tensor::track_op) {
            return Ok(self);
        }
        let (weight, bias) = self.folded()?;
        Ok(Self::new(weight, bias))
    }

    /// The weight, where it stays as it is.
    pub(super) fn settled_weight(&self) -> Option<&Tensor> {
        self.norm.is_none().then_some(&self.weight)
    }

    pub(in crate::encoder) fn weight(&self) -> &Tensor {
        &self.weight
    }

    pub(in crate::encoder) fn outputs(&self) -> Result<usize> {
        self.weight.dim(0)
    }

    pub(in crate::encoder) fn kernel(&self) -> Result<usize> {
        self.weight.dim(2)
    }

    /// The weight `(outputs, inputs, kernel, kernel)` and bias of convolution and normalisation as one, connected to the
    /// variables.
    pub(in crate::encoder) fn folded(&self) -> Result<(Tensor, Option<Tensor>)> {
        let Some(norm) = &self.norm else { return Ok((self.weight.clone(), self.bias.clone())) };
        let scale = (&norm.weight / &norm.deviation)?;
        let mean = match &self.bias {
            Some(bias) => (&norm.mean - bias)?,
            None => norm.mean.clone(),
        };
        let bias = (&norm.bias - (mean * &scale)?)?;
        let outputs = self.weight.dim(0)?;
        Ok((self.weight.broadcast_mul(&scale.reshape((outputs, 1, 1, 1))?)?, Some(bias)))
    }
}

/// A convolution of all channels.
pub(in crate::encoder) struct Convolution {
    filter: Filter,
    /// `(kernel kernel inputs, outputs)`, for the fused form.
    matrix: Option<Tensor>,
    stride: usize,
    padding: Padding,
    activation: Activation,
}

impl Convolution {
    pub(in crate::encoder) fn new(
        filter: Filter,
        stride: usize,
        padding: Padding,
        activation: Activation,
    ) -> Result<Self> {
        let (outputs, inputs, kernel, _) = filter.weight.dims4()?;
        let matrix = filter
            .settled_weight()
            .filter(|weight| fused(&[*weight]))
            .map(|weight| weight.permute((2, 3, 1, 0))?.reshape((kernel * kernel * inputs, outputs))?.contiguous());
        Ok(Self { matrix: matrix.transpose()?, filter, stride, padding, activation })
    }

    pub(in crate::encoder) fn outputs(&self) -> Result<usize> {
        self.filter.outputs()
    }

    pub(in crate::encoder) fn stride(&self) -> usize {
        self.stride
    }

    /// `(n, h, w, inputs)` to `(n, h', w', outputs)`; `residual`, of the result's shape, is added before the activation.
    ///
    /// # Complexity
    /// O(n h' w' kernel^2 inputs outputs).
    pub(in crate::encoder) fn forward(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let (n, height, width, inputs) = x.dims4()?;
        let (outputs, expected, kernel, _) = self.filter.weight.dims4()?;
        if inputs != expected {
            candle_core::bail!("a convolution got {inputs} channels, expected {expected}");
        }
        let vertical = axis(height, kernel, self.stride, self.padding)?;
        let horizontal = axis(width, kernel, self.stride, self.padding)?;
        let tensors = [Some(x), self.filter.bias.as_ref(), residual];
        let Some(matrix) = self.matrix.as_ref().filter(|_| fused(&tensors.into_iter().flatten().collect::<Vec<_>>()))
        else {
            let (weight, bias) = self.filter.folded()?;
            let y = plain(x, (&weight, bias.as_ref()), self.stride, (vertical, horizontal), 1)?;
            return self.activation.forward(&residual.iter().try_fold(y, |y, residual| y + *residual)?);
        };
        let (x, residual) = (x.contiguous()?, residual.map(Tensor::contiguous).transpose()?);
        let bias = self.filter.bias.as_ref().map(|bias| bias.to_vec1::<f32>()).transpose()?;
        let mut out = match &residual {
            Some(residual) => with_values(residual, <[f32]>::to_vec)?,
            None => vec![0f32; n * vertical.out * horizontal.out * outputs],
        };
        let places = vertical.out * horizontal.out;
        let patches = Patches { kernel, stride: self.stride, channels: inputs, vertical, horizontal };
        with_values(matrix, |matrix| {
            with_values(&x, |x| {
                let pictures = out.par_chunks_mut(places * outputs).zip(x.par_chunks(height * width * inputs));
                pictures.for_each(|(out, picture)| {
                    out.par_chunks_mut(PLACES * outputs).enumerate().for_each_init(Vec::new, |patch, (block, out)| {
                        if let Some(bias) = &bias {
                            add_rows(out, bias);
                        }
                        let count = out.len() / outputs;
                        let size = (kernel * kernel * inputs, outputs);
                        if kernel == 1 && self.stride == 1 {
                            block_times(&picture[block * PLACES * inputs..][..count * inputs], matrix, size, out);
                        } else {
                            patches.write(picture, block * PLACES, count, patch);
                            block_times(patch, matrix, size, out);
                        }
                        self.activation.apply(out);
                    });
                });
            })
        })??;
        Tensor::from_vec(out, (n, vertical.out, horizontal.out, outputs), x.device())
    }
}

/// How patches lie in a picture.
#[derive(Clone, Copy)]
pub(super) struct Patches {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) channels: usize,
    pub(super) vertical: Axis,
    pub(super) horizontal: Axis,
}

impl Patches {
    /// The pixels under the filter at `count` places from `first`, `(count, kernel kernel channels)`.
    fn write(self, picture: &[f32], first: usize, count: usize, into: &mut Vec<f32>) {
        into.clear();
        for place in first..first + count {
            let (row, column) = (place / self.horizontal.out * self.stride, place % self.horizontal.out * self.stride);
            for y in row..row + self.kernel {
                let Some(y) = y.checked_sub(self.vertical.before).filter(|&y| y < self.vertical.size) else {
                    into.resize(into.len() + self.kernel * self.channels, 0.0);
                    continue;
                };
                let (start, end) = (column, column + self.kernel);
                let from = start.max(self.horizontal.before) - self.horizontal.before;
                let to = end.saturating_sub(self.horizontal.before).min(self.horizontal.size).max(from);
                let before = self.horizontal.before.saturating_sub(start).min(self.kernel);
                into.resize(into.len() + before * self.channels, 0.0);
                let line = y * self.horizontal.size;
                into.extend_from_slice(&picture[(line + from) * self.channels..(line + to) * self.channels]);
                into.resize(into.len() + (self.kernel - before - (to - from)) * self.channels, 0.0);
            }
        }
    }
}

/// The plain form: a product where patches do not overlap, else Candle's convolution with the axes as it wants them.
pub(super) fn plain(
    x: &Tensor,
    (weight, bias): (&Tensor, Option<&Tensor>),
    stride: usize,
    (vertical, horizontal): (Axis, Axis),
    groups: usize,
) -> Result<Tensor> {
    let (outputs, _, kernel, _) = weight.dims4()?;
    let (n, height, width, inputs) = x.dims4()?;
    let whole = |axis: Axis| axis.before + axis.after == 0 && axis.size == axis.out * kernel;
    if groups == 1 && stride == kernel && whole(vertical) && whole(horizontal) {
        let (lines, columns) = (height / kernel, width / kernel);
        let x = x.reshape((n, lines, kernel, columns, kernel * inputs))?.transpose(2, 3)?;
        let x = x.reshape((n * lines * columns, kernel * kernel * inputs))?;
        let matrix = weight.permute((2, 3, 1, 0))?.reshape((kernel * kernel * inputs, outputs))?.contiguous()?;
        let y = match bias {
            Some(bias) => himacl_nn::linear(&x, &matrix, bias)?,
            None => x.matmul(&matrix)?,
        };
        return y.reshape((n, lines, columns, outputs));
    }
    let y = candle(x, weight, stride, (vertical, horizontal), groups)?;
    bias.iter().try_fold(y, |y, bias| y.broadcast_add(bias))
}

fn candle(
    x: &Tensor,
    weight: &Tensor,
    stride: usize,
    (vertical, horizontal): (Axis, Axis),
    groups: usize,
) -> Result<Tensor> {
    let x = x.permute((0, 3, 1, 2))?.contiguous()?;
    let x = x.pad_with_zeros(2, vertical.before, vertical.after)?;
    let x = x.pad_with_zeros(3, horizontal.before, horizontal.after)?;
    x.conv2d(weight, 0, stride, 1, groups)?.permute((0, 2, 3, 1))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use candle_core::Device;

    /// Sizes, filters, strides and padding.
    pub(in crate::encoder::nn) const CASES: [(usize, usize, usize, Padding); 8] = [
        (23, 3, 2, Padding::Same),
        (24, 3, 2, Padding::Same),
        (23, 5, 1, Padding::Even(2)),
        (9, 7, 2, Padding::Even(3)),
        (24, 1, 1, Padding::Even(0)),
        (24, 1, 2, Padding::Even(0)),
        (24, 4, 4, Padding::Even(0)),
        (2, 7, 1, Padding::Even(3)),
    ];

    pub(in crate::encoder::nn) fn tensor(shape: &[usize], seed: usize) -> Tensor {
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|i| ((i * 7919 + seed * 31) % 997) as f32 / 500.0 - 1.0).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    pub(in crate::encoder::nn) fn close(a: &Tensor, b: &Tensor) {
        assert_eq!(a.dims(), b.dims());
        let worst = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst < 2e-4, "{worst}");
    }

    #[test]
    fn fused_and_plain_as_candle() {
        for (size, kernel, stride, padding) in CASES {
            // Pictures need not be square; those in whole patches are.
            let width = if kernel == 4 { size } else { size + 1 };
            let x = tensor(&[2, size, width, 37], 1);
            let axes = [size, width].map(|size| axis(size, kernel, stride, padding).unwrap());
            let axes = (axes[0], axes[1]);
            let (weight, bias) = (tensor(&[19, 37, kernel, kernel], 2), tensor(&[19], 3));
            let expected = candle(&x, &weight, stride, axes, 1).unwrap();
            close(&plain(&x, (&weight, None), stride, axes, 1).unwrap(), &expected);
            let expected = expected.broadcast_add(&bias).unwrap();
            close(&plain(&x, (&weight, Some(&bias)), stride, axes, 1).unwrap(), &expected);
            let residual = tensor(expected.dims(), 4);
            let expected = (expected + &residual).unwrap().relu().unwrap();
            let filter = Filter::new(weight, Some(bias));
            let convolution = Convolution::new(filter, stride, padding, Activation::Relu).unwrap();
            close(&convolution.forward(&x, Some(&residual)).unwrap(), &expected);
        }
    }
}
