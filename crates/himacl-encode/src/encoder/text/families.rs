//! The families of text models: what configurations and tensors are called.

use super::transformer::{RelativeBuckets, TextTransformer};
use crate::encoder::config::Config;
use crate::encoder::nn::{Activation, Attention, Block, BlockNames, BlockShape, Linear, Mask, Mlp, Norm, Order, Rope};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use serde_json::Value;
use std::sync::Arc;

const BERT: BlockNames = BlockNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    mlp_norm: "output.LayerNorm",
    joined: None,
    scales: None,
    gate: None,
    inner_norms: None,
};

const MPNET: BlockNames = BlockNames {
    query: "attention.attn.q",
    key: "attention.attn.k",
    value: "attention.attn.v",
    output: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    ..BERT
};

/// Of CLIP's and `SigLIP`'s towers.
pub(in crate::encoder) const CLIP: BlockNames = BlockNames {
    query: "self_attn.q_proj",
    key: "self_attn.k_proj",
    value: "self_attn.v_proj",
    output: "self_attn.out_proj",
    attention_norm: "layer_norm1",
    up: "mlp.fc1",
    down: "mlp.fc2",
    mlp_norm: "layer_norm2",
    joined: None,
    scales: None,
    gate: None,
    inner_norms: None,
};

/// Of both towers, by the names of `open_clip`.
pub(in crate::encoder) const OPEN_CLIP: BlockNames = BlockNames {
    output: "attn.out_proj",
    attention_norm: "ln_1",
    up: "mlp.c_fc",
    down: "mlp.c_proj",
    mlp_norm: "ln_2",
    joined: Some(("attn.in_proj_weight", "attn.in_proj_bias")),
    ..CLIP
};

/// The activation that a configuration names.
pub(in crate::encoder) fn activation(config: &Config, key: &str, default: &str) -> Result<Activation, EncoderError> {
    let name = config.text(key, default);
    Activation::named(name).ok_or_else(|| config.wrong(format!("`{key}` `{name}` is not known")))
}

/// The number of heads, which must divide the width.
pub(in crate::encoder) fn heads(config: &Config, default: usize, hidden: usize) -> Result<usize, EncoderError> {
    let heads = config.size_or("num_attention_heads", default)?;
    if heads == 0 || !hidden.is_multiple_of(heads) {
        return Err(config.wrong(format!("`num_attention_heads` is {heads}, expected a divisor of {hidden}")));
    }
    Ok(heads)
}

fn bert_like(
    weights: &Weights,
    config: &Config,
    names: &BlockNames,
    first_place: usize,
) -> Result<TextTransformer, EncoderError> {
    let embeddings = weights.at("embeddings");
    let words = embeddings.get("word_embeddings.weight")?;
    let hidden = words.dim(1)?;
    let shape = BlockShape {
        heads: heads(config, 12, hidden)?,
        epsilon: config.number_or("layer_norm_eps", 1e-12),
        activation: activation(config, "hidden_act", "gelu")?,
        order: Order::After,
        mask: Mask::Full,
        rope: None,
    };
    let kind = embeddings.maybe("token_type_embeddings.weight")?;
    let layers = config.size_or("num_hidden_layers", 12)?;
    let places = embeddings.get("position_embeddings.weight")?;
    Ok(TextTransformer {
        longest: places.dim(0)?,
        words,
        places: Some((places, first_place)),
        kind: kind.map(|kind| kind.narrow(0, 0, 1)).transpose()?,
        embedding_norm: Some(Norm::layer(&embeddings.at("LayerNorm"), shape.epsilon)?),
        relative: None,
        scale: None,
        blocks: (0..layers)
            .map(|layer| Block::load(&weights.at("encoder.layer").at(layer), names, &shape))
            .collect::<Result<_, _>>()?,
        final_norm: None,
    })
}

/// BERT; `RoBERTa` and its kin with another first place.
pub(in crate::encoder) fn bert(
    weights: &Weights,
    config: &Config,
    first_place: usize,
) -> Result<TextTransformer, EncoderError> {
    bert_like(weights, config, &BERT, first_place)
}

/// `MPNet`: BERT with relative positions besides the absolute ones.
pub(super) fn mpnet(weights: &Weights, config: &Config) -> Result<TextTransformer, EncoderError> {
    let model = bert_like(weights, config, &MPNET, config.size_or("pad_token_id", 1)? + 1)?;
    let table = weights.get("encoder.relative_attention_bias.weight")?;
    Ok(TextTransformer { relative: Some(RelativeBuckets { table, furthest: 128 }), ..model })
}

/// CLIP's text tower.
pub(in crate::encoder) fn clip(weights: &Weights, config: &Config) -> Result<TextTransformer, EncoderError> {
    tower(weights, config, Mask::Causal, (8, "quick_gelu", 1e-5))
}

/// `SigLIP`'s text tower.
pub(in crate::encoder) fn siglip(weights: &Weights, config: &Config) -> Result<TextTransformer, EncoderError> {
    tower(weights, config, Mask::Full, (12, "gelu_pytorch_tanh", 1e-6))
}

fn tower(
    weights: &Weights,
    config: &Config,
    mask: Mask,
    (default_heads, default_activation, default_epsilon): (usize, &str, f64),
) -> Result<TextTransformer, EncoderError> {
    let embeddings = weights.at("embeddings");
    let words = embeddings.get("token_embedding.weight")?;
    let shape = BlockShape {
        heads: heads(config, default_heads, words.dim(1)?)?,
        epsilon: config.number_or("layer_norm_eps", default_epsilon),
        activation: activation(config, "hidden_act", default_activation)?,
        order: Order::Before,
        mask,
        rope: None,
    };
    let places = embeddings.get("position_embedding.weight")?;
    let layers = config.size_or("num_hidden_layers", 12)?;
    Ok(TextTransformer {
        longest: places.dim(0)?,
        words,
        places: Some((places, 0)),
        kind: None,
        embedding_norm: None,
        relative: None,
        scale: None,
        blocks: (0..layers)
            .map(|layer| Block::load(&weights.at("encoder.layers").at(layer), &CLIP, &shape))
            .collect::<Result<_, _>>()?,
        final_norm: Some(Norm::layer(&weights.at("final_layer_norm"), shape.epsilon)?),
    })
}

/// CLIP's text tower by the names of `open_clip`.
pub(in crate::encoder) fn open_clip(
    weights: &Weights,
    (layers, shape): (usize, &BlockShape),
) -> Result<TextTransformer, EncoderError> {
    let places = weights.get("positional_embedding")?;
    Ok(TextTransformer {
        longest: places.dim(0)?,
        words: weights.get("token_embedding.weight")?,
        places: Some((places, 0)),
        kind: None,
        embedding_norm: None,
        relative: None,
        scale: None,
        blocks: (0..layers)
            .map(|layer| Block::load(&weights.at("transformer.resblocks").at(layer), &OPEN_CLIP, shape))
            .collect::<Result<_, _>>()?,
        final_norm: Some(Norm::layer(&weights.at("ln_final"), shape.epsilon)?),
    })
}

/// Chinese-CLIP's text tower: BERT.
pub(in crate::encoder) fn chinese_clip(weights: &Weights, config: &Config) -> Result<TextTransformer, EncoderError> {
    bert(weights, config, 0)
}

/// A number under one of several keys: newer configurations nest what older ones had at the top.
pub(super) fn theta(config: &Config, section: &str, key: &str, default: f64) -> f64 {
    let parameters = config.at("rope_parameters");
    let nested = if section.is_empty() { parameters } else { parameters.at(section) };
    config.number_or(key, nested.number_or("rope_theta", default))
}

/// `ModernBERT`: rotary positions, gated layers, windows of attention except in every third block.
pub(super) fn modernbert(weights: &Weights, config: &Config) -> Result<TextTransformer, EncoderError> {
    let words = weights.get("embeddings.tok_embeddings.weight")?;
    let hidden = words.dim(1)?;
    let heads = heads(config, 12, hidden)?;
    let epsilon = config.number_or("norm_eps", 1e-5);
    let layers = config.size_or("num_hidden_layers", 22)?;
    let every = config.size_or("global_attn_every_n_layers", 3)?.max(1);
    // Newer configurations list what older ones have a rule for.
    let types = config.get("layer_types").and_then(Value::as_array).map(Vec::as_slice);
    let is_global = |layer: usize| match types.map(|types| types.get(layer).and_then(Value::as_str)) {
        None => Ok(layer.is_multiple_of(every)),
        Some(Some("full_attention")) => Ok(true),
        Some(Some("sliding_attention")) => Ok(false),
        Some(other) => Err(config.wrong(format!("`layer_types` has {other:?} for layer {layer}"))),
    };
    let window = config.size_or("local_attention", 128)? / 2;
    let longest = config.size_or("max_position_embeddings", 8192)?;
    let rope = |theta: f64| Ok::<_, EncoderError>(Arc::new(Rope::new(theta, hidden / heads, longest, &words)?));
    let global = rope(theta(config, "full_attention", "global_rope_theta", 160_000.0))?;
    let local = rope(theta(config, "sliding_attention", "local_rope_theta", 10_000.0))?;
    let activation = activation(config, "hidden_activation", "gelu")?;
    let block = |layer: usize| {
        let weights = weights.at("layers").at(layer);
        // One matrix holds queries, keys and values; another one what is activated and its gate.
        let part = |name: &str, place: usize, parts: usize| {
            Linear::part(&weights, (&format!("{name}.weight"), &format!("{name}.bias")), place, parts)
        };
        let is_global = is_global(layer)?;
        let norm = weights.at("attn_norm");
        Ok(Block {
            attention: Attention {
                query: part("attn.Wqkv", 0, 3)?,
                key: part("attn.Wqkv", 1, 3)?,
                value: part("attn.Wqkv", 2, 3)?,
                output: Linear::load(&weights.at("attn.Wo"))?,
                heads,
                key_heads: heads,
                mask: if is_global { Mask::Full } else { Mask::Window(window) },
                norms: None,
                inner_norm: None,
                rope: Some(Arc::clone(if is_global { &global } else { &local })),
            },
            attention_norm: norm.has("weight").then(|| Norm::layer(&norm, epsilon)).transpose()?,
            mlp: Mlp::Gated {
                gate: part("mlp.Wi", 0, 2)?,
                activation,
                up: part("mlp.Wi", 1, 2)?,
                norm: None,
                down: Linear::load(&weights.at("mlp.Wo"))?,
            },
            mlp_norm: Norm::layer(&weights.at("mlp_norm"), epsilon)?,
            after: None,
            order: Order::Before,
        })
    };
    Ok(TextTransformer {
        places: None,
        kind: None,
        embedding_norm: Some(Norm::layer(&weights.at("embeddings.norm"), epsilon)?),
        relative: None,
        scale: None,
        blocks: (0..layers).map(block).collect::<Result<_, EncoderError>>()?,
        final_norm: Some(Norm::layer(&weights.at("final_norm"), epsilon)?),
        longest,
        words,
    })
}

/// Heads of the queries, and of the keys and values, which several queries may share.
pub(super) fn grouped_heads(config: &Config) -> Result<[usize; 2], EncoderError> {
    let heads = config.size("num_attention_heads")?;
    let key_heads = config.size_or("num_key_value_heads", heads)?;
    if key_heads == 0 || !heads.is_multiple_of(key_heads) {
        let expected = format!("expected a divisor of {heads} heads");
        return Err(config.wrong(format!("`num_key_value_heads` is {key_heads}, {expected}")));
    }
    Ok([heads, key_heads])
}

/// The attention of a block of Qwen3 or Gemma, with normalised queries and keys.
pub(super) fn grouped_attention(
    block: &Weights,
    [heads, key_heads]: [usize; 2],
    mask: Mask,
    norms: (Norm, Norm),
    rope: Arc<Rope>,
) -> Result<Attention, EncoderError> {
    let linear = |name: &str| Linear::load(&block.at("self_attn").at(name));
    Ok(Attention {
        query: linear("q_proj")?,
        key: linear("k_proj")?,
        value: linear("v_proj")?,
        output: linear("o_proj")?,
        heads,
        key_heads,
        mask,
        norms: Some(norms),
        inner_norm: None,
        rope: Some(rope),
    })
}

/// The gated layers of a block of Qwen3 or Gemma.
pub(super) fn gated_layers(block: &Weights, activation: Activation) -> Result<Mlp, EncoderError> {
    let linear = |name: &str| Linear::load(&block.at("mlp").at(name));
    let (gate, up, down) = (linear("gate_proj")?, linear("up_proj")?, linear("down_proj")?);
    Ok(Mlp::Gated { gate, activation, up, norm: None, down })
}

/// Qwen3: causal, rotary positions, groups of heads that share keys, normalised queries and keys.
pub(super) fn qwen3(weights: &Weights, config: &Config) -> Result<TextTransformer, EncoderError> {
    let words = weights.get("embed_tokens.weight")?;
    let hidden = words.dim(1)?;
    let [heads, key_heads] = grouped_heads(config)?;
    let width = config.size_or("head_dim", hidden / heads)?;
    let epsilon = config.number_or("rms_norm_eps", 1e-6);
    // Tables grow with the longest text; what is longer than any sensible text is cut.
    let longest = config.size_or("max_position_embeddings", 32_768)?.min(32_768);
    let rope = Arc::new(Rope::new(theta(config, "", "rope_theta", 1_000_000.0), width, longest, &words)?);
    let activation = activation(config, "hidden_act", "silu")?;
    let block = |layer: usize| {
        let weights = weights.at("layers").at(layer);
        let norm = |name: &str| Norm::root_mean_square(&weights.at(name), epsilon);
        let norms = (norm("self_attn.q_norm")?, norm("self_attn.k_norm")?);
        Ok(Block {
            attention: grouped_attention(&weights, [heads, key_heads], Mask::Causal, norms, Arc::clone(&rope))?,
            attention_norm: Some(norm("input_layernorm")?),
            mlp: gated_layers(&weights, activation)?,
            mlp_norm: norm("post_attention_layernorm")?,
            after: None,
            order: Order::Before,
        })
    };
    let layers = config.size("num_hidden_layers")?;
    Ok(TextTransformer {
        places: None,
        kind: None,
        embedding_norm: None,
        relative: None,
        scale: None,
        blocks: (0..layers).map(block).collect::<Result<_, EncoderError>>()?,
        final_norm: Some(Norm::root_mean_square(&weights.at("norm"), epsilon)?),
        longest,
        words,
    })
}
