//! Convolutions of each channel by itself, of pictures `(n, height, width, channels)`.

use super::convolution::{Axis, Filter, Padding, Patches, axis, plain};
use super::{Activation, fused, with_values};
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Channels that a task keeps in registers.
const LANES: usize = 32;

/// A convolution of each channel with a filter of its own.
pub(in crate::encoder) struct Depthwise {
    filter: Filter,
    /// `(kernel kernel, channels)`, for the fused form.
    matrix: Option<Tensor>,
    stride: usize,
    padding: Padding,
    activation: Activation,
}

/// The weight `(channels, 1, kernel, kernel)` as `(kernel kernel, channels)`.
fn taps(weight: &Tensor) -> Result<Tensor> {
    let (channels, _, kernel, _) = weight.dims4()?;
    weight.reshape((channels, kernel * kernel))?.t()?.contiguous()
}

impl Depthwise {
    pub(in crate::encoder) fn new(
        filter: Filter,
        stride: usize,
        padding: Padding,
        activation: Activation,
    ) -> Result<Self> {
        let weight = filter.settled_weight().filter(|weight| fused(&[*weight]));
        let matrix = weight.map(taps).transpose()?;
        Ok(Self { filter, matrix, stride, padding, activation })
    }

    /// `(n, h, w, channels)` to `(n, h', w', channels)`.
    ///
    /// # Complexity
    /// O(n h' w' kernel^2 channels), the gradient twice as much.
    pub(in crate::encoder) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, height, width, channels) = x.dims4()?;
        if channels != self.filter.outputs()? {
            bail!("a depthwise convolution got {channels} channels, expected {}", self.filter.outputs()?);
        }
        let kernel = self.filter.kernel()?;
        let vertical = axis(height, kernel, self.stride, self.padding)?;
        let horizontal = axis(width, kernel, self.stride, self.padding)?;
        let patches = Patches { kernel, stride: self.stride, channels, vertical, horizontal };
        let (weight, bias) = self.filter.folded()?;
        let tensors = [Some(x), bias.as_ref()];
        if let Some(matrix) = self.matrix.as_ref().filter(|_| fused(&tensors.into_iter().flatten().collect::<Vec<_>>()))
        {
            let bias = bias.map_or_else(|| Ok(vec![0.0; channels]), |bias| bias.to_vec1::<f32>())?;
            let x = x.contiguous()?;
            let out = with_values(matrix, |filter| {
                with_values(&x, |x| patches.convolve(x, filter, &bias, self.activation))
            })??;
            return Tensor::from_vec(out, (x.dim(0)?, vertical.out, horizontal.out, channels), x.device());
        }
        let y = match &bias {
            Some(bias) if x.device().is_cpu() && x.dtype() == DType::F32 => {
                x.contiguous()?.apply_op3(&taps(&weight)?, &bias.contiguous()?, ChannelWise(patches))?
            }
            _ => plain(x, (&weight, bias.as_ref()), self.stride, (vertical, horizontal), channels)?,
        };
        self.activation.forward(&y)
    }
}

impl Patches {
    /// Pictures `(n, h, w, channels)` and a filter `(kernel kernel, channels)` to `(n, h', w', channels)`.
    fn convolve(self, x: &[f32], filter: &[f32], bias: &[f32], activation: Activation) -> Vec<f32> {
        let Self { channels, vertical, horizontal, .. } = self;
        let size = vertical.size * horizontal.size * channels;
        let mut out = vec![0f32; x.len() / size * vertical.out * horizontal.out * channels];
        let lines = out.par_chunks_mut(horizontal.out * channels).enumerate().with_min_len(4);
        lines.for_each(|(line, out)| {
            let picture = &x[line / vertical.out * size..][..size];
            let row = line % vertical.out;
            pulp::Arch::new().dispatch(Line { picture, filter, bias, row, patches: self, out: &mut *out });
            activation.apply(out);
        });
        out
    }

    /// The gradients in pictures, filter and bias for the gradient in the result.
    fn gradients(self, x: &[f32], filter: &[f32], gradient: &[f32]) -> [Vec<f32>; 3] {
        let Self { channels, vertical, horizontal, .. } = self;
        let (size, out_size) = (vertical.size * horizontal.size * channels, vertical.out * horizontal.out * channels);
        let mut of_x = vec![0f32; x.len()];
        // A filter, with the bias as its last row, for each picture, summed in order: the same bits for any number of
        // threads.
        let length = filter.len() + channels;
        let mut of_filters = vec![0f32; x.len() / size * length];
        let pictures = of_x.par_chunks_mut(size).zip(of_filters.par_chunks_mut(length));
        pictures.zip(x.par_chunks(size).zip(gradient.par_chunks(out_size))).for_each(
            |((of_x, of_filter), (picture, gradient))| {
                pulp::Arch::new().dispatch(Backward { patches: self, picture, filter, gradient, of_x, of_filter });
            },
        );
        let mut of_filter = vec![0f32; length];
        for one in of_filters.chunks_exact(length) {
            of_filter.iter_mut().zip(one).for_each(|(sum, value)| *sum += value);
        }
        let of_bias = of_filter.split_off(filter.len());
        [of_x, of_filter, of_bias]
    }

    /// The rows or columns of the filter that lie on the picture, for a place of the result.
    #[inline(always)]
    fn inside(self, place: usize, axis: Axis) -> (usize, usize) {
        let start = place * self.stride;
        (axis.before.saturating_sub(start), self.kernel.min((axis.size + axis.before).saturating_sub(start)))
    }
}

/// The convolution as an operation with gradients: Candle's own takes groups one by one.
struct ChannelWise(Patches);

impl CustomOp3 for ChannelWise {
    fn name(&self) -> &'static str {
        "depthwise-convolution"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let Patches { channels, vertical, horizontal, .. } = self.0;
        let (x, filter, bias) = (contiguous(s1, l1)?, contiguous(s2, l2)?, contiguous(s3, l3)?);
        let out = self.0.convolve(x, filter, bias, Activation::Identity);
        Ok((CpuStorage::F32(out), Shape::from((l1.dims()[0], vertical.out, horizontal.out, channels))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        filter: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let gradients = with_values(x, |x| {
            with_values(filter, |filter| with_values(&gradient, |gradient| self.0.gradients(x, filter, gradient)))
        })???;
        let of = |gradient: Vec<f32>, of: &Tensor| Tensor::from_vec(gradient, of.shape(), of.device()).map(Some);
        let [of_x, of_filter, of_bias] = gradients;
        Ok((of(of_x, x)?, of(of_filter, filter)?, of(of_bias, bias)?))
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a depthwise convolution needs contiguous values"),
    }
}

/// The gradients of one picture.
struct Backward<'a> {
    patches: Patches,
    picture: &'a [f32],
    filter: &'a [f32],
    gradient: &'a [f32],
    of_x: &'a mut [f32],
    /// With the bias's behind it.
    of_filter: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Patches { kernel, stride, channels, vertical, horizontal } = self.patches;
        let (of_taps, of_bias) = self.of_filter.split_at_mut(kernel * kernel * channels);
        for (place, gradient) in self.gradient.chunks_exact(channels).enumerate() {
            of_bias.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value);
            let (row, column) = (place / horizontal.out, place % horizontal.out);
            let (top, bottom) = self.patches.inside(row, vertical);
            let (left, right) = self.patches.inside(column, horizontal);
            for (y, x) in (top..bottom).flat_map(|y| (left..right).map(move |x| (y, x))) {
                let pixel =
                    (row * stride + y - vertical.before) * horizontal.size + column * stride + x - horizontal.before;
                let (at, tap) = (pixel * channels, (y * kernel + x) * channels);
                let of_x = &mut self.of_x[at..][..channels];
                let of_filter = &mut of_taps[tap..][..channels];
                let read = self.picture[at..][..channels].iter().zip(&self.filter[tap..][..channels]).zip(gradient);
                for ((of_x, of_filter), ((x, weight), gradient)) in of_x.iter_mut().zip(of_filter).zip(read) {
                    *of_x += weight * gradient;
                    *of_filter += x * gradient;
                }
            }
        }
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
        let (top, bottom) = self.patches.inside(self.row, vertical);
        for (column, out) in self.out.chunks_exact_mut(channels).enumerate() {
            let (left, right) = self.patches.inside(column, horizontal);
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

#[cfg(test)]
mod tests {
    use super::super::convolution::tests::{CASES, close, tensor};
    use super::*;
    use candle_core::Var;

    fn layer(weight: &Tensor, bias: &Tensor, stride: usize, padding: Padding) -> Depthwise {
        let filter = Filter::new(weight.clone(), Some(bias.clone()));
        Depthwise::new(filter, stride, padding, Activation::Identity).unwrap()
    }

    #[test]
    fn fused_as_candle() {
        for (size, kernel, stride, padding) in CASES {
            let (x, weight) = (tensor(&[2, size, size + 1, 37], 1), tensor(&[37, 1, kernel, kernel], 2));
            let bias = tensor(&[37], 3);
            let axes = [size, size + 1].map(|size| axis(size, kernel, stride, padding).unwrap());
            let expected = plain(&x, (&weight, Some(&bias)), stride, (axes[0], axes[1]), 37).unwrap();
            close(&layer(&weight, &bias, stride, padding).forward(&x).unwrap(), &expected);
        }
    }

    #[test]
    fn gradients_as_candle() {
        for (size, kernel, stride, padding) in CASES {
            let variable = |shape: &[usize], seed| Var::from_tensor(&tensor(shape, seed)).unwrap();
            // Candle's own gradient fails on some pictures that are not square.
            let (x, weight) = (variable(&[2, size, size, 37], 1), variable(&[37, 1, kernel, kernel], 2));
            let bias = variable(&[37], 3);
            let axis = axis(size, kernel, stride, padding).unwrap();
            let expected = plain(&x, (&weight, Some(&bias)), stride, (axis, axis), 37).unwrap();
            let got = layer(&weight, &bias, stride, padding).forward(&x).unwrap();
            close(&got, &expected);
            let towards = tensor(expected.dims(), 5);
            let gradients = |y: &Tensor| (y * &towards).unwrap().sum_all().unwrap().backward().unwrap();
            let (got, expected) = (gradients(&got), gradients(&expected));
            for variable in [&x, &weight, &bias] {
                // Sums of hundreds of terms.
                let scale = expected.get(variable).unwrap().abs().unwrap().max_all().unwrap();
                let scaled = |gradients: &candle_core::backprop::GradStore| {
                    gradients.get(variable).unwrap().broadcast_div(&scale).unwrap()
                };
                close(&scaled(&got), &scaled(&expected));
            }
        }
    }
}
