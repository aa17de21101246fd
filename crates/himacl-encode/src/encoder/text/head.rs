//! What follows the pooling: layers and unit lengths, in the order of their modules.

use super::modules::Module;
use crate::encoder::config::Config;
use crate::encoder::nn::{Activation, Linear, Norm, unit_rows};
use crate::encoder::weights::Weights;
use crate::error::EncoderError;
use candle_core::{DType, Result as TensorResult, Tensor};
use serde_json::Value;
use std::path::Path;

/// One step.
enum Step {
    /// A layer, its activation, and what of its input is added to the result.
    Dense(Linear, Activation, Residual),
    LayerNorm(Norm),
    /// To unit length.
    Normalize,
}

/// What is added to the result of a layer.
enum Residual {
    None,
    Input,
    Mapped(Linear),
}

/// Pooled rows to embeddings.
pub(in crate::encoder) struct Head {
    steps: Vec<Step>,
    dimension: usize,
}

impl Head {
    /// Nothing but unit length, if that.
    pub(in crate::encoder) fn plain(dimension: usize, normalize: bool) -> Self {
        Self { steps: Vec::new(), dimension }.normalized(Some(normalize))
    }

    /// A layer without an activation.
    pub(in crate::encoder) fn projection(linear: Linear, normalize: bool) -> Result<Self, EncoderError> {
        let dimension = linear.outputs()?;
        let steps = vec![Step::Dense(linear, Activation::Identity, Residual::None)];
        Ok(Self { steps, dimension }.normalized(Some(normalize)))
    }

    /// The modules behind the pooling, whose weights have files of their own.
    pub(super) fn load(
        modules: &[Module],
        folder: &Path,
        dimension: usize,
        like: &Weights,
    ) -> Result<Self, EncoderError> {
        let mut head = Self { steps: Vec::new(), dimension };
        for module in modules {
            let place = folder.join(&module.path);
            let config = || Config::read(&place.join("config.json"));
            let weights = || Weights::open(&place, like.device(), like.dtype(), false);
            let step = match module.kind.as_str() {
                "Normalize" => {
                    // Older folders have none, newer ones say what is normalised.
                    if let Some(config) = Config::read_if_there(&place.join("config.json"))? {
                        on_sentences(&config)?;
                    }
                    Step::Normalize
                }
                "LayerNorm" => Step::LayerNorm(Norm::layer(&weights()?.at("norm"), 1e-5)?),
                _ => {
                    let (step, outputs) = dense(&config()?, &weights()?, head.dimension)?;
                    head.dimension = outputs;
                    step
                }
            };
            head.steps.push(step);
        }
        Ok(head)
    }

    /// With unit length at the end or without, where that is said elsewhere.
    pub(in crate::encoder) fn normalized(mut self, normalize: Option<bool>) -> Self {
        let has = matches!(self.steps.last(), Some(Step::Normalize));
        match normalize {
            Some(true) if !has => self.steps.push(Step::Normalize),
            Some(false) if has => drop(self.steps.pop()),
            _ => {}
        }
        self
    }

    /// Coordinates of an embedding.
    pub(in crate::encoder) fn dimension(&self) -> usize {
        self.dimension
    }

    /// `(n, pooled)` to `(n, dimension)` in f32.
    pub(in crate::encoder) fn forward(&self, pooled: Tensor) -> TensorResult<Tensor> {
        let rows = self.steps.iter().try_fold(pooled, |x, step| match step {
            Step::Dense(linear, activation, Residual::None) => linear.forward(&x, None, *activation),
            Step::Dense(linear, activation, Residual::Input) => linear.forward(&x, None, *activation)? + x,
            Step::Dense(linear, activation, Residual::Mapped(map)) => {
                linear.forward(&x, None, *activation)? + map.forward(&x, None, Activation::Identity)?
            }
            Step::LayerNorm(norm) => norm.forward(&x),
            Step::Normalize => unit_rows(&x),
        })?;
        rows.to_dtype(DType::F32)
    }
}

/// Refuses a module that works on something else than the text's embedding.
fn on_sentences(config: &Config) -> Result<(), EncoderError> {
    super::folder::only(config, "module_input_name", &["sentence_embedding"])?;
    super::folder::only(config, "module_output_name", &["sentence_embedding"])
}

fn dense(config: &Config, weights: &Weights, inputs: usize) -> Result<(Step, usize), EncoderError> {
    on_sentences(config)?;
    let name = config.text("activation_function", "torch.nn.modules.activation.Tanh");
    let activation = match name.rsplit('.').next().unwrap_or_default() {
        "Identity" => Activation::Identity,
        "ReLU" => Activation::Relu,
        "ReLU6" => Activation::Relu6,
        "GELU" => Activation::Gelu,
        "SiLU" => Activation::Silu,
        "Tanh" => Activation::Tanh,
        _ => return Err(config.wrong(format!("`activation_function` {name} is not known"))),
    };
    let linear = Linear::load(&weights.at("linear"))?;
    let outputs = linear.outputs()?;
    let has_bias = weights.has("linear.bias");
    if config.get("bias").and_then(Value::as_bool).is_some_and(|bias| bias != has_bias) {
        let (said, found) = (!has_bias, if has_bias { "have one" } else { "have none" });
        return Err(config.wrong(format!("`bias` is {said}, and the weights {found}")));
    }
    let residual = match (config.flag("use_residual"), inputs == outputs) {
        (false, _) => Residual::None,
        (true, true) => Residual::Input,
        (true, false) => Residual::Mapped(Linear::load(&weights.at("residual"))?),
    };
    Ok((Step::Dense(linear, activation, residual), outputs))
}
