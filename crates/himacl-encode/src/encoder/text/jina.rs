//! The text tower of jina-clip-v2: BERT with rotary positions whose layers have adapters, one for each task. Its sizes are
//! those of jina-embeddings-v3, whose configuration (transformers, `JinaEmbeddingsV3Config`) jina-clip-v2's own completes;
//! names and adapters are those of the published code (jinaai/xlm-roberta-flash-implementation).

use super::families::{activation, heads};
use super::transformer::TextTransformer;
use crate::encoder::config::Config;
use crate::encoder::nn::{Attention, Block, Linear, Mask, Mlp, Norm, Order, Rope};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{DType, Tensor};
use serde_json::Value;
use std::sync::Arc;

/// The repository whose configuration is completed.
const BASE: &str = "jinaai/jina-embeddings-v3";

/// What is added to the weights of a layer: a product of two narrow matrices.
struct Adapter {
    /// Its number among those of all tasks.
    place: usize,
    tasks: usize,
    scale: f64,
}

impl Adapter {
    /// That of the default task, which the published code takes unless it is told another one; none where there is no default.
    fn of_default(config: &Config, own: &Config) -> Result<Option<Self>, EncoderError> {
        let names = own.get("lora_adaptations").and_then(Value::as_array).ok_or_else(|| {
            config.wrong("`lora_adaptations` is missing in `hf_model_config_kwargs`, expected a list of tasks")
        })?;
        let Some(task) = config.get("default_lora_task") else { return Ok(None) };
        let place = names.iter().position(|name| name == task);
        let place = place
            .ok_or_else(|| config.wrong(format!("`default_lora_task` is {task}, which `lora_adaptations` has not")))?;
        let (alpha, rank) = (own.size("lora_alpha")?, own.size("lora_rank")?);
        if rank == 0 {
            return Err(config.wrong("`lora_rank` is 0, expected a number from 1"));
        }
        Ok(Some(Self { place, tasks: names.len(), scale: alpha as f64 / rank as f64 }))
    }
}

/// The weight of a layer, or of a table of rows, with the adapter merged into it.
fn merged(weights: &Weights, adapter: Option<&Adapter>, is_table: bool) -> Result<Tensor, EncoderError> {
    let parts = weights.at("parametrizations.weight");
    if !parts.has("original") {
        return weights.get("weight");
    }
    let (original, a, b) = (parts.get("original")?, parts.get("0.lora_A")?, parts.get("0.lora_B")?);
    let Some(adapter) = adapter else { return Ok(original) };
    let whole = |tensor: &Tensor| {
        if tensor.dim(0)? != adapter.tasks {
            candle_core::bail!("adapters are {:?}, expected those of {} tasks", tensor.dims(), adapter.tasks);
        }
        tensor.get(adapter.place)?.to_dtype(DType::F32)
    };
    let (a, b) = (whole(&a)?, whole(&b)?);
    let product = if is_table { a.matmul(&b)? } else { b.matmul(&a)? };
    let sum = (original.to_dtype(DType::F32)? + (product * adapter.scale)?)?;
    Ok(sum.to_dtype(original.dtype())?)
}

/// The tower below `weights`, as `text_config` describes it.
pub(in crate::encoder) fn jina(weights: &Weights, config: &Config) -> Result<TextTransformer, EncoderError> {
    let expected = [("hf_model_name_or_path", BASE), ("pooler_type", "mean_pooler")];
    for (key, expected) in expected {
        let got = config.text(key, if key == "pooler_type" { expected } else { "" });
        if got != expected {
            return Err(config.wrong(format!("`{key}` is `{got}`, expected `{expected}`")));
        }
    }
    for key in ["proj_type", "default_instruction_task"] {
        if let Some(value) = config.get(key) {
            return Err(config.wrong(format!("`{key}` is {value}, which is not supported")));
        }
    }
    let own = config.at("hf_model_config_kwargs");
    if own.text("position_embedding_type", "rotary") != "rotary" {
        return Err(own.wrong("`position_embedding_type` is not `rotary`"));
    }
    let adapter = Adapter::of_default(config, &own)?;
    let adapter = adapter.as_ref();
    let embeddings = weights.at("embeddings");
    let words = merged(&embeddings.at("word_embeddings"), adapter, true)?;
    let kind = merged(&embeddings.at("token_type_embeddings"), adapter, true)?;
    let hidden = words.dim(1)?;
    let heads = heads(&own, hidden / 64, hidden)?;
    let longest = own.size_or("max_position_embeddings", 8_194)?;
    let epsilon = own.number_or("layer_norm_eps", 1e-5);
    let activation = activation(&own, "hidden_act", "gelu")?;
    let rope = Arc::new(Rope::new(own.number_or("rotary_emb_base", 20_000.0), hidden / heads, longest, &words)?);
    let block = |weights: &Weights| {
        let layer = |name: &str| {
            let weights = weights.at(name);
            Ok::<_, EncoderError>((merged(&weights, adapter, false)?, weights.maybe("bias")?))
        };
        let linear = |name: &str| layer(name).and_then(|(weight, bias)| Linear::new(&weight, bias));
        let (joined, bias) = layer("mixer.Wqkv")?;
        let part = |place: usize| {
            let bias = bias.as_ref().map(|bias| bias.narrow(0, place * hidden, hidden)).transpose()?;
            Linear::new(&joined.narrow(0, place * hidden, hidden)?, bias)
        };
        Ok::<_, EncoderError>(Block {
            attention: Attention {
                query: part(0)?,
                key: part(1)?,
                value: part(2)?,
                output: linear("mixer.out_proj")?,
                heads,
                key_heads: heads,
                mask: Mask::Full,
                norms: None,
                rope: Some(Arc::clone(&rope)),
                inner_norm: None,
            },
            attention_norm: Some(Norm::layer(&weights.at("norm1"), epsilon)?),
            mlp: Mlp::Plain { up: linear("mlp.fc1")?, activation, down: linear("mlp.fc2")? },
            mlp_norm: Norm::layer(&weights.at("norm2"), epsilon)?,
            after: None,
            order: Order::After,
        })
    };
    let layers = (0..).map(|layer| weights.at("encoder.layers").at(layer)).take_while(Weights::has_any);
    Ok(TextTransformer {
        longest,
        kind: Some(kind.narrow(0, 0, 1)?),
        scale: None,
        places: None,
        embedding_norm: Some(Norm::layer(&weights.at("emb_ln"), epsilon)?),
        relative: None,
        blocks: layers.map(|weights| block(&weights)).collect::<Result<_, _>>()?,
        final_norm: None,
        words,
    })
}
