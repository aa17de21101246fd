//! Static models: a row for each token, the mean of a text's rows.
//!
//! As model2vec computes them (config.json says `model2vec`), or Sentence-Transformers' `StaticEmbedding`. Tokenizers are
//! read as they are in tokenizer.json, without what they put around texts; model2vec leaves out unknown tokens as well, and
//! cuts texts, by letters before it splits them and by tokens then.

use super::head::Head;
use super::modules::Module;
use super::text_spec;
use super::tokens::{Splitter, TableTokens};
use crate::encoder::config::Config;
use crate::encoder::nn::{Sequences, with_values};
use crate::encoder::registry::EncoderSpec;
use crate::encoder::weights::{WHOLE, Weights};
use crate::encoder::{TextEncoder, Tokens};
use crate::error::EncoderError;
use candle_core::{DType, Device, Result as TensorResult, Tensor};
use rayon::prelude::*;
use std::path::Path;

/// `model_type` of model2vec's folders.
pub(super) const MODEL2VEC: &str = "model2vec";
/// The longest text, in tokens, where model2vec's configuration does not say it.
const LONGEST: usize = 512;
/// Texts of a task: enough that handing them out costs nothing.
const TEXTS: usize = 32;

/// A static model.
pub(super) struct TokenTable {
    splitter: Splitter,
    rows: Tensor, // (rows, hidden)
    /// The row of each token; its own number where this is absent.
    mapping: Option<Vec<u32>>,
    /// What each token's row is multiplied with.
    factors: Option<Vec<f32>>,
    head: Head,
    device: Device,
}

impl TokenTable {
    /// From the folder of the model, with what the modules behind it compute.
    pub(super) fn load(
        spec: &EncoderSpec,
        (folder, place): (&Path, &Path),
        modules: &[Module],
        prefix: String,
        weights: &Weights,
    ) -> Result<Self, EncoderError> {
        let config = Config::read_if_there(&place.join("config.json"))?;
        let config = config.filter(|config| config.text("model_type", "") == MODEL2VEC);
        let name = if weights.has("embedding.weight") { "embedding.weight" } else { "embeddings" };
        let rows = weights.constant(name)?;
        let (count, hidden) = rows.dims2()?;
        let wrong = |reason: String| EncoderError::File { path: place.join(WHOLE), reason };
        let mapping = weights.has("mapping").then(|| weights.integers("mapping")).transpose()?;
        if let Some(row) = mapping.iter().flatten().find(|row| **row as usize >= count) {
            return Err(wrong(format!("`mapping` has row {row}, and there are {count}")));
        }
        let factors = weights.has("weights").then(|| weights.constant("weights")).transpose()?;
        let factors = factors.map(|factors| factors.to_dtype(DType::F32)?.to_vec1::<f32>()).transpose()?;
        let tokens = mapping.as_ref().map_or(count, Vec::len);
        if let Some(factors) = factors.as_ref().filter(|factors| factors.len() != tokens) {
            return Err(wrong(format!("`weights` has {} values, expected {tokens}", factors.len())));
        }
        // model2vec's own switch goes before the module that it leaves for Sentence-Transformers.
        let is_own = |module: &&Module| config.is_none() || module.kind != "Normalize";
        let behind: Vec<Module> = modules.iter().filter(is_own).cloned().collect();
        let own = config.as_ref().map(|config| config.flag("normalize"));
        let head = Head::load(&behind, folder, hidden, weights)?.normalized(spec.normalize.or(own));
        let text = text_spec(spec)?;
        let how = match &config {
            Some(config) => {
                // An explicit null is no bound.
                let bound = if config.value().get("max_length").is_some() { None } else { Some(LONGEST) };
                let longest = text.max_tokens.or(config.maybe_size("max_length")?.or(bound));
                TableTokens { longest, without_unknown: true }
            }
            None => TableTokens { longest: text.max_tokens, without_unknown: false },
        };
        let splitter = Splitter::of_table(place, prefix, text.lowercase, &how)?;
        if splitter.vocabulary() > tokens {
            let reason = format!("{tokens} tokens have rows, and tokenizer.json has {}", splitter.vocabulary());
            return Err(wrong(reason));
        }
        Ok(Self { splitter, rows, mapping, factors, head, device: weights.device().clone() })
    }

    fn row(&self, token: u32) -> u32 {
        self.mapping.as_ref().map_or(token, |mapping| mapping[token as usize])
    }

    fn factor(&self, token: u32) -> f32 {
        self.factors.as_ref().map_or(1.0, |factors| factors[token as usize])
    }

    /// The rows of tokens, one after the other, `(tokens, hidden)`.
    fn gather(&self, tokens: &[u32]) -> TensorResult<Tensor> {
        let rows: Vec<u32> = tokens.iter().map(|&token| self.row(token)).collect();
        let x = self.rows.index_select(&Tensor::from_vec(rows, tokens.len(), &self.device)?, 0)?;
        let Some(_) = self.factors else { return Ok(x) };
        let factors: Vec<f32> = tokens.iter().map(|&token| self.factor(token)).collect();
        x.broadcast_mul(&Tensor::from_vec(factors, (tokens.len(), 1), &self.device)?.to_dtype(x.dtype())?)
    }

    /// The means of texts in one pass over their rows, f32 on the CPU.
    fn means(&self, batch: &[Tokens]) -> TensorResult<Tensor> {
        let hidden = self.rows.dim(1)?;
        let mut out = vec![0f32; batch.len() * hidden];
        with_values(&self.rows, |rows| {
            out.par_chunks_mut(TEXTS * hidden).zip(batch.par_chunks(TEXTS)).for_each(|(out, batch)| {
                for (out, Tokens(tokens)) in out.chunks_exact_mut(hidden).zip(batch) {
                    for &token in tokens {
                        let (row, factor) = (self.row(token) as usize * hidden, self.factor(token));
                        out.iter_mut().zip(&rows[row..row + hidden]).for_each(|(sum, x)| *sum += x * factor);
                    }
                    let share = 1.0 / tokens.len().max(1) as f32;
                    out.iter_mut().for_each(|sum| *sum *= share);
                }
            });
        })?;
        Tensor::from_vec(out, (batch.len(), hidden), &self.device)
    }
}

impl TextEncoder for TokenTable {
    fn dimension(&self) -> usize {
        self.head.dimension()
    }

    fn tokenize(&self, text: &str) -> Result<Tokens, EncoderError> {
        self.splitter.split(text)
    }

    fn encode(&self, batch: &[Tokens]) -> Result<Tensor, EncoderError> {
        if self.device.is_cpu() && self.rows.dtype() == DType::F32 {
            return Ok(self.head.forward(self.means(batch)?)?);
        }
        let activations = self.encode_before(batch, 0)?;
        self.encode_after(&activations.iter().collect::<Vec<_>>(), 0)
    }

    fn num_blocks(&self) -> usize {
        0
    }

    fn encode_before(&self, batch: &[Tokens], _: usize) -> Result<Vec<Tensor>, EncoderError> {
        batch.iter().map(|Tokens(tokens)| Ok(self.gather(tokens)?)).collect()
    }

    fn encode_after(&self, activations: &[&Tensor], _: usize) -> Result<Tensor, EncoderError> {
        if activations.is_empty() {
            return Ok(Tensor::zeros((0, self.dimension()), DType::F32, &self.device)?);
        }
        let sequences = Sequences::new(activations.iter().map(|x| x.dims()[0]).collect(), &self.device);
        Ok(self.head.forward(sequences.mean(&Tensor::cat(activations, 0)?, 0)?)?)
    }
}
