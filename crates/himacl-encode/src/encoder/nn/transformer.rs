//! Transformer blocks.

use super::{Activation, Attention, Experts, Linear, Mask, Norm, RelativeBias, Rope, Sequences};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{Result, Tensor};
use std::sync::Arc;

/// The two layers after attention.
pub(in crate::encoder) enum Mlp {
    /// `down(activation(up(x)))`.
    Plain { up: Linear, activation: Activation, down: Linear },
    /// `down(norm(activation(gate(x)) up(x)))`, mostly without the normalisation.
    Gated { gate: Linear, activation: Activation, up: Linear, norm: Option<Norm>, down: Linear },
    /// Several of which each token goes through a few.
    Experts(Experts),
}

impl Mlp {
    pub(in crate::encoder) fn forward(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        match self {
            Self::Plain { up, activation, down } => {
                down.forward(&up.forward(x, None, *activation)?, residual, Activation::Identity)
            }
            Self::Gated { gate, activation, up, norm, down } => {
                let inner = (gate.forward(x, None, *activation)? * up.forward(x, None, Activation::Identity)?)?;
                let inner = norm.as_ref().map_or_else(|| Ok(inner.clone()), |norm| norm.forward(&inner))?;
                down.forward(&inner, residual, Activation::Identity)
            }
            Self::Experts(experts) => experts.forward(x, residual),
        }
    }
}

/// Where normalisations stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::encoder) enum Order {
    /// Before attention and layers.
    Before,
    /// After their sums with what went in.
    After,
    /// After them, before the sums.
    Between,
}

/// Attention and two layers, each added to what went in.
pub(in crate::encoder) struct Block {
    pub(in crate::encoder) attention: Attention,
    /// Absent in the first block of `ModernBERT`.
    pub(in crate::encoder) attention_norm: Option<Norm>,
    pub(in crate::encoder) mlp: Mlp,
    pub(in crate::encoder) mlp_norm: Norm,
    /// Of what attention and layers give, before it is added to what went in, besides those before them.
    pub(in crate::encoder) after: Option<(Norm, Norm)>,
    pub(in crate::encoder) order: Order,
}

/// What tensors of a block are called.
#[derive(Clone, Copy)]
pub(in crate::encoder) struct BlockNames {
    pub(in crate::encoder) query: &'static str,
    pub(in crate::encoder) key: &'static str,
    pub(in crate::encoder) value: &'static str,
    pub(in crate::encoder) output: &'static str,
    pub(in crate::encoder) attention_norm: &'static str,
    pub(in crate::encoder) up: &'static str,
    pub(in crate::encoder) down: &'static str,
    pub(in crate::encoder) mlp_norm: &'static str,
    /// Weight and bias of queries, keys and values where they are stored as one; the three names have no meaning then.
    pub(in crate::encoder) joined: Option<(&'static str, &'static str)>,
    /// Factors of the outputs of attention and layers, where there are such.
    pub(in crate::encoder) scales: Option<(&'static str, &'static str)>,
    /// What is activated and multiplies what `up` gives, where layers are gated.
    pub(in crate::encoder) gate: Option<Gate>,
    /// Normalisations of what goes into the outputs of attention and of gated layers, where there are such.
    pub(in crate::encoder) inner_norms: Option<(&'static str, &'static str)>,
}

/// Where a gate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::encoder) enum Gate {
    /// A layer of its own.
    Apart(&'static str),
    /// The first half of `up`, whose second half is the rest.
    Joined(&'static str),
}

/// What configurations say of blocks.
#[derive(Clone)]
pub(in crate::encoder) struct BlockShape {
    pub(in crate::encoder) heads: usize,
    pub(in crate::encoder) epsilon: f64,
    pub(in crate::encoder) activation: Activation,
    pub(in crate::encoder) order: Order,
    pub(in crate::encoder) mask: Mask,
    pub(in crate::encoder) rope: Option<Arc<Rope>>,
}

impl Block {
    /// A block whose tensors have these names.
    pub(in crate::encoder) fn load(
        weights: &Weights,
        names: &BlockNames,
        shape: &BlockShape,
    ) -> std::result::Result<Self, EncoderError> {
        let linear = |name: &str| Linear::load(&weights.at(name));
        let norm = |name: &str| Norm::layer(&weights.at(name), shape.epsilon);
        let (output, down) = (linear(names.output)?, linear(names.down)?);
        let (output, down) = match names.scales {
            Some((first, second)) => (output.scaled(weights.get(first)?)?, down.scaled(weights.get(second)?)?),
            None => (output, down),
        };
        let input = |place: usize, name: &str| match names.joined {
            Some(joined) => Linear::part(weights, joined, place, 3),
            None => linear(name),
        };
        let inner = names.inner_norms.map(|(attention, mlp)| Ok::<_, EncoderError>((norm(attention)?, norm(mlp)?)));
        let (inner_norm, mlp_inner_norm) = inner.transpose()?.unzip();
        let activation = shape.activation;
        let (gate, up) = match names.gate {
            None => (None, linear(names.up)?),
            Some(Gate::Apart(gate)) => (Some(linear(gate)?), linear(names.up)?),
            Some(Gate::Joined(both)) => {
                let part = |place| Linear::part(&weights.at(both), ("weight", "bias"), place, 2);
                (Some(part(0)?), part(1)?)
            }
        };
        Ok(Self {
            attention: Attention {
                query: input(0, names.query)?,
                key: input(1, names.key)?,
                value: input(2, names.value)?,
                output,
                heads: shape.heads,
                key_heads: shape.heads,
                mask: shape.mask,
                norms: None,
                rope: shape.rope.clone(),
                inner_norm,
            },
            attention_norm: Some(norm(names.attention_norm)?),
            mlp: match gate {
                Some(gate) => Mlp::Gated { gate, activation, up, norm: mlp_inner_norm, down },
                None => Mlp::Plain { up, activation, down },
            },
            mlp_norm: norm(names.mlp_norm)?,
            after: None,
            order: shape.order,
        })
    }

    /// `(tokens, hidden)` to the same.
    pub(in crate::encoder) fn forward(
        &self,
        x: &Tensor,
        sequences: &Sequences,
        relative: Option<&RelativeBias>,
    ) -> Result<Tensor> {
        let normed = |norm: Option<&Norm>, x: &Tensor| norm.map_or_else(|| Ok(x.clone()), |norm| norm.forward(x));
        let attention_norm = self.attention_norm.as_ref();
        match (self.order, &self.after) {
            (_, Some((after_attention, after_mlp))) => {
                let y = self.attention.forward(&normed(attention_norm, x)?, sequences, relative, None)?;
                let x = (x + after_attention.forward(&y)?)?;
                let y = self.mlp.forward(&self.mlp_norm.forward(&x)?, None)?;
                x + after_mlp.forward(&y)?
            }
            (Order::Before, None) => {
                let x = self.attention.forward(&normed(attention_norm, x)?, sequences, relative, Some(x))?;
                self.mlp.forward(&self.mlp_norm.forward(&x)?, Some(&x))
            }
            (Order::Between, None) => {
                let y = self.attention.forward(x, sequences, relative, None)?;
                let x = (x + normed(attention_norm, &y)?)?;
                let y = self.mlp.forward(&x, None)?;
                x + self.mlp_norm.forward(&y)?
            }
            (Order::After, None) => {
                let x = normed(attention_norm, &self.attention.forward(x, sequences, relative, Some(x))?)?;
                self.mlp_norm.forward(&self.mlp.forward(&x, Some(&x))?)
            }
        }
    }
}
