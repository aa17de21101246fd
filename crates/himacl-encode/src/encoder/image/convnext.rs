//! `ConvNeXt`, by the names of timm and of transformers, that of `DINOv3` included.

use super::{Network, PLACES};
use crate::encoder::config::Config;
use crate::encoder::nn::{Activation, Convolution, Depthwise, Filter, Linear, Mlp, Norm, Padding};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{Result, Tensor};

const EPSILON: f64 = 1e-6;

struct Block {
    /// Normalisation and convolution at the start of a stage; the first stage has the stem's, the other way round.
    shrink: Option<(Norm, Convolution)>,
    mix: Depthwise,
    norm: Norm,
    mlp: Mlp,
}

/// `ConvNeXt` without its classifier.
pub(in crate::encoder) struct ConvNext {
    stem: Convolution,
    stem_norm: Norm,
    blocks: Vec<Block>,
    norm: Norm,
    dimension: usize,
}

/// What tensors are called.
struct Names {
    stem: &'static str,
    stem_norm: &'static str,
    stages: &'static str,
    shrink: &'static str,
    blocks: &'static str,
    /// Of a block: convolution, normalisation, two layers, factors.
    block: [&'static str; 5],
    norm: &'static str,
}

const TIMM: Names = Names {
    stem: "stem.0",
    stem_norm: "stem.1",
    stages: "stages",
    shrink: "downsample",
    blocks: "blocks",
    block: ["conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"],
    norm: "head.norm",
};

const TRANSFORMERS: Names = Names {
    stem: "embeddings.patch_embeddings",
    stem_norm: "embeddings.layernorm",
    stages: "encoder.stages",
    shrink: "downsampling_layer",
    blocks: "layers",
    block: ["dwconv", "layernorm", "pwconv1", "pwconv2", "layer_scale_parameter"],
    norm: "layernorm",
};

/// `DINOv3`, which has the stem in its first stage.
const DINO: Names = Names {
    stem: "stages.0.downsample_layers.0",
    stem_norm: "stages.0.downsample_layers.1",
    stages: "stages",
    shrink: "downsample_layers",
    blocks: "layers",
    block: ["depthwise_conv", "layer_norm", "pointwise_conv1", "pointwise_conv2", "gamma"],
    norm: "layer_norm",
};

impl ConvNext {
    pub(in crate::encoder) fn load(weights: &Weights) -> std::result::Result<Self, EncoderError> {
        let weights = weights.at_if_there("convnext");
        let names = if weights.has("stem.0.weight") { &TIMM } else { &TRANSFORMERS };
        Self::named(&weights, &weights, names)
    }

    /// `DINOv3` by the names of transformers, which may put everything but the last normalisation below `model`.
    pub(in crate::encoder) fn dino(weights: &Weights, config: &Config) -> std::result::Result<Self, EncoderError> {
        let epsilon = config.number_or("layer_norm_eps", EPSILON);
        if (epsilon / EPSILON - 1.0).abs() > 1e-6 {
            return Err(config.wrong(format!("`layer_norm_eps` is {epsilon}, expected {EPSILON}")));
        }
        let activation = config.text("hidden_act", "gelu");
        if activation != "gelu" {
            return Err(config.wrong(format!("`hidden_act` is `{activation}`, expected gelu")));
        }
        Self::named(&weights.at_if_there("model"), weights, &DINO)
    }

    fn named(weights: &Weights, outer: &Weights, names: &Names) -> std::result::Result<Self, EncoderError> {
        let layer_norm = |weights: &Weights| Norm::layer(weights, EPSILON);
        let patches = |weights: &Weights| {
            let weight = weights.get("weight")?;
            let side = weight.dim(2)?;
            let filter = Filter::new(weight, weights.maybe("bias")?);
            Ok::<_, EncoderError>(Convolution::new(filter, side, Padding::Even(0), Activation::Identity)?)
        };
        let mut blocks = Vec::new();
        for stage in 0..4 {
            let at = weights.at(names.stages).at(stage);
            let shrink = at.at(names.shrink);
            let is_there = shrink.has("0.weight") && !names.stem.starts_with(&format!("{}.{stage}.", names.stages));
            let mut shrink = is_there
                .then(|| Ok::<_, EncoderError>((layer_norm(&shrink.at(0))?, patches(&shrink.at(1))?)))
                .transpose()?;
            let [mix, norm, up, down, scale] = names.block;
            for place in 0.. {
                let block = at.at(names.blocks).at(place);
                let mix = block.at(mix);
                if !mix.has("weight") {
                    break;
                }
                let filter = Filter::new(mix.get("weight")?, Some(mix.get("bias")?));
                let padding = Padding::Even(filter.kernel()? / 2);
                let down = Linear::load(&block.at(down))?;
                let down = match block.maybe(scale)? {
                    Some(scale) => down.scaled(scale)?,
                    None => down,
                };
                blocks.push(Block {
                    shrink: shrink.take(),
                    mix: Depthwise::new(filter, 1, padding, Activation::Identity)?,
                    norm: layer_norm(&block.at(norm))?,
                    mlp: Mlp::Plain { up: Linear::load(&block.at(up))?, activation: Activation::Gelu, down },
                });
            }
        }
        let last = blocks.iter().rev().find_map(|block: &Block| block.shrink.as_ref());
        let stem = patches(&weights.at(names.stem))?;
        let dimension = last.map_or_else(|| stem.outputs(), |(_, convolution)| convolution.outputs())?;
        let stem_norm = layer_norm(&weights.at(names.stem_norm))?;
        Ok(Self { stem, stem_norm, blocks, norm: layer_norm(&outer.at(names.norm))?, dimension })
    }
}

impl Network for ConvNext {
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
        self.stem_norm.forward(&self.stem.forward(x, None)?)
    }

    fn block(&self, place: usize, x: &Tensor) -> Result<Tensor> {
        let block = &self.blocks[place];
        let x = match &block.shrink {
            Some((norm, convolution)) => convolution.forward(&norm.forward(x)?, None)?,
            None => x.clone(),
        };
        let (n, height, width, channels) = x.dims4()?;
        let rows = |x: &Tensor| x.reshape((n * height * width, channels));
        let inner = block.norm.forward(&rows(&block.mix.forward(&x)?)?)?;
        block.mlp.forward(&inner, Some(&rows(&x)?))?.reshape((n, height, width, channels))
    }

    fn head(&self, x: &Tensor) -> Result<Tensor> {
        self.norm.forward(&x.mean((1, 2))?)
    }
}
