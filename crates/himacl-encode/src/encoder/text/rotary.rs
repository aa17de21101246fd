//! BERT with rotary positions, as Nomic and Alibaba have it: normalisation after each part, joined projections, gated
//! layers, experts. Settings are read by their own names and by those of transformers, which has both since version 5;
//! tensors keep their own names there.

use super::families::{activation, heads, theta};
use super::transformer::TextTransformer;
use crate::encoder::config::Config;
use crate::encoder::nn::{Activation, Attention, Block, Experts, Linear, Mask, Mlp, Norm, Order, Rope};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::Tensor;
use std::sync::Arc;

/// What tensors of a block are called.
struct Names {
    /// Queries, keys and values in one.
    joined: &'static str,
    output: &'static str,
    attention_norm: &'static str,
    /// What multiplies what is activated, and that, in one.
    joined_mlp: Option<&'static str>,
    /// The same apart.
    gate: &'static str,
    up: &'static str,
    /// In the place of both where nothing is gated.
    plain: &'static str,
    down: &'static str,
    mlp_norm: &'static str,
}

const NOMIC: Names = Names {
    joined: "attn.Wqkv",
    output: "attn.out_proj",
    attention_norm: "norm1",
    joined_mlp: None,
    gate: "mlp.fc12",
    up: "mlp.fc11",
    plain: "mlp.fc1",
    down: "mlp.fc2",
    mlp_norm: "norm2",
};

const ALIBABA: Names = Names {
    joined: "attention.qkv_proj",
    output: "attention.o_proj",
    attention_norm: "attn_ln",
    joined_mlp: Some("mlp.up_gate_proj"),
    gate: "",
    up: "",
    plain: "",
    down: "mlp.down_proj",
    mlp_norm: "mlp_ln",
};

/// What configurations say, whatever they call it.
struct Shape {
    layers: usize,
    heads: usize,
    epsilon: f64,
    activation: Activation,
    /// Of the angles of positions.
    base: f64,
    longest: usize,
    /// Experts of a token.
    chosen: usize,
}

/// Nomic's, with experts or without.
pub(super) fn nomic(weights: &Weights, config: &Config) -> Result<TextTransformer, EncoderError> {
    let words = weights.get("embeddings.word_embeddings.weight")?;
    let hidden = words.dim(1)?;
    let is_own = config.get("n_layer").is_some();
    let shape = if is_own { nomic_shape(config, hidden)? } else { transformers_shape(config, hidden, 1_000.0)? };
    let layers = weights.at("encoder.layers");
    let every = config.size_or("moe_every_n_layers", 0)?;
    for layer in 0..shape.layers {
        // The first block has none.
        let is_mixed = every > 0 && layer % every == 1;
        let router = layers.at(layer).at("mlp.router.layer");
        if is_mixed && router.has("weight") {
            let (count, chosen) = (router.get("weight")?.dim(0)?, shape.chosen);
            if !(1..=count).contains(&chosen) {
                return Err(config.wrong(format!("`moe_top_k` is {chosen}, expected 1 to {count}")));
            }
        }
        if is_mixed != router.has("weight") {
            let found = if is_mixed { "has no experts" } else { "has experts" };
            return Err(config.wrong(format!("block {layer} {found}, and `moe_every_n_layers` is {every}")));
        }
    }
    let rope = Rope::new(shape.base, hidden / shape.heads, shape.longest, &words)?;
    let norm = Norm::layer(&weights.at("emb_ln"), shape.epsilon)?;
    model(weights, (words, norm), &layers, &NOMIC, &shape, rope)
}

/// The settings of Nomic's own code; what it can do besides is refused.
fn nomic_shape(config: &Config, hidden: usize) -> Result<Shape, EncoderError> {
    for key in ["prenorm", "use_rms_norm", "causal", "parallel_block", "rotary_emb_interleaved", "expert_choice_router"]
    {
        if config.flag(key) {
            return Err(config.wrong(format!("`{key}` is true, which is not supported")));
        }
    }
    let ones = [("rotary_emb_fraction", 1.0), ("num_shared_experts", 0.0), ("rotary_scaling_factor", 1.0)];
    for (key, expected) in ones {
        let got = config.number_or(key, expected);
        if got != expected {
            return Err(config.wrong(format!("`{key}` is {got}, expected {expected}")));
        }
    }
    for key in ["rotary_emb_scale_base", "moe_normalize_expert_weights"] {
        if config.get(key).is_some_and(|value| value.as_bool() != Some(false)) {
            return Err(config.wrong(format!("`{key}` is set, which is not supported")));
        }
    }
    if config.get("scale_attn_weights").is_some_and(|value| value.as_bool() != Some(true)) {
        return Err(config.wrong("`scale_attn_weights` is false, which is not supported"));
    }
    let heads = config.size("n_head")?;
    if heads == 0 || !hidden.is_multiple_of(heads) {
        return Err(config.wrong(format!("`n_head` is {heads}, expected a divisor of {hidden}")));
    }
    let name = config.text("activation_function", "gelu");
    let activation = match name {
        "swiglu" => Activation::Silu,
        "geglu" => Activation::Gelu,
        _ => activation(config, "activation_function", "gelu")?,
    };
    Ok(Shape {
        layers: config.size("n_layer")?,
        heads,
        epsilon: config.number_or("layer_norm_epsilon", 1e-5),
        activation,
        base: config.number_or("rotary_emb_base", 10_000.0),
        longest: config.size_or("n_positions", 2_048)?,
        chosen: config.size_or("moe_top_k", 1)?,
    })
}

/// Alibaba's: GTE.
pub(super) fn gte(weights: &Weights, config: &Config) -> Result<TextTransformer, EncoderError> {
    let weights = weights.at_if_there("new");
    if config.flag("logn_attention_scale") {
        return Err(config.wrong("`logn_attention_scale` is true, which is not supported"));
    }
    let kinds = [("position_embedding_type", "rope"), ("layer_norm_type", "layer_norm")];
    for (key, expected) in kinds {
        let got = config.text(key, expected);
        if got != expected {
            return Err(config.wrong(format!("`{key}` is `{got}`, expected `{expected}`")));
        }
    }
    let embeddings = weights.at("embeddings");
    let words = embeddings.get("word_embeddings.weight")?;
    // Alibaba's own default, and that of transformers.
    let base = if config.text("model_type", "") == "new" { 10_000.0 } else { 160_000.0 };
    let shape = transformers_shape(config, words.dim(1)?, base)?;
    let (base, width) = (shape.base, words.dim(1)? / shape.heads);
    let scaling = config.at("rope_scaling");
    let rope = match scaling.text("type", scaling.text("rope_type", "")) {
        "" => Rope::new(base, width, shape.longest, &words)?,
        // A fixed factor: of the base, and of every frequency (Su, "Transformer upgrade road" 11; vLLM's ntk scaling).
        "ntk" if scaling.get("mixed_b").is_none() => {
            let factor = scaling.number_or("factor", 1.0);
            Rope::scaled(factor.powf(-2.0 / width as f64), base * factor, width, shape.longest, &words)?
        }
        other => {
            return Err(config.wrong(format!("`rope_scaling` is of type `{other}`, expected ntk with `factor` alone")));
        }
    };
    let norm = Norm::layer(&embeddings.at("LayerNorm"), shape.epsilon)?;
    model(&weights, (words, norm), &weights.at("encoder.layer"), &ALIBABA, &shape, rope)
}

fn transformers_shape(config: &Config, hidden: usize, base: f64) -> Result<Shape, EncoderError> {
    let heads = heads(config, 12, hidden)?;
    let width = config.size_or("head_dim", hidden / heads)?;
    if width * heads != hidden {
        return Err(config.wrong(format!("`head_dim` is {width}, expected {}", hidden / heads)));
    }
    Ok(Shape {
        layers: config.size("num_hidden_layers")?,
        heads,
        epsilon: config.number_or("layer_norm_eps", 1e-12),
        activation: activation(config, "hidden_act", "silu")?,
        base: theta(config, "", "rope_theta", base),
        longest: config.size_or("max_position_embeddings", 2_048)?,
        chosen: 1,
    })
}

fn model(
    weights: &Weights,
    (words, embedding_norm): (Tensor, Norm),
    layers: &Weights,
    names: &Names,
    shape: &Shape,
    rope: Rope,
) -> Result<TextTransformer, EncoderError> {
    let kind = weights.maybe("embeddings.token_type_embeddings.weight")?;
    let rope = Arc::new(rope);
    let block = |layer: usize| block(&layers.at(layer), names, shape, &rope);
    Ok(TextTransformer {
        longest: shape.longest,
        words,
        scale: None,
        places: None,
        kind: kind.map(|kind| kind.narrow(0, 0, 1)).transpose()?,
        embedding_norm: Some(embedding_norm),
        relative: None,
        blocks: (0..shape.layers).map(block).collect::<Result<_, _>>()?,
        final_norm: None,
    })
}

fn block(weights: &Weights, names: &Names, shape: &Shape, rope: &Arc<Rope>) -> Result<Block, EncoderError> {
    let linear = |name: &str| Linear::load(&weights.at(name));
    let part = |name: &str, place: usize, parts: usize| {
        Linear::part(weights, (&format!("{name}.weight"), &format!("{name}.bias")), place, parts)
    };
    let activation = shape.activation;
    let mlp = match names.joined_mlp {
        Some(joined) => Mlp::Gated {
            gate: part(joined, 1, 2)?,
            activation,
            up: part(joined, 0, 2)?,
            norm: None,
            down: linear(names.down)?,
        },
        None if weights.at("mlp.router").has_any() => {
            Mlp::Experts(Experts::load(&weights.at("mlp"), shape.chosen, activation)?)
        }
        None if weights.at(names.plain).has_any() => {
            Mlp::Plain { up: linear(names.plain)?, activation, down: linear(names.down)? }
        }
        None => Mlp::Gated {
            gate: linear(names.gate)?,
            activation,
            up: linear(names.up)?,
            norm: None,
            down: linear(names.down)?,
        },
    };
    Ok(Block {
        attention: Attention {
            query: part(names.joined, 0, 3)?,
            key: part(names.joined, 1, 3)?,
            value: part(names.joined, 2, 3)?,
            output: linear(names.output)?,
            heads: shape.heads,
            key_heads: shape.heads,
            mask: Mask::Full,
            norms: None,
            rope: Some(Arc::clone(rope)),
            inner_norm: None,
        },
        attention_norm: Some(Norm::layer(&weights.at(names.attention_norm), shape.epsilon)?),
        mlp,
        mlp_norm: Norm::layer(&weights.at(names.mlp_norm), shape.epsilon)?,
        after: None,
        order: Order::After,
    })
}
