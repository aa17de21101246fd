//! `ConvNeXt`, by the names of timm and of transformers.

use super::{Network, PLACES};
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

impl ConvNext {
    pub(in crate::encoder) fn load(weights: &Weights) -> std::result::Result<Self, EncoderError> {
        let weights = weights.at_if_there("convnext");
        let is_timm = weights.has("stem.0.weight");
        let layer_norm = |weights: &Weights| Norm::layer(weights, EPSILON);
        let patches = |weights: &Weights| {
            let weight = weights.get("weight")?;
            let side = weight.dim(2)?;
            let filter = Filter::new(weight, weights.maybe("bias")?);
            Ok::<_, EncoderError>(Convolution::new(filter, side, Padding::Even(0), Activation::Identity)?)
        };
        let (stem, stem_norm) =
            if is_timm { ("stem.0", "stem.1") } else { ("embeddings.patch_embeddings", "embeddings.layernorm") };
        let mut blocks = Vec::new();
        for stage in 0..4 {
            let at = weights.at(format!("{}stages.{stage}", if is_timm { "" } else { "encoder." }));
            let shrink = at.at(if is_timm { "downsample" } else { "downsampling_layer" });
            let mut shrink = shrink
                .has("0.weight")
                .then(|| Ok::<_, EncoderError>((layer_norm(&shrink.at(0))?, patches(&shrink.at(1))?)))
                .transpose()?;
            let [mix, norm, up, down, scale] = if is_timm {
                ["conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"]
            } else {
                ["dwconv", "layernorm", "pwconv1", "pwconv2", "layer_scale_parameter"]
            };
            for place in 0.. {
                let block = at.at(format!("{}.{place}", if is_timm { "blocks" } else { "layers" }));
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
        let norm = layer_norm(&weights.at(if is_timm { "head.norm" } else { "layernorm" }))?;
        let last = blocks.iter().rev().find_map(|block: &Block| block.shrink.as_ref());
        let stem = patches(&weights.at(stem))?;
        let dimension = last.map_or_else(|| stem.outputs(), |(_, convolution)| convolution.outputs())?;
        Ok(Self { stem, stem_norm: layer_norm(&weights.at(stem_norm))?, blocks, norm, dimension })
    }
}

impl Network for ConvNext {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn places(&self) -> usize {
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
