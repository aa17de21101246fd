//! Gemma 3 as an encoder: every token sees all others, in most blocks those near it.

use super::families::{activation, gated_layers, grouped_attention, grouped_heads, theta};
use super::transformer::TextTransformer;
use crate::encoder::config::Config;
use crate::encoder::nn::{Block, Mask, Norm, Order, Rope};
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
    // Without it, Gemma's own default is none that the heads tell.
    config.size("num_key_value_heads")?;
    let heads = grouped_heads(config)?;
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
        let norm = |name: &str| Norm::root_mean_square_from_one(&weights.at(name), epsilon);
        let (mask, rope) =
            if is_global(config, layer)? { (Mask::Full, &global) } else { (Mask::Window(window), &local) };
        let norms = (norm("self_attn.q_norm")?, norm("self_attn.k_norm")?);
        Ok(Block {
            attention: grouped_attention(&weights, heads, mask, norms, Arc::clone(rope))?,
            attention_norm: Some(norm("input_layernorm")?),
            mlp: gated_layers(&weights, activation)?,
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
