//! `ConvNeXt`, by the names of timm and of transformers.

use super::{Network, PLACES};
use crate::encoder::error::EncoderError;
use crate::encoder::nn::{Activation, Convolution, Depthwise, Linear, Mlp, Norm, Padding};
use crate::encoder::weights::Weights;
use candle_core::{Result, Tensor};

const EPSILON: f64 = 1e-6;

struct Block {
    mix: Depthwise,
    norm: Norm,
    mlp: Mlp,
}

struct Stage {
    /// Normalisation before and convolution; the first stage has the stem's, the other way round.
    shrink: Option<(Norm, Convolution)>,
    blocks: Vec<Block>,
}

/// `ConvNeXt` without its classifier.
pub(in crate::encoder) struct ConvNext {
    stem: Convolution,
    stem_norm: Norm,
    stages: Vec<Stage>,
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
            let bias = weights.maybe("bias")?;
            Ok::<_, EncoderError>(Convolution::new(weight, bias, side, Padding::Even(0), Activation::Identity)?)
        };
        let (stem, stem_norm) =
            if is_timm { ("stem.0", "stem.1") } else { ("embeddings.patch_embeddings", "embeddings.layernorm") };
        let mut stages = Vec::new();
        for stage in 0..4 {
            let at = weights.at(format!("{}stages.{stage}", if is_timm { "" } else { "encoder." }));
            let shrink = at.at(if is_timm { "downsample" } else { "downsampling_layer" });
            let shrink = shrink
                .has("0.weight")
                .then(|| Ok::<_, EncoderError>((layer_norm(&shrink.at(0))?, patches(&shrink.at(1))?)))
                .transpose()?;
            let [mix, norm, up, down, scale] = if is_timm {
                ["conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"]
            } else {
                ["dwconv", "layernorm", "pwconv1", "pwconv2", "layer_scale_parameter"]
            };
            let mut blocks = Vec::new();
            loop {
                let block = at.at(format!("{}.{}", if is_timm { "blocks" } else { "layers" }, blocks.len()));
                let mix = block.at(mix);
                if !mix.has("weight") {
                    break;
                }
                let filter = mix.get("weight")?;
                let padding = Padding::Even(filter.dim(2)? / 2);
                let down = Linear::load(&block.at(down))?;
                let down = match block.maybe(scale)? {
                    Some(scale) => down.scaled(scale)?,
                    None => down,
                };
                blocks.push(Block {
                    mix: Depthwise::new(filter, mix.get("bias")?, 1, padding, Activation::Identity)?,
                    norm: layer_norm(&block.at(norm))?,
                    mlp: Mlp::Plain { up: Linear::load(&block.at(up))?, activation: Activation::Gelu, down },
                });
            }
            stages.push(Stage { shrink, blocks });
        }
        let norm = layer_norm(&weights.at(if is_timm { "head.norm" } else { "layernorm" }))?;
        let last = stages.iter().rev().find_map(|stage| stage.shrink.as_ref());
        let stem = patches(&weights.at(stem))?;
        let dimension = last.map_or_else(|| stem.outputs(), |(_, convolution)| convolution.outputs())?;
        Ok(Self { stem, stem_norm: layer_norm(&weights.at(stem_norm))?, stages, norm, dimension })
    }
}

impl Network for ConvNext {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn places(&self) -> usize {
        PLACES
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.stem_norm.forward(&self.stem.forward(x, None)?)?;
        for stage in &self.stages {
            if let Some((norm, convolution)) = &stage.shrink {
                x = convolution.forward(&norm.forward(&x)?, None)?;
            }
            let (n, height, width, channels) = x.dims4()?;
            for block in &stage.blocks {
                let rows = |x: &Tensor| x.reshape((n * height * width, channels));
                let inner = block.norm.forward(&rows(&block.mix.forward(&x)?)?)?;
                x = block.mlp.forward(&inner, Some(&rows(&x)?))?.reshape((n, height, width, channels))?;
            }
        }
        self.norm.forward(&x.mean((1, 2))?)
    }
}
