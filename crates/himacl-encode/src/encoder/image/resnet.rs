//! `ResNet`, by the names of timm and of transformers.

use super::{Network, PLACES};
use crate::encoder::nn::{Activation, Convolution, Filter, Padding};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{Result, Tensor};

const EPSILON: f64 = 1e-5;

/// Convolutions, and another way around them.
struct Residual {
    convolutions: Vec<Convolution>,
    shortcut: Option<Convolution>,
}

/// `ResNet` without its classifier.
pub(in crate::encoder) struct ResNet {
    stem: Convolution,
    blocks: Vec<Residual>,
    dimension: usize,
}

impl ResNet {
    /// The numbers of blocks and channels, and whether blocks have two or three convolutions, are read off the weights.
    pub(in crate::encoder) fn load(weights: &Weights) -> std::result::Result<Self, EncoderError> {
        let weights = weights.at_if_there("resnet");
        let is_timm = weights.has("conv1.weight");
        let stem = if is_timm {
            convolution(&weights.at("conv1"), &weights.at("bn1"), 2, Activation::Relu)?
        } else {
            let stem = weights.at("embedder.embedder");
            convolution(&stem.at("convolution"), &stem.at("normalization"), 2, Activation::Relu)?
        };
        let mut blocks = Vec::new();
        for stage in 0..4 {
            let mut place = 0;
            loop {
                let block = if is_timm {
                    weights.at(format!("layer{}.{place}", stage + 1))
                } else {
                    weights.at(format!("encoder.stages.{stage}.layers.{place}"))
                };
                let parts = |index: usize| {
                    if is_timm {
                        (block.at(format!("conv{}", index + 1)), block.at(format!("bn{}", index + 1)))
                    } else {
                        let layer = block.at("layer").at(index);
                        (layer.at("convolution"), layer.at("normalization"))
                    }
                };
                let count = (0..3).take_while(|&index| parts(index).0.has("weight")).count();
                if count == 0 {
                    break;
                }
                let stride = if stage > 0 && place == 0 { 2 } else { 1 };
                // The stride is in the first convolution of two, in the second of three.
                let convolutions = (0..count).map(|index| {
                    let (weights, norm) = parts(index);
                    convolution(&weights, &norm, if index == count - 2 { stride } else { 1 }, Activation::Relu)
                });
                let shortcut = if is_timm {
                    (block.at("downsample.0"), block.at("downsample.1"))
                } else {
                    (block.at("shortcut.convolution"), block.at("shortcut.normalization"))
                };
                let shortcut = shortcut.0.has("weight").then_some(shortcut);
                blocks.push(Residual {
                    convolutions: convolutions.collect::<std::result::Result<_, _>>()?,
                    shortcut: shortcut
                        .map(|(weights, norm)| convolution(&weights, &norm, stride, Activation::Identity))
                        .transpose()?,
                });
                place += 1;
            }
        }
        let last = blocks.last().and_then(|block| block.convolutions.last()).unwrap_or(&stem);
        Ok(Self { dimension: last.outputs()?, stem, blocks })
    }
}

fn convolution(
    weights: &Weights,
    norm: &Weights,
    stride: usize,
    activation: Activation,
) -> std::result::Result<Convolution, EncoderError> {
    let filter = Filter::normalised(weights, norm, EPSILON)?;
    let padding = Padding::Even(filter.kernel()? / 2);
    Ok(Convolution::new(filter, stride, padding, activation)?)
}

impl Network for ResNet {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn places(&self, _size: (usize, usize)) -> usize {
        PLACES
    }

    fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn stem(&self, x: &Tensor) -> Result<Tensor> {
        largest(&self.stem.forward(x, None)?)
    }

    fn block(&self, place: usize, x: &Tensor) -> Result<Tensor> {
        let block = &self.blocks[place];
        let around = block.shortcut.as_ref().map_or_else(|| Ok(x.clone()), |shortcut| shortcut.forward(x, None))?;
        let last = block.convolutions.len() - 1;
        block
            .convolutions
            .iter()
            .enumerate()
            .try_fold(x.clone(), |x, (place, convolution)| convolution.forward(&x, (place == last).then_some(&around)))
    }

    fn head(&self, x: &Tensor) -> Result<Tensor> {
        x.mean((1, 2))
    }
}

/// The largest of 3 by 3 places, every second one; what is outside is smaller than any value behind a `ReLU`.
fn largest(x: &Tensor) -> Result<Tensor> {
    let mut x = x.clone();
    for axis in [1, 2] {
        let size = x.dim(axis)?;
        let out = size.div_ceil(2);
        // Zeros: values are not negative here. Strided views of every second place, from three starts.
        let padded = x.pad_with_zeros(axis, 1, 2 * out + 1 - size)?; // at least 2 out + 2 places
        let mut shape = padded.dims().to_vec();
        shape.splice(axis..=axis, [shape[axis] / 2, 2]);
        let length = shape[axis] * 2;
        let pairs = padded.narrow(axis, 0, length)?.contiguous()?.reshape(shape)?;
        let (even, odd) =
            (pairs.narrow(axis + 1, 0, 1)?.squeeze(axis + 1)?, pairs.narrow(axis + 1, 1, 1)?.squeeze(axis + 1)?);
        let (first, second, third) =
            (even.narrow(axis, 0, out)?, odd.narrow(axis, 0, out)?, even.narrow(axis, 1, out)?);
        x = first.maximum(&second)?.maximum(&third)?;
    }
    Ok(x)
}
