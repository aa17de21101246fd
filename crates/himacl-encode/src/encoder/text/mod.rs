//! Texts to embeddings: tokenizer, transformer, pooling, projections.

pub(super) mod families;
pub(super) mod folder;
pub(super) mod tokens;
pub(super) mod transformer;

use super::config::Config;
use super::nn::{Activation, Linear, Sequences, in_parts};
use super::registry::{EncoderSpec, Family, Pooling, TextSpec};
use super::weights::Weights;
use super::{TextEncoder, Tokens};
use crate::error::EncoderError;
use candle_core::{D, DType, Device, Tensor};
use families::bert;
use folder::SentenceTransformer;
use serde_json::Value;
use std::path::Path;
use tokens::Splitter;
use transformer::TextTransformer;

/// An encoder of texts.
pub(super) struct Text {
    pub(super) splitter: Splitter,
    pub(super) transformer: TextTransformer,
    pub(super) pooling: Pooling,
    /// So many tokens at the beginning, those of the prompt, do not count in a mean.
    pub(super) left_out: usize,
    pub(super) projections: Vec<(Linear, Activation)>,
    pub(super) normalize: bool,
    pub(super) dimension: usize,
    pub(super) device: Device,
}

/// The registry's description of how texts are prepared.
pub(super) fn text_spec(spec: &EncoderSpec) -> Result<&TextSpec, EncoderError> {
    spec.text.as_ref().ok_or(EncoderError::Section { name: spec.name.clone(), section: "text" })
}

impl Text {
    /// A model of the family that config.json tells, with what Sentence-Transformers' files add.
    pub(super) fn load(spec: &EncoderSpec, folder: &Path, weights: &Weights) -> Result<Self, EncoderError> {
        let config = Config::read(&folder.join("config.json"))?;
        let kind = config.text("model_type", "bert").to_owned();
        let fits = matches!(
            (spec.family, kind.as_str()),
            (Family::SentenceTransformers, _)
                | (Family::Bert, "bert")
                | (Family::XlmRoberta, "xlm-roberta" | "roberta" | "camembert")
                | (Family::Mpnet, "mpnet")
                | (Family::Modernbert, "modernbert")
                | (Family::Qwen3, "qwen3")
        );
        if !fits {
            return Err(config.wrong(format!("`model_type` is `{kind}`, expected one of family {:?}", spec.family)));
        }
        check(&config, &kind)?;
        let extra = SentenceTransformer::read(folder)?;
        let transformer = match kind.as_str() {
            "bert" => bert(&weights.at_if_there("bert"), &config, 0)?,
            // Positions are counted from the one behind the padding's.
            "xlm-roberta" | "roberta" | "camembert" => {
                bert(&weights.at_if_there("roberta"), &config, config.size_or("pad_token_id", 1)? + 1)?
            }
            "mpnet" => families::mpnet(&weights.at_if_there("mpnet"), &config)?,
            "modernbert" => families::modernbert(&weights.at_if_there("model"), &config)?,
            "qwen3" => families::qwen3(&weights.at_if_there("model"), &config)?,
            other => {
                let known = "bert, xlm-roberta, roberta, camembert, mpnet, modernbert, qwen3";
                return Err(config.wrong(format!("`model_type` is `{other}`, expected one of: {known}")));
            }
        };
        let text = text_spec(spec)?;
        let last = if kind == "qwen3" { Pooling::Last } else { Pooling::Mean };
        let pooling = spec.pooling.or(extra.pooling).unwrap_or(last);
        let max_tokens = text.max_tokens.or(extra.max_tokens).unwrap_or(usize::MAX).min(transformer.positions());
        let prefix = text.prefix.clone().or_else(|| extra.prefix.clone()).unwrap_or_default();
        let projections = extra.dense(folder, weights)?;
        let dimension = projections.last().map_or(Ok(transformer.hidden()), |(linear, _)| linear.outputs())?;
        let splitter = Splitter::load(folder, prefix, max_tokens, text.lowercase || extra.lowercase)?;
        let left_out = if extra.without_prompt { splitter.prompt_tokens()? } else { 0 };
        Ok(Self {
            splitter,
            transformer,
            pooling,
            left_out,
            projections,
            normalize: spec.normalize.unwrap_or(extra.normalize),
            dimension,
            device: weights.device().clone(),
        })
    }
}

/// Refuses what would change embeddings and is not computed, and a configuration without what no weights tell.
fn check(config: &Config, kind: &str) -> Result<(), EncoderError> {
    for key in ["num_hidden_layers", "num_attention_heads"] {
        config.size(key)?;
    }
    let refused = |what: String| Err(config.wrong(format!("{what}, which is not supported")));
    if config.at("auto_map").get("AutoModel").is_some() {
        return refused("`auto_map` says that code of the repository computes the model".to_owned());
    }
    let places = config.text("position_embedding_type", "absolute");
    if places != "absolute" {
        return refused(format!("`position_embedding_type` is `{places}`"));
    }
    if kind == "qwen3" && config.get("is_causal") == Some(&Value::Bool(false)) {
        return refused("`is_causal` is false".to_owned());
    }
    for key in ["is_decoder", "use_sliding_window", "use_bidirectional_attention"] {
        if config.flag(key) {
            return refused(format!("`{key}` is true"));
        }
    }
    let rope = [config.at("rope_scaling"), config.at("rope_parameters")];
    let sections = ["full_attention", "sliding_attention"].iter().map(|section| rope[1].at(section));
    for rope in rope.iter().cloned().chain(sections) {
        let kind = rope.text("rope_type", rope.text("type", "default"));
        if kind != "default" {
            return refused(format!("rotary positions are scaled (`rope_type` is `{kind}`)"));
        }
    }
    Ok(())
}

impl TextEncoder for Text {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn tokenize(&self, text: &str) -> Result<Tokens, EncoderError> {
        self.splitter.split(text)
    }

    fn encode(&self, batch: &[Tokens]) -> Result<Tensor, EncoderError> {
        if batch.is_empty() {
            return Ok(Tensor::zeros((0, self.dimension), DType::F32, &self.device)?);
        }
        let whole = |part: &[Tokens]| {
            let (x, sequences) = self.start(part, self.num_blocks())?;
            self.finish(x, &sequences, 0, Some(part))
        };
        if !self.device.is_cpu() {
            return whole(batch);
        }
        in_parts(batch, |tokens| tokens.0.len(), whole)
    }

    fn num_blocks(&self) -> usize {
        self.transformer.blocks.len()
    }

    fn encode_before(&self, batch: &[Tokens], last: usize) -> Result<Vec<Tensor>, EncoderError> {
        let (x, sequences) = self.start(batch, self.num_blocks().saturating_sub(last))?;
        // Copies: a view would keep the activations of the whole batch.
        sequences.spans().map(|(start, length)| Ok(x.narrow(0, start, length)?.copy()?)).collect()
    }

    fn encode_after(&self, activations: &[&Tensor], last: usize) -> Result<Tensor, EncoderError> {
        if activations.is_empty() {
            return Ok(Tensor::zeros((0, self.dimension), DType::F32, &self.device)?);
        }
        let sequences = Sequences::new(activations.iter().map(|x| x.dims()[0]).collect(), &self.device);
        self.finish(Tensor::cat(activations, 0)?, &sequences, last.min(self.num_blocks()), None)
    }
}

impl Text {
    /// What leaves the first `blocks` blocks, `(tokens, hidden)`.
    fn start(&self, batch: &[Tokens], blocks: usize) -> Result<(Tensor, Sequences), EncoderError> {
        let ids: Vec<u32> = batch.iter().flat_map(|tokens| tokens.0.iter().copied()).collect();
        let sequences = Sequences::new(batch.iter().map(|tokens| tokens.0.len()).collect(), &self.device);
        let tokens = ids.len();
        let x = self.transformer.start(&Tensor::from_vec(ids, tokens, &self.device)?, &sequences, blocks)?;
        Ok((x, sequences))
    }

    /// The last `last` blocks and what follows; where texts are read at their end token, `batch` tells where that is.
    fn finish(
        &self,
        x: Tensor,
        sequences: &Sequences,
        last: usize,
        batch: Option<&[Tokens]>,
    ) -> Result<Tensor, EncoderError> {
        let x = self.transformer.finish(x, sequences, last)?;
        let mut pooled = match self.pooling {
            Pooling::Cls => sequences.pick(&x, |_| 0)?,
            Pooling::Last => sequences.last(&x)?,
            Pooling::End => match batch {
                Some(batch) => sequences.pick(&x, |row| largest(&batch[row]))?,
                None => {
                    return Err(candle_core::Error::Msg("activations do not tell where texts end".to_owned()).into());
                }
            },
            Pooling::Mean => sequences.mean(&x, self.left_out)?,
        };
        for (linear, activation) in &self.projections {
            pooled = linear.forward(&pooled, None, *activation)?;
        }
        let pooled = pooled.to_dtype(DType::F32)?;
        if !self.normalize {
            return Ok(pooled);
        }
        // The smallest length keeps a vector of zeros what it is.
        let length = (pooled.sqr()?.sum_keepdim(D::Minus1)? + 1e-24)?.sqrt()?;
        Ok(pooled.broadcast_div(&length)?)
    }
}

/// The place of the largest number, the first one of several.
fn largest(tokens: &Tokens) -> usize {
    let places = tokens.0.iter().enumerate();
    places.max_by_key(|&(place, id)| (id, std::cmp::Reverse(place))).map_or(0, |(place, _)| place)
}

/// The text tower of a description; the longest text is what the model takes where the description is silent.
pub(in crate::encoder) fn tower(
    spec: &EncoderSpec,
    folder: &Path,
    weights: &Weights,
    transformer: TextTransformer,
    pooling: Pooling,
    projection: Option<Linear>,
) -> Result<Text, EncoderError> {
    let text = text_spec(spec)?;
    let max_tokens = text.max_tokens.unwrap_or(usize::MAX).min(transformer.positions());
    let prefix = text.prefix.clone().unwrap_or_default();
    Ok(Text {
        splitter: Splitter::load(folder, prefix, max_tokens, text.lowercase)?,
        dimension: projection.as_ref().map_or(Ok(transformer.hidden()), Linear::outputs)?,
        transformer,
        pooling,
        left_out: 0,
        projections: projection.into_iter().map(|linear| (linear, Activation::Identity)).collect(),
        normalize: spec.normalize.unwrap_or(false),
        device: weights.device().clone(),
    })
}
