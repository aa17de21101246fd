//! CLIP by the names of `open_clip`, which are those of `OpenAI`'s own release.

use super::Encoder;
use super::config::Config;
use super::image::{FastVit, Images, Trunk, VisionTransformer};
use super::nn::{Activation, BlockShape, Linear, Mask, Order};
use super::registry::{EncoderSpec, Family, ImageSpec, Pooling};
use super::text::families::open_clip as text_transformer;
use super::text::tower as text;
use super::weights::Weights;
use crate::error::EncoderError;
use serde_json::Value;
use std::path::Path;

/// What configurations may say of a picture tower and of a text tower; anything else makes another model.
const VISION_KEYS: [&str; 8] =
    ["layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "patch_dropout", "output_tokens"];
const TEXT_KEYS: [&str; 9] = [
    "context_length",
    "vocab_size",
    "width",
    "heads",
    "layers",
    "mlp_ratio",
    "pad_id",
    "output_tokens",
    "no_causal_mask",
];
/// And of a picture tower that timm has.
const TIMM_KEYS: [&str; 6] =
    ["timm_model_name", "timm_model_pretrained", "timm_pool", "timm_drop", "timm_drop_path", "image_size"];

/// Whether the weights have these names.
pub(super) fn is_named_so(weights: &Weights) -> bool {
    weights.has("visual.conv1.weight") || weights.at("visual.trunk").has_any()
}

/// Both towers, as `open_clip_config.json` describes them.
pub(super) fn load(
    spec: &EncoderSpec,
    image: &ImageSpec,
    folder: &Path,
    weights: &Weights,
) -> Result<Encoder, EncoderError> {
    let config = Config::read(&folder.join("open_clip_config.json"))?.at("model_cfg");
    let (vision, words) = (config.at("vision_cfg"), config.at("text_cfg"));
    check(&words, &TEXT_KEYS)?;
    let activation = if config.flag("quick_gelu") { Activation::QuickGelu } else { Activation::Gelu };
    let shape = |heads: usize, width: usize, mask: Mask| {
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(config.wrong(format!("{heads} heads do not divide a width of {width}")));
        }
        Ok(BlockShape { heads, epsilon: 1e-5, activation, order: Order::Before, mask, rope: None })
    };
    let visual = weights.at("visual");
    let pictures = if visual.at("trunk").has_any() {
        let name = vision.text("timm_model_name", "");
        // Branches are merged when they are read: a merged filter would not follow its variables.
        let is_mobile =
            name.starts_with("fastvit_") || name.starts_with("vit_base_mci_") || spec.family == Family::MobileClip;
        if is_mobile && weights.is_trainable() {
            return Err(EncoderError::NotTrainable {
                name: spec.name.clone(),
                reason: "MobileCLIP's towers are used as they are",
            });
        }
        timm_tower(&vision, &visual.at("trunk"), image)?
    } else {
        check(&vision, &VISION_KEYS)?;
        let width = vision.size("width")?;
        let vision_shape = shape(width / vision.size_or("head_width", 64)?.max(1), width, Mask::Full)?;
        let (side, patch) = (image.crop as usize, vision.size("patch_size")?);
        if patch == 0 || !side.is_multiple_of(patch) {
            return Err(config.wrong(format!("pictures of {side} do not divide into patches of {patch}")));
        }
        Images::new(
            image,
            VisionTransformer::open_clip(&visual, (vision.size("layers")?, &vision_shape), side)?,
            weights,
        )?
    };

    let sees_all = words.flag("no_causal_mask");
    let mask = if sees_all { Mask::Full } else { Mask::Causal };
    let text_shape = shape(words.size_or("heads", 8)?, words.size_or("width", 512)?, mask)?;
    // Some repositories keep the text tower apart from the rest.
    let weights = weights.at_if_there("text");
    let transformer = text_transformer(&weights, (words.size_or("layers", 12)?, &text_shape))?;
    // Stored as what rows are multiplied by from the right.
    let projection = Linear::new(&weights.get("text_projection")?.t()?, None)?;
    let length = transformer.positions();
    // Where texts are filled up, their end token is not their last.
    let pooling = if sees_all { Pooling::End } else { Pooling::Last };
    let mut text = text(spec, folder, &weights, transformer, pooling, Some(projection))?;
    if sees_all {
        // It was trained on texts filled up to one length, and sees what fills them.
        text.splitter = text.splitter.filled(length, words.size_or("pad_id", 0)? as u32);
    }
    Ok(Encoder { image: Some(Box::new(pictures)), text: Some(Box::new(text)) })
}

/// A picture tower of timm's.
fn timm_tower(config: &Config, weights: &Weights, image: &ImageSpec) -> Result<Images, EncoderError> {
    check(config, &TIMM_KEYS)?;
    let (name, pool) = (config.text("timm_model_name", ""), config.text("timm_pool", ""));
    if let Some(trunk) = Trunk::named(name).filter(|trunk| trunk.pool() == pool) {
        return Images::new(image, VisionTransformer::timm(weights, &trunk, image.crop as usize)?, weights);
    }
    match (name, pool) {
        ("fastvit_mci0" | "fastvit_mci1" | "fastvit_mci2" | "fastvit_mci3" | "fastvit_mci4", "avg") => {
            Images::new(image, FastVit::load(weights)?, weights)
        }
        _ => Err(config.wrong(format!(
            "`timm_model_name` is `{name}` with `timm_pool` `{pool}`, expected fastvit_mci0 to fastvit_mci4 with avg, \
             vit_base_mci_224, vit_large_patch14_clip_224, eva_giant_patch14 or an eva02 of CLIP with token, vit_pe_core \
             with map"
        ))),
    }
}

fn check(config: &Config, known: &[&str]) -> Result<(), EncoderError> {
    let entries = config.value().as_object().into_iter().flatten();
    let mut other = entries.filter(|(key, value)| !known.contains(&key.as_str()) && !is_nothing(value));
    match other.next() {
        None => Ok(()),
        Some((key, value)) => Err(config.wrong(format!("`{key}` = {value} makes a model that is not known"))),
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || *value == Value::Bool(false)
}
