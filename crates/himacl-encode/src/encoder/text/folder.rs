//! What a folder of Sentence-Transformers says beyond the model: modules.json and the files that it names.

use super::modules::{Module, modules};
use crate::encoder::config::Config;
use crate::encoder::registry::{Pooling, prompts};
use crate::error::EncoderError;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Modules that begin one, and that which gathers what they give.
const INPUTS: [&str; 3] = ["Transformer", "StaticEmbedding", "Pooling"];
/// Modules that may follow.
const BEHIND: [&str; 3] = ["Dense", "LayerNorm", "Normalize"];

/// Where the longest text is, by the names of several ages.
const LENGTH_FILES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Where arguments for the model, its configuration and its tokenizer are, by the names of several ages.
const ARGUMENTS: [&str; 7] = [
    "model_args",
    "config_args",
    "tokenizer_args",
    "model_kwargs",
    "config_kwargs",
    "tokenizer_kwargs",
    "processor_kwargs",
];
/// Arguments without an influence on the embeddings of f32 computation, or with one that does not come to bear here:
/// how weights are loaded, what of them, which kernels run, how batches are filled up.
const HARMLESS: [&str; 16] = [
    "add_pooling_layer",
    "attn_implementation",
    "cache_dir",
    "code_revision",
    "device_map",
    "dtype",
    "local_files_only",
    "low_cpu_mem_usage",
    "padding_side",
    "torch_dtype",
    "trust_remote_code",
    "unpad_inputs",
    "use_cache",
    "use_fast",
    "use_memory_efficient_attention",
    "use_safetensors",
];

/// What such files say; nothing where there are none.
#[derive(Debug, Default)]
pub(super) struct SentenceTransformer {
    pub(super) pooling: Option<Pooling>,
    pub(super) max_tokens: Option<usize>,
    pub(super) lowercase: bool,
    pub(super) prefix: Option<String>,
    /// Whether the prompt's tokens are left out of the mean.
    pub(super) without_prompt: bool,
    /// Where the model is, below the folder.
    pub(super) place: PathBuf,
    /// Whether the model is a table of tokens' rows.
    pub(super) is_static: bool,
    /// What follows the pooling.
    pub(super) behind: Vec<Module>,
}

impl SentenceTransformer {
    pub(super) fn read(folder: &Path, route: Option<&str>) -> Result<Self, EncoderError> {
        let mut found = Self::default();
        if let Some(modules) = modules(folder, route)? {
            found.read_modules(folder, modules)?;
        }
        let place = folder.join(&found.place);
        if !found.is_static {
            found.read_lengths(&place)?;
        }
        if let Some(config) = Config::read_if_there(&folder.join("config_sentence_transformers.json"))? {
            only(&config, "model_type", &["SentenceTransformer"])?;
            only(&config, "truncate_dim", &[])?;
            if let Some(default) = config.get("default_prompt_name") {
                let prompt = default.as_str().and_then(|name| prompts(folder).ok()?.remove(name));
                let wrong = || config.wrong(format!("`default_prompt_name` is {default}, which `prompts` has not"));
                found.prefix = Some(prompt.ok_or_else(wrong)?);
            }
        }
        Ok(found)
    }

    /// The longest text, from the files beside the model.
    fn read_lengths(&mut self, place: &Path) -> Result<(), EncoderError> {
        for name in LENGTH_FILES {
            let Some(config) = Config::read_if_there(&place.join(name))? else { continue };
            self.max_tokens = config.maybe_size("max_seq_length")?;
            self.lowercase = config.flag("do_lower_case");
            check_model(&config)?;
            break;
        }
        // Newer folders leave the length to the tokenizer; a length without bound is a number that is no integer.
        if self.max_tokens.is_none()
            && let Some(config) = Config::read_if_there(&place.join("tokenizer_config.json"))?
        {
            self.max_tokens = config.get("model_max_length").and_then(Value::as_u64).map(|tokens| tokens as usize);
        }
        Ok(())
    }

    /// The modules in their order: a model and one pooling, or a table of tokens' rows; then layers and unit lengths.
    fn read_modules(&mut self, folder: &Path, modules: Vec<Module>) -> Result<(), EncoderError> {
        let wrong = |reason: String| match Config::read(&folder.join("modules.json")) {
            Ok(file) => file.wrong(reason),
            Err(error) => error,
        };
        let kinds: Vec<&str> = modules.iter().map(|module| module.kind.as_str()).collect();
        let behind = match kinds[..] {
            ["Transformer", "Pooling", ..] => 2,
            ["StaticEmbedding", ..] => 1,
            _ => 0,
        };
        let is_known = |kind: &&str| BEHIND.contains(kind);
        if let Some(kind) = kinds.iter().find(|kind| !is_known(kind) && !INPUTS.contains(kind)) {
            return Err(wrong(format!("a module of type `{kind}` is not known")));
        }
        if behind == 0 || !kinds[behind..].iter().all(is_known) {
            let (got, behind) = (kinds.join(", "), BEHIND.join(", "));
            let expected = format!("expected Transformer, Pooling or StaticEmbedding, then any of {behind}");
            return Err(wrong(format!("the modules are {got}, {expected}")));
        }
        if behind == 2 {
            let config = Config::read(&folder.join(&modules[1].path).join("config.json"))?;
            self.pooling = Some(pooling(&config)?);
            self.without_prompt = config.get("include_prompt") == Some(&Value::Bool(false));
        }
        self.is_static = behind == 1;
        self.place = PathBuf::from(&modules[0].path);
        self.behind = modules.into_iter().skip(behind).collect();
        Ok(())
    }
}

/// Refuses what Sentence-Transformers would do otherwise than this program; the rest of these keys changes nothing.
fn check_model(config: &Config) -> Result<(), EncoderError> {
    only(config, "transformer_task", &["feature-extraction"])?;
    only(config, "module_output_name", &["token_embeddings"])?;
    only(&config.at("modality_config").at("text"), "method_output_name", &["last_hidden_state"])?;
    if config.flag("mask_prompt") {
        return Err(config.wrong("`mask_prompt` is true: the model does not see the prompt, which is not supported"));
    }
    for key in ARGUMENTS {
        let inner = config.at(key);
        let mut names = inner.value().as_object().into_iter().flatten().map(|(name, _)| name);
        if let Some(name) = names.find(|name| !HARMLESS.contains(&name.as_str())) {
            return Err(config.wrong(format!("`{name}` in `{key}` is not known, and may change embeddings")));
        }
    }
    Ok(())
}

/// Refuses a text other than these under a key; none may be there as well.
pub(super) fn only(config: &Config, key: &str, known: &[&str]) -> Result<(), EncoderError> {
    match config.get(key) {
        Some(value) if value.as_str().is_none_or(|text| !known.contains(&text)) => {
            let expected = if known.is_empty() { "none".to_owned() } else { format!("`{}`", known.join("`, `")) };
            Err(config.wrong(format!("`{key}` is {value}, expected {expected}")))
        }
        _ => Ok(()),
    }
}

/// The one way of pooling; several would be put side by side.
fn pooling(config: &Config) -> Result<Pooling, EncoderError> {
    // Newer folders name the mode, older ones have a flag for each; the mean is meant where its flag is absent.
    let chosen: Vec<String> = match config.get("pooling_mode") {
        Some(Value::String(named)) => vec![named.to_lowercase()],
        Some(other) => vec![other.to_string()],
        None => {
            let flags = config.value().as_object().into_iter().flatten();
            let on = flags.filter(|(_, value)| **value == Value::Bool(true));
            let mut on: Vec<String> =
                on.filter_map(|(key, _)| key.strip_prefix("pooling_mode_").map(str::to_owned)).collect();
            if config.get("pooling_mode_mean_tokens").is_none() {
                on.push("mean".to_owned());
            }
            on
        }
    };
    let modes: Vec<&str> =
        chosen.iter().map(|name| name.trim_end_matches("_tokens").trim_end_matches("_token")).collect();
    match modes[..] {
        ["cls"] => Ok(Pooling::Cls),
        ["mean"] => Ok(Pooling::Mean),
        ["lasttoken"] => Ok(Pooling::Last),
        _ => {
            Err(config.wrong(format!("the pooling is `{}`, expected one of cls, mean, lasttoken", modes.join(" and "))))
        }
    }
}
