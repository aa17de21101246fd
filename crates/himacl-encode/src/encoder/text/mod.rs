//! Texts to embeddings: tokenizer, transformer, pooling, projections.

pub(super) mod families;
pub(super) mod folder;
mod gemma;
pub(super) mod head;
pub(super) mod jina;
mod modules;
mod rotary;
mod table;
pub(super) mod tokens;
pub(super) mod transformer;

use super::config::Config;
use super::nn::{Linear, Sequences, in_parts};
use super::registry::{EncoderModality, EncoderSpec, Family, Pooling, TextSpec};
use super::weights::Weights;
use super::{TextEncoder, Tokens};
use crate::error::EncoderError;
use candle_core::{DType, Device, Tensor};
use families::bert;
use folder::SentenceTransformer;
use head::Head;
use serde_json::Value;
use std::path::{Path, PathBuf};
use table::{MODEL2VEC, TokenTable};
use tokens::Splitter;
use transformer::TextTransformer;

/// An encoder of texts.
pub(super) struct Text {
    pub(super) splitter: Splitter,
    pub(super) transformer: TextTransformer,
    pub(super) pooling: Pooling,
    /// So many tokens at the beginning, those of the prompt, do not count in a mean.
    pub(super) left_out: usize,
    pub(super) head: Head,
    pub(super) device: Device,
}

/// The registry's description of how texts are prepared.
pub(super) fn text_spec(spec: &EncoderSpec) -> Result<&TextSpec, EncoderError> {
    spec.text.as_ref().ok_or(EncoderError::Section { name: spec.name.clone(), section: "text" })
}

/// The folder of the model's own files: that of the description, or one below it which the folder's modules name.
pub(super) fn model_folder(spec: &EncoderSpec, folder: &Path) -> Result<PathBuf, EncoderError> {
    if spec.modality != EncoderModality::Text {
        return Ok(folder.to_path_buf());
    }
    let route = spec.text.as_ref().and_then(|text| text.route.as_deref());
    let modules = modules::modules(folder, route)?;
    Ok(modules.iter().flatten().next().map_or_else(|| folder.to_path_buf(), |first| folder.join(&first.path)))
}

/// An encoder of texts alone, with what Sentence-Transformers' files add.
pub(super) fn load(spec: &EncoderSpec, folder: &Path, weights: &Weights) -> Result<Box<dyn TextEncoder>, EncoderError> {
    let extra = SentenceTransformer::read(folder, text_spec(spec)?.route.as_deref())?;
    let place = folder.join(&extra.place);
    let config = Config::read_if_there(&place.join("config.json"))?;
    let kind = config.as_ref().map_or("", |config| config.text("model_type", ""));
    let is_static = extra.is_static || kind == MODEL2VEC;
    if is_static && matches!(spec.family, Family::Static | Family::SentenceTransformers) {
        let prefix = text_spec(spec)?.prefix.clone().or(extra.prefix).unwrap_or_default();
        return Ok(Box::new(TokenTable::load(spec, (folder, &place), &extra.behind, prefix, weights)?));
    }
    if is_static || spec.family == Family::Static {
        let reason = if is_static {
            "the model is a static one, expected a transformer"
        } else {
            "the model is not a static one"
        };
        return Err(EncoderError::File { path: place, reason: format!("{reason}, family {:?}", spec.family) });
    }
    Ok(Box::new(Text::load(spec, (folder, &place), &extra, weights)?))
}

impl Text {
    /// A model of the family that config.json tells.
    fn load(
        spec: &EncoderSpec,
        (folder, place): (&Path, &Path),
        extra: &SentenceTransformer,
        weights: &Weights,
    ) -> Result<Self, EncoderError> {
        let config = Config::read(&place.join("config.json"))?;
        let kind = config.text("model_type", "bert").to_owned();
        let fits = matches!(
            (spec.family, kind.as_str()),
            (Family::SentenceTransformers, _)
                | (Family::Bert, "bert")
                | (Family::XlmRoberta, "xlm-roberta" | "roberta" | "camembert")
                | (Family::Mpnet, "mpnet")
                | (Family::Modernbert, "modernbert")
                | (Family::Qwen3, "qwen3")
                | (Family::NomicBert, "nomic_bert")
                | (Family::Gte, "new" | "gte")
                | (Family::Gemma3, "gemma3_text")
        );
        if !fits {
            return Err(config.wrong(format!("`model_type` is `{kind}`, expected one of family {:?}", spec.family)));
        }
        check(&config, &kind)?;
        let transformer = match kind.as_str() {
            "bert" => bert(&weights.at_if_there("bert"), &config, 0)?,
            // Positions are counted from the one behind the padding's.
            "xlm-roberta" | "roberta" | "camembert" => {
                bert(&weights.at_if_there("roberta"), &config, config.size_or("pad_token_id", 1)? + 1)?
            }
            "mpnet" => families::mpnet(&weights.at_if_there("mpnet"), &config)?,
            "modernbert" => families::modernbert(&weights.at_if_there("model"), &config)?,
            "qwen3" => families::qwen3(&weights.at_if_there("model"), &config)?,
            "nomic_bert" => rotary::nomic(&weights.at_if_there("nomic_bert"), &config)?,
            "new" | "gte" => rotary::gte(&weights.at_if_there("gte"), &config)?,
            "gemma3_text" => gemma::gemma3(&weights.at_if_there("model"), &config)?,
            other => {
                let known = "bert, xlm-roberta, roberta, camembert, mpnet, modernbert, qwen3, nomic_bert, new, gte, gemma3_text";
                return Err(config.wrong(format!("`model_type` is `{other}`, expected one of: {known}")));
            }
        };
        let text = text_spec(spec)?;
        let last = if kind == "qwen3" { Pooling::Last } else { Pooling::Mean };
        let pooling = spec.pooling.or(extra.pooling).unwrap_or(last);
        let max_tokens = text.max_tokens.or(extra.max_tokens).unwrap_or(usize::MAX).min(transformer.positions());
        let prefix = text.prefix.clone().or_else(|| extra.prefix.clone()).unwrap_or_default();
        let head = Head::load(&extra.behind, folder, transformer.hidden(), weights)?.normalized(spec.normalize);
        let splitter = Splitter::load(place, prefix, max_tokens, text.lowercase || extra.lowercase)?;
        let left_out = if extra.without_prompt { splitter.prompt_tokens()? } else { 0 };
        Ok(Self { splitter, transformer, pooling, left_out, head, device: weights.device().clone() })
    }
}

/// Code of repositories that is known, and computed here.
const KNOWN_CODE: [&str; 3] = [
    "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel",
    "Alibaba-NLP/new-impl--modeling.NewModel",
    // Alibaba's as snowflake-arctic-embed-m-v2.0 brings it along.
    "modeling_hf_alibaba_nlp_gte.GteModel",
];

/// Refuses what would change embeddings and is not computed, and a configuration without what no weights tell.
fn check(config: &Config, kind: &str) -> Result<(), EncoderError> {
    let is_nomics_own = kind == "nomic_bert" && config.get("n_layer").is_some();
    let sizes = if is_nomics_own { ["n_layer", "n_head"] } else { ["num_hidden_layers", "num_attention_heads"] };
    for key in sizes {
        config.size(key)?;
    }
    let refused = |what: String| Err(config.wrong(format!("{what}, which is not supported")));
    if let Some(code) = config.at("auto_map").get("AutoModel")
        && !code.as_str().is_some_and(|code| KNOWN_CODE.contains(&code))
    {
        return refused(format!("`auto_map` says that code of the repository computes the model ({code})"));
    }
    let places = config.text("position_embedding_type", "absolute");
    if places != "absolute" && !matches!(kind, "new" | "gte" | "nomic_bert") {
        return refused(format!("`position_embedding_type` is `{places}`"));
    }
    if kind == "qwen3" && config.get("is_causal") == Some(&Value::Bool(false)) {
        return refused("`is_causal` is false".to_owned());
    }
    for key in ["is_decoder", "use_sliding_window", "use_bidirectional_attention"] {
        if config.flag(key) && (key, kind) != ("use_bidirectional_attention", "gemma3_text") {
            return refused(format!("`{key}` is true"));
        }
    }
    let rope = [config.at("rope_scaling"), config.at("rope_parameters")];
    let sections = ["full_attention", "sliding_attention"].iter().map(|section| rope[1].at(section));
    // The family looks at its own scaling itself.
    let rope_scaling = if kind == "new" { &rope[1..] } else { &rope[..] };
    for rope in rope_scaling.iter().cloned().chain(sections) {
        let kind = rope.text("rope_type", rope.text("type", "default"));
        if kind != "default" {
            return refused(format!("rotary positions are scaled (`rope_type` is `{kind}`)"));
        }
    }
    Ok(())
}

impl TextEncoder for Text {
    fn dimension(&self) -> usize {
        self.head.dimension()
    }

    fn tokenize(&self, text: &str) -> Result<Tokens, EncoderError> {
        self.splitter.split(text)
    }

    fn encode(&self, batch: &[Tokens]) -> Result<Tensor, EncoderError> {
        if batch.is_empty() {
            return Ok(Tensor::zeros((0, self.dimension()), DType::F32, &self.device)?);
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
            return Ok(Tensor::zeros((0, self.dimension()), DType::F32, &self.device)?);
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
        let pooled = match self.pooling {
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
        Ok(self.head.forward(pooled)?)
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
    let normalize = spec.normalize.unwrap_or(false);
    let head = match projection {
        Some(linear) => Head::projection(linear, normalize)?,
        None => Head::plain(transformer.hidden(), normalize),
    };
    Ok(Text {
        splitter: Splitter::load(folder, prefix, max_tokens, text.lowercase)?,
        transformer,
        pooling,
        left_out: 0,
        head,
        device: weights.device().clone(),
    })
}
