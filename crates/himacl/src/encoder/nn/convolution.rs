//! Convolutions of pictures `(n, height, width, channels)`.

use super::linear::add_rows;
use super::parallel::block_times;
use super::{Activation, fused, with_values};
use crate::encoder::error::EncoderError;
use crate::encoder::weights::Weights;
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// Places of a task: their patches stay in the cache.
const PLACES: usize = 384;
/// Channels that a task of a depthwise convolution keeps in registers.
const LANES: usize = 32;

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
struct Axis {
    size: usize,
    before: usize,
    after: usize,
    out: usize,
}

fn axis(size: usize, kernel: usize, stride: usize, padding: Padding) -> Result<Axis> {
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

/// A convolution's weight `(outputs, inputs, kernel, kernel)` and bias with the batch normalisation behind it.
///
/// Of variables, the result stays connected to them, with the statistics as they are.
pub(in crate::encoder) fn fold(
    convolution: &Weights,
    normalisation: &Weights,
    epsilon: f64,
) -> std::result::Result<(Tensor, Tensor), EncoderError> {
    let weight = convolution.get("weight")?;
    let outputs = weight.dim(0)?;
    let (scale, shift) = scale_and_shift(normalisation, epsilon)?;
    let bias = match convolution.maybe("bias")? {
        Some(bias) => (shift + (bias * &scale)?)?,
        None => shift,
    };
    Ok((weight.broadcast_mul(&scale.reshape((outputs, 1, 1, 1))?)?, bias))
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

/// A convolution of all channels.
pub(in crate::encoder) struct Convolution {
    weight: Tensor, // (outputs, inputs, kernel, kernel)
    matrix: Tensor, // (kernel kernel inputs, outputs)
    bias: Option<Tensor>,
    stride: usize,
    padding: Padding,
    activation: Activation,
}

impl Convolution {
    pub(in crate::encoder) fn new(
        weight: Tensor,
        bias: Option<Tensor>,
        stride: usize,
        padding: Padding,
        activation: Activation,
    ) -> Result<Self> {
        let (outputs, inputs, kernel, _) = weight.dims4()?;
        let matrix = weight.permute((2, 3, 1, 0))?.reshape((kernel * kernel * inputs, outputs))?.contiguous()?;
        Ok(Self { weight, matrix, bias, stride, padding, activation })
    }

    pub(in crate::encoder) fn outputs(&self) -> Result<usize> {
        self.weight.dim(0)
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
        let (outputs, expected, kernel, _) = self.weight.dims4()?;
        if inputs != expected {
            candle_core::bail!("a convolution got {inputs} channels, expected {expected}");
        }
        let vertical = axis(height, kernel, self.stride, self.padding)?;
        let horizontal = axis(width, kernel, self.stride, self.padding)?;
        let tensors = [Some(x), Some(&self.weight), self.bias.as_ref(), residual];
        if !fused(&tensors.into_iter().flatten().collect::<Vec<_>>()) {
            let y = plain(x, &self.weight, self.stride, (vertical, horizontal), 1)?;
            let y = self.bias.iter().try_fold(y, |y, bias| y.broadcast_add(bias))?;
            return self.activation.forward(&residual.iter().try_fold(y, |y, residual| y + *residual)?);
        }
        let (x, residual) = (x.contiguous()?, residual.map(Tensor::contiguous).transpose()?);
        let bias = self.bias.as_ref().map(|bias| bias.to_vec1::<f32>()).transpose()?;
        let mut out = match &residual {
            Some(residual) => with_values(residual, <[f32]>::to_vec)?,
            None => vec![0f32; n * vertical.out * horizontal.out * outputs],
        };
        let places = vertical.out * horizontal.out;
        let patches = Patches { kernel, stride: self.stride, channels: inputs, vertical, horizontal };
        with_values(&self.matrix, |matrix| {
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
struct Patches {
    kernel: usize,
    stride: usize,
    channels: usize,
    vertical: Axis,
    horizontal: Axis,
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

/// A convolution of each channel with a filter of its own.
pub(in crate::encoder) struct Depthwise {
    weight: Tensor, // (channels, 1, kernel, kernel)
    filter: Tensor, // (kernel kernel, channels)
    bias: Tensor,
    stride: usize,
    padding: Padding,
    activation: Activation,
}

impl Depthwise {
    pub(in crate::encoder) fn new(
        weight: Tensor,
        bias: Tensor,
        stride: usize,
        padding: Padding,
        activation: Activation,
    ) -> Result<Self> {
        let (channels, _, kernel, _) = weight.dims4()?;
        let filter = weight.reshape((channels, kernel * kernel))?.t()?.contiguous()?;
        Ok(Self { weight, filter, bias, stride, padding, activation })
    }

    /// `(n, h, w, channels)` to `(n, h', w', channels)`.
    ///
    /// # Complexity
    /// O(n h' w' kernel^2 channels).
    pub(in crate::encoder) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n, height, width, channels) = x.dims4()?;
        let kernel = self.weight.dim(2)?;
        let vertical = axis(height, kernel, self.stride, self.padding)?;
        let horizontal = axis(width, kernel, self.stride, self.padding)?;
        if !fused(&[x, &self.weight, &self.bias]) {
            let y = plain(x, &self.weight, self.stride, (vertical, horizontal), channels)?;
            return self.activation.forward(&y.broadcast_add(&self.bias)?);
        }
        if channels != self.weight.dim(0)? {
            candle_core::bail!("a depthwise convolution got {channels} channels, expected {}", self.weight.dim(0)?);
        }
        let bias = self.bias.to_vec1::<f32>()?;
        let mut out = vec![0f32; n * vertical.out * horizontal.out * channels];
        let x = x.contiguous()?;
        with_values(&self.filter, |filter| {
            with_values(&x, |x| {
                let lines = out.par_chunks_mut(horizontal.out * channels).enumerate().with_min_len(4);
                lines.for_each(|(line, out)| {
                    let picture = &x[line / vertical.out * height * width * channels..][..height * width * channels];
                    let task = Line {
                        picture,
                        filter,
                        bias: &bias,
                        row: line % vertical.out,
                        patches: Patches { kernel, stride: self.stride, channels, vertical, horizontal },
                        out: &mut *out,
                    };
                    pulp::Arch::new().dispatch(task);
                    self.activation.apply(out);
                });
            })
        })??;
        Tensor::from_vec(out, (n, vertical.out, horizontal.out, channels), x.device())
    }
}

/// One line of a depthwise convolution's result.
struct Line<'a> {
    picture: &'a [f32],
    filter: &'a [f32],
    bias: &'a [f32],
    row: usize,
    patches: Patches,
    out: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Patches { kernel, stride, channels, vertical, horizontal } = self.patches;
        // The rows and columns of the filter that lie on the picture.
        let inside = |place: usize, axis: Axis| {
            let start = place * stride;
            (axis.before.saturating_sub(start), kernel.min((axis.size + axis.before).saturating_sub(start)))
        };
        let (top, bottom) = inside(self.row, vertical);
        for (column, out) in self.out.chunks_exact_mut(channels).enumerate() {
            let (left, right) = inside(column, horizontal);
            let taps = (top..bottom).flat_map(|y| (left..right).map(move |x| (y, x)));
            let corner = |y: usize, x: usize| {
                let (y, x) = (self.row * stride + y - vertical.before, column * stride + x - horizontal.before);
                (y * horizontal.size + x) * channels
            };
            let whole = channels / LANES * LANES;
            for first in (0..whole).step_by(LANES) {
                let mut sums = [0f32; LANES];
                sums.copy_from_slice(&self.bias[first..][..LANES]);
                for (y, x) in taps.clone() {
                    let pixels = &self.picture[corner(y, x) + first..][..LANES];
                    let weights = &self.filter[(y * kernel + x) * channels + first..][..LANES];
                    for ((sum, &pixel), &weight) in sums.iter_mut().zip(pixels).zip(weights) {
                        *sum += pixel * weight;
                    }
                }
                out[first..][..LANES].copy_from_slice(&sums);
            }
            let out = &mut out[whole..];
            out.copy_from_slice(&self.bias[whole..]);
            for (y, x) in taps {
                let pixels = &self.picture[corner(y, x) + whole..][..out.len()];
                let weights = &self.filter[(y * kernel + x) * channels + whole..][..out.len()];
                for ((sum, &pixel), &weight) in out.iter_mut().zip(pixels).zip(weights) {
                    *sum += pixel * weight;
                }
            }
        }
    }
}

/// Candle's convolution, with the axes as it wants them.
fn plain(
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
mod tests {
    use super::*;
    use candle_core::Device;

    fn tensor(shape: &[usize], seed: usize) -> Tensor {
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|i| ((i * 7919 + seed * 31) % 997) as f32 / 500.0 - 1.0).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn close(a: &Tensor, b: &Tensor) {
        assert_eq!(a.dims(), b.dims());
        let worst = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(worst < 2e-4, "{worst}");
    }

    #[test]
    fn fused_as_plain() {
        for (size, kernel, stride, padding) in [
            (23, 3, 2, Padding::Same),
            (24, 3, 2, Padding::Same),
            (23, 5, 1, Padding::Even(2)),
            (9, 7, 2, Padding::Even(3)),
            (24, 1, 1, Padding::Even(0)),
            (24, 1, 2, Padding::Even(0)),
            (24, 4, 4, Padding::Even(0)),
            (2, 7, 1, Padding::Even(3)),
        ] {
            let x = tensor(&[2, size, size + 1, 37], 1);
            let (vertical, horizontal) =
                (axis(size, kernel, stride, padding).unwrap(), axis(size + 1, kernel, stride, padding).unwrap());
            let (weight, bias) = (tensor(&[19, 37, kernel, kernel], 2), tensor(&[19], 3));
            let expected = plain(&x, &weight, stride, (vertical, horizontal), 1).unwrap().broadcast_add(&bias).unwrap();
            let residual = tensor(expected.dims(), 4);
            let expected = (expected + &residual).unwrap().relu().unwrap();
            let convolution = Convolution::new(weight, Some(bias), stride, padding, Activation::Relu).unwrap();
            close(&convolution.forward(&x, Some(&residual)).unwrap(), &expected);

            let (weight, bias) = (tensor(&[37, 1, kernel, kernel], 2), tensor(&[37], 3));
            let expected = plain(&x, &weight, stride, (vertical, horizontal), 37).unwrap();
            let expected = expected.broadcast_add(&bias).unwrap();
            let depthwise = Depthwise::new(weight, bias, stride, padding, Activation::Identity).unwrap();
            close(&depthwise.forward(&x).unwrap(), &expected);
        }
    }
}
