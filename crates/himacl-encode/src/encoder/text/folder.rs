//! What a folder of Sentence-Transformers says beyond the model: modules.json and the files that it names.

use crate::encoder::config::Config;
use crate::encoder::nn::{Activation, Linear};
use crate::encoder::registry::{Pooling, prompts};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use serde_json::Value;
use std::path::Path;

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
    pub(super) normalize: bool,
    pub(super) max_tokens: Option<usize>,
    pub(super) lowercase: bool,
    pub(super) prefix: Option<String>,
    /// Whether the prompt's tokens are left out of the mean.
    pub(super) without_prompt: bool,
    dense: Vec<String>,
}

impl SentenceTransformer {
    pub(super) fn read(folder: &Path) -> Result<Self, EncoderError> {
        let mut found = Self::default();
        for name in LENGTH_FILES {
            let Some(config) = Config::read_if_there(&folder.join(name))? else { continue };
            found.max_tokens = config.maybe_size("max_seq_length")?;
            found.lowercase = config.flag("do_lower_case");
            check_model(&config)?;
            break;
        }
        // Newer folders leave the length to the tokenizer; a length without bound is a number that is no integer.
        if found.max_tokens.is_none()
            && let Some(config) = Config::read_if_there(&folder.join("tokenizer_config.json"))?
        {
            found.max_tokens = config.get("model_max_length").and_then(Value::as_u64).map(|tokens| tokens as usize);
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
        if let Some(modules) = Config::read_if_there(&folder.join("modules.json"))? {
            found.read_modules(folder, &modules)?;
        }
        Ok(found)
    }

    /// The modules in their order: the model, one pooling, layers, the unit length.
    fn read_modules(&mut self, folder: &Path, modules: &Config) -> Result<(), EncoderError> {
        let list = modules.value().as_array().ok_or_else(|| modules.wrong("expected a list of modules"))?;
        let order = ["Transformer", "Pooling", "Dense", "Normalize"];
        let mut places = Vec::new();
        for module in list {
            let field = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
            let (kind, path) = (field("type"), field("path"));
            let name = kind.rsplit('.').next().unwrap_or_default();
            // A module of another package computes something else, whatever its name.
            let place = order.iter().position(|known| *known == name && kind.starts_with("sentence_transformers."));
            places.push(place.ok_or_else(|| modules.wrong(format!("a module of type `{kind}` is not known")))?);
            let config = || Config::read(&folder.join(path).join("config.json"));
            match name {
                "Transformer" if !path.is_empty() => {
                    return Err(modules.wrong(format!("the model is in `{path}`, expected beside this file")));
                }
                "Pooling" => {
                    let config = config()?;
                    self.pooling = Some(pooling(&config)?);
                    self.without_prompt = config.get("include_prompt") == Some(&Value::Bool(false));
                }
                "Dense" => {
                    for key in ["module_input_name", "module_output_name"] {
                        only(&config()?, key, &["sentence_embedding"])?;
                    }
                    self.dense.push(path.to_owned());
                }
                "Normalize" => self.normalize = true,
                _ => {}
            }
        }
        let once = |place: usize| places.iter().filter(|found| **found == place).count() == 1;
        if !places.is_sorted() || !once(0) || !once(1) {
            let names = order.join(", ");
            return Err(modules.wrong(format!("expected {names} in this order, the first two once")));
        }
        Ok(())
    }

    /// The layers behind the pooling.
    pub(super) fn dense(&self, folder: &Path, like: &Weights) -> Result<Vec<(Linear, Activation)>, EncoderError> {
        let layers = self.dense.iter().map(|path| {
            let folder = folder.join(path);
            let config = Config::read(&folder.join("config.json"))?;
            let name = config.text("activation_function", "torch.nn.modules.activation.Tanh").to_owned();
            let activation = match name.rsplit('.').next().unwrap_or_default() {
                "Identity" => Activation::Identity,
                "ReLU" => Activation::Relu,
                "GELU" => Activation::Gelu,
                "SiLU" => Activation::Silu,
                "Tanh" => Activation::Tanh,
                _ => return Err(config.wrong(format!("`activation_function` {name} is not known"))),
            };
            let weights = Weights::open(&folder, like.device(), like.dtype(), false)?;
            Ok((Linear::load(&weights.at("linear"))?, activation))
        });
        layers.collect()
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
fn only(config: &Config, key: &str, known: &[&str]) -> Result<(), EncoderError> {
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
