//! How tokens become one vector.

use crate::encoder::nn::{Activation, BlockShape, Linear, Mlp, Norm};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{Result, Tensor};

/// How tokens become one vector.
pub(super) enum Head {
    /// The first token.
    Cls,
    /// The mean of all, but for so many at the beginning.
    Mean(usize),
    /// One learnt query attends to all tokens.
    Attention(Box<AttentionHead>),
}

pub(super) struct AttentionHead {
    probe: Tensor, // (1, hidden)
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm: Norm,
    mlp: Mlp,
    heads: usize,
}

impl AttentionHead {
    /// By `SigLIP`'s names.
    pub(super) fn siglip(weights: &Weights, shape: &BlockShape) -> std::result::Result<Self, EncoderError> {
        let part = |place: usize| Linear::part(&weights.at("attention"), ("in_proj_weight", "in_proj_bias"), place, 3);
        let query = part(0)?;
        Ok(Self {
            probe: weights.get("probe")?.reshape((1, query.outputs()?))?,
            query,
            key: part(1)?,
            value: part(2)?,
            output: Linear::load(&weights.at("attention.out_proj"))?,
            norm: Norm::layer(&weights.at("layernorm"), shape.epsilon)?,
            mlp: Mlp::Plain {
                up: Linear::load(&weights.at("mlp.fc1"))?,
                activation: shape.activation,
                down: Linear::load(&weights.at("mlp.fc2"))?,
            },
            heads: shape.heads,
        })
    }

    /// By timm's names.
    pub(super) fn timm(weights: &Weights, heads: usize, epsilon: f64) -> std::result::Result<Self, EncoderError> {
        let part = |place: usize| Linear::part(&weights.at("kv"), ("weight", "bias"), place, 2);
        let query = Linear::load(&weights.at("q"))?;
        let hidden = query.outputs()?;
        if heads == 0 || !hidden.is_multiple_of(heads) {
            let reason = format!("the pooling has a width of {hidden}, expected a multiple of {heads}");
            return Err(candle_core::Error::Msg(reason).into());
        }
        Ok(Self {
            probe: weights.get("latent")?.reshape(((), hidden))?,
            query,
            key: part(0)?,
            value: part(1)?,
            output: Linear::load(&weights.at("proj"))?,
            norm: Norm::layer(&weights.at("norm"), epsilon)?,
            mlp: Mlp::Plain {
                up: Linear::load(&weights.at("mlp.fc1"))?,
                activation: Activation::Gelu,
                down: Linear::load(&weights.at("mlp.fc2"))?,
            },
            heads,
        })
    }

    /// `(n tokens, hidden)` to `(n, hidden)`.
    pub(super) fn forward(&self, x: &Tensor, n: usize) -> Result<Tensor> {
        let hidden = x.dim(1)?;
        let (tokens, width) = (x.dim(0)? / n, hidden / self.heads);
        let linear = |linear: &Linear, x: &Tensor| linear.forward(x, None, Activation::Identity);
        let split = |x: Tensor, tokens: usize| x.reshape((n, tokens, self.heads, width))?.transpose(1, 2)?.contiguous();
        let query = linear(&self.query, &self.probe)?.broadcast_as((n, hidden))?.contiguous()?;
        let (query, key) = (split(query, 1)?, split(linear(&self.key, x)?, tokens)?);
        let value = split(linear(&self.value, x)?, tokens)?;
        let scores = (query.matmul(&key.t()?)? * (1.0 / (width as f64).sqrt()))?; // (n, heads, 1, tokens)
        let mixed = candle_nn::ops::softmax(&scores, candle_core::D::Minus1)?.matmul(&value)?;
        let mixed = linear(&self.output, &mixed.reshape((n, hidden))?)?;
        self.mlp.forward(&self.norm.forward(&mixed)?, Some(&mixed))
    }
}
