//! Gemma 3 as an encoder: every token sees all others, in most blocks those near it.

use super::families::{activation, theta};
use super::transformer::TextTransformer;
use crate::encoder::config::Config;
use crate::encoder::nn::{Attention, Block, Linear, Mask, Mlp, Norm, Order, Rope};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use serde_json::Value;
use std::sync::Arc;

/// Of tables of positions; longer texts are cut.
const LONGEST: usize = 32_768;

/// The model behind `EmbeddingGemma`.
pub(super) fn gemma3(weights: &Weights, config: &Config) -> Result<TextTransformer, EncoderError> {
    if !config.flag("use_bidirectional_attention") {
        return Err(config.wrong("`use_bidirectional_attention` is not true: a model that writes is no encoder"));
    }
    if config.get("attn_logit_softcapping").is_some() {
        return Err(config.wrong("`attn_logit_softcapping` is set, which is not supported"));
    }
    let words = weights.get("embed_tokens.weight")?;
    let hidden = words.dim(1)?;
    let (heads, key_heads) = (config.size("num_attention_heads")?, config.size("num_key_value_heads")?);
    if key_heads == 0 || !heads.is_multiple_of(key_heads) {
        return Err(config.wrong(format!("`num_key_value_heads` is {key_heads}, expected a divisor of {heads} heads")));
    }
    let width = config.size_or("head_dim", 256)?;
    let scalar = config.number_or("query_pre_attn_scalar", 256.0);
    if scalar != width as f64 {
        return Err(config.wrong(format!("`query_pre_attn_scalar` is {scalar}, expected `head_dim`, which is {width}")));
    }
    let epsilon = config.number_or("rms_norm_eps", 1e-6);
    let longest = config.size_or("max_position_embeddings", LONGEST)?.min(LONGEST);
    let rope = |theta: f64| Ok::<_, EncoderError>(Arc::new(Rope::new(theta, width, longest, &words)?));
    let global = rope(theta(config, "full_attention", "rope_theta", 1_000_000.0))?;
    let local = rope(theta(config, "sliding_attention", "rope_local_base_freq", 10_000.0))?;
    // Half to each side.
    let window = config.size_or("sliding_window", 4_096)? / 2;
    let activation = activation(config, "hidden_activation", "gelu_pytorch_tanh")?;
    let layers = config.size("num_hidden_layers")?;
    let block = |layer: usize| {
        let weights = weights.at("layers").at(layer);
        let linear = |name: &str| Linear::load(&weights.at(name));
        let norm = |name: &str| Norm::root_mean_square_from_one(&weights.at(name), epsilon);
        let is_global = is_global(config, layer)?;
        Ok(Block {
            attention: Attention {
                query: linear("self_attn.q_proj")?,
                key: linear("self_attn.k_proj")?,
                value: linear("self_attn.v_proj")?,
                output: linear("self_attn.o_proj")?,
                heads,
                key_heads,
                mask: if is_global { Mask::Full } else { Mask::Window(window) },
                norms: Some((norm("self_attn.q_norm")?, norm("self_attn.k_norm")?)),
                rope: Some(Arc::clone(if is_global { &global } else { &local })),
                inner_norm: None,
            },
            attention_norm: Some(norm("input_layernorm")?),
            mlp: Mlp::Gated {
                gate: linear("mlp.gate_proj")?,
                activation,
                up: linear("mlp.up_proj")?,
                norm: None,
                down: linear("mlp.down_proj")?,
            },
            mlp_norm: norm("pre_feedforward_layernorm")?,
            after: Some((norm("post_attention_layernorm")?, norm("post_feedforward_layernorm")?)),
            order: Order::Before,
        })
    };
    Ok(TextTransformer {
        scale: Some((hidden as f64).sqrt()),
        places: None,
        kind: None,
        embedding_norm: None,
        relative: None,
        blocks: (0..layers).map(block).collect::<Result<_, EncoderError>>()?,
        final_norm: Some(Norm::root_mean_square_from_one(&weights.at("norm"), epsilon)?),
        longest,
        words,
    })
}

/// Whether a block sees the whole text: by its name in a list, or every sixth by older configurations' rule.
fn is_global(config: &Config, layer: usize) -> Result<bool, EncoderError> {
    if let Some(types) = config.get("layer_types").and_then(Value::as_array) {
        return match types.get(layer).and_then(Value::as_str) {
            Some("full_attention") => Ok(true),
            Some("sliding_attention") => Ok(false),
            other => Err(config.wrong(format!("`layer_types` has {other:?} for layer {layer}"))),
        };
    }
    let every = config.size_or("sliding_window_pattern", config.size_or("_sliding_window_pattern", 6)?)?;
    Ok((layer + 1).is_multiple_of(every.max(1)))
}
