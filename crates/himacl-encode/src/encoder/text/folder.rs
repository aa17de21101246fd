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
            found.max_tokens = config.get("max_seq_length").and_then(Value::as_u64).map(|tokens| tokens as usize);
            found.lowercase = config.flag("do_lower_case");
            break;
        }
        // Newer folders leave the length to the tokenizer; a length without bound is a number that is no integer.
        if found.max_tokens.is_none()
            && let Some(config) = Config::read_if_there(&folder.join("tokenizer_config.json"))?
        {
            found.max_tokens = config.get("model_max_length").and_then(Value::as_u64).map(|tokens| tokens as usize);
        }
        if let Some(config) = Config::read_if_there(&folder.join("config_sentence_transformers.json"))? {
            let default = config.text("default_prompt_name", "").to_owned();
            found.prefix = prompts(folder)?.remove(&default);
        }
        let Some(modules) = Config::read_if_there(&folder.join("modules.json"))? else { return Ok(found) };
        for module in modules.value().as_array().map(Vec::as_slice).unwrap_or_default() {
            let field = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
            let path = field("path");
            match field("type").rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Pooling" => {
                    let config = Config::read(&folder.join(path).join("config.json"))?;
                    found.pooling = Some(pooling(&config)?);
                    found.without_prompt = config.get("include_prompt") == Some(&Value::Bool(false));
                }
                "Dense" => found.dense.push(path.to_owned()),
                "Normalize" => found.normalize = true,
                other => return Err(modules.wrong(format!("a module of type `{other}` is not known"))),
            }
        }
        Ok(found)
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

fn pooling(config: &Config) -> Result<Pooling, EncoderError> {
    let modes = [
        ("pooling_mode_cls_token", "cls", Pooling::Cls),
        ("pooling_mode_mean_tokens", "mean", Pooling::Mean),
        ("pooling_mode_lasttoken", "lasttoken", Pooling::Last),
    ];
    // Newer folders name the mode, older ones have a flag for each.
    let named = config.text("pooling_mode", "");
    let chosen: Vec<Pooling> = modes
        .into_iter()
        .filter(|(flag, name, _)| config.flag(flag) || named == *name)
        .map(|(_, _, mode)| mode)
        .collect();
    match chosen[..] {
        [mode] => Ok(mode),
        _ => Err(config.wrong("pooling is neither of cls, mean and lasttoken alone")),
    }
}
