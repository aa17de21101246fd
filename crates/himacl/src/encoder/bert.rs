//! BERT with mean pooling, as Sentence-Transformers uses it.

use super::error::EncoderError;
use super::registry::EncoderSpec;
use super::{TextEncoder, Tokens};
use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear, Module, VarBuilder, embedding, layer_norm, linear, ops};
use serde::Deserialize;
use std::path::Path;
use tokenizers::Tokenizer;
use tokenizers::utils::truncation::TruncationParams;

/// What is added to the scores of padding: far below every score, and finite in half precision.
const MASKED: f32 = -30_000.0;

/// config.json.
#[derive(Debug, Clone, Deserialize)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
    output_norm: LayerNorm,
    heads: usize,
}

/// The model and its tokenizer.
pub(super) struct Bert {
    tokenizer: Tokenizer,
    prefix: String,
    words: Embedding,
    positions: Tensor,
    kind: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    normalize: bool,
    dimension: usize,
    device: Device,
    dtype: DType,
}

impl Bert {
    pub(super) fn load(
        spec: &EncoderSpec,
        folder: &Path,
        weights: &VarBuilder<'_>,
    ) -> std::result::Result<Self, EncoderError> {
        let path = folder.join("config.json");
        let wrong = |reason: String| EncoderError::File { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let config: Config = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let Some(text) = &spec.text else {
            return Err(wrong("the registry has no [text] for this encoder".to_owned()));
        };
        let root = if weights.contains_tensor("bert.embeddings.word_embeddings.weight") {
            weights.pp("bert")
        } else {
            weights.clone()
        };
        let (words, hidden) = (root.pp("embeddings"), config.hidden_size);
        let norm = |weights: VarBuilder<'_>| layer_norm(hidden, config.layer_norm_eps, weights);
        let layers = (0..config.num_hidden_layers).map(|layer| {
            let weights = root.pp(format!("encoder.layer.{layer}"));
            let (attention, inner) = (weights.pp("attention"), config.intermediate_size);
            Ok(Layer {
                query: linear(hidden, hidden, attention.pp("self.query"))?,
                key: linear(hidden, hidden, attention.pp("self.key"))?,
                value: linear(hidden, hidden, attention.pp("self.value"))?,
                output: linear(hidden, hidden, attention.pp("output.dense"))?,
                attention_norm: norm(attention.pp("output.LayerNorm"))?,
                widen: linear(hidden, inner, weights.pp("intermediate.dense"))?,
                narrow: linear(inner, hidden, weights.pp("output.dense"))?,
                output_norm: norm(weights.pp("output.LayerNorm"))?,
                heads: config.num_attention_heads,
            })
        });
        Ok(Self {
            tokenizer: tokenizer(&folder.join("tokenizer.json"), text.max_tokens.min(config.max_position_embeddings))?,
            prefix: text.prefix.clone(),
            words: embedding(config.vocab_size, hidden, words.pp("word_embeddings"))?,
            positions: words.get((config.max_position_embeddings, hidden), "position_embeddings.weight")?,
            kind: words.get((config.type_vocab_size, hidden), "token_type_embeddings.weight")?.narrow(0, 0, 1)?,
            norm: norm(words.pp("LayerNorm"))?,
            layers: layers.collect::<Result<_>>()?,
            normalize: spec.normalize,
            dimension: hidden,
            device: weights.device().clone(),
            dtype: weights.dtype(),
        })
    }
}

fn tokenizer(path: &Path, max_tokens: usize) -> std::result::Result<Tokenizer, EncoderError> {
    let wrong = |error: tokenizers::Error| EncoderError::File { path: path.to_path_buf(), reason: error.to_string() };
    let mut tokenizer = Tokenizer::from_file(path).map_err(wrong)?;
    // Padding belongs to a batch, not to a text; the file may ask for some.
    tokenizer.with_padding(None);
    let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(wrong)?;
    Ok(tokenizer)
}

impl TextEncoder for Bert {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn tokenize(&self, text: &str) -> std::result::Result<Tokens, EncoderError> {
        let text = format!("{}{text}", self.prefix);
        let encoding =
            self.tokenizer.encode_fast(text, true).map_err(|error| EncoderError::Tokenizer(error.to_string()))?;
        Ok(Tokens(encoding.get_ids().to_vec()))
    }

    fn encode(&self, batch: &[Tokens]) -> std::result::Result<Tensor, EncoderError> {
        let (n, length) = (batch.len(), batch.iter().map(|tokens| tokens.0.len()).max().unwrap_or(1));
        let (mut ids, mut mask) = (vec![0u32; n * length], vec![0f32; n * length]);
        for (row, tokens) in batch.iter().enumerate() {
            ids[row * length..][..tokens.0.len()].copy_from_slice(&tokens.0);
            mask[row * length..][..tokens.0.len()].fill(1.0);
        }
        let padded = batch.iter().any(|tokens| tokens.0.len() < length);
        let ids = Tensor::from_vec(ids, (n, length), &self.device)?;
        let mask = Tensor::from_vec(mask, (n, length), &self.device)?.to_dtype(self.dtype)?;
        let bias = if padded { Some(((1.0 - &mask)? * f64::from(MASKED))?.reshape((n, 1, 1, length))?) } else { None };
        let places = (self.positions.narrow(0, 0, length)?.broadcast_add(&self.kind))?;
        let mut x = self.norm.forward(&self.words.forward(&ids)?.broadcast_add(&places)?)?; // (n, length, hidden)
        for layer in &self.layers {
            x = layer.forward(&x, bias.as_ref())?;
        }
        let weights = mask.unsqueeze(D::Minus1)?;
        let mean = x.broadcast_mul(&weights)?.sum(1)?.broadcast_div(&weights.sum(1)?)?; // (n, hidden)
        if !self.normalize {
            return Ok(mean);
        }
        let norm = mean.to_dtype(DType::F32)?.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.clamp(1e-12f32, f32::MAX)?;
        Ok(mean.broadcast_div(&norm.to_dtype(self.dtype)?)?)
    }
}

impl Layer {
    fn forward(&self, x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let (n, length, hidden) = x.dims3()?;
        let width = hidden / self.heads;
        let split = |y: Tensor| y.reshape((n, length, self.heads, width))?.transpose(1, 2)?.contiguous();
        let (query, key, value) =
            (split(self.query.forward(x)?)?, split(self.key.forward(x)?)?, split(self.value.forward(x)?)?);
        let scores = (query.matmul(&key.t()?)? * (1.0 / (width as f64).sqrt()))?; // (n, heads, length, length)
        let scores = match bias {
            Some(bias) => scores.broadcast_add(bias)?,
            None => scores,
        };
        let attended = ops::softmax_last_dim(&scores)?.matmul(&value)?;
        let attended = attended.transpose(1, 2)?.reshape((n, length, hidden))?;
        let x = self.attention_norm.forward(&(self.output.forward(&attended)? + x)?)?;
        let inner = self.narrow.forward(&self.widen.forward(&x)?.gelu_erf()?)?;
        self.output_norm.forward(&(inner + x)?)
    }
}
