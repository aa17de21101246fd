//! Encoders with a tower for pictures and one for texts.

use super::Encoder;
use super::config::Config;
use super::image::{Images, Trunk, VisionKind, VisionTransformer, image_spec};
use super::nn::Linear;
use super::open_clip;
use super::registry::{EncoderSpec, ImageSpec, Pooling};
use super::text::families::{chinese_clip as chinese_text, clip as clip_text, siglip as siglip_text};
use super::text::head::Head;
use super::text::jina::jina as jina_text;
use super::text::tokens::Splitter;
use super::text::{Text, text_spec, tower as text};
use super::weights::Weights;
use crate::error::EncoderError;
use std::path::Path;

/// CLIP by the names of transformers or of `open_clip`.
pub(super) fn clip(spec: &EncoderSpec, folder: &Path, weights: &Weights) -> Result<Encoder, EncoderError> {
    let pictures = image_spec(spec, folder)?;
    if open_clip::is_named_so(weights) {
        return open_clip::load(spec, &pictures, folder, weights);
    }
    let config = Config::read(&folder.join("config.json"))?;
    let transformer = clip_text(&weights.at("text_model"), &config.at("text_config"))?;
    let image = vision(&pictures, &config, weights, VisionKind::Clip)?;
    // The end of the text is its last token, and sees all others.
    let projection = Linear::load(&weights.at("text_projection"))?;
    let text = text(spec, folder, weights, transformer, Pooling::Last, Some(projection))?;
    Ok(Encoder { image: Some(Box::new(image)), text: Some(Box::new(text)) })
}

/// Chinese-CLIP: BERT for texts.
pub(super) fn chinese_clip(spec: &EncoderSpec, folder: &Path, weights: &Weights) -> Result<Encoder, EncoderError> {
    let config = Config::read(&folder.join("config.json"))?;
    let transformer = chinese_text(&weights.at("text_model"), &config.at("text_config"))?;
    let image = vision(&image_spec(spec, folder)?, &config, weights, VisionKind::Clip)?;
    let projection = Linear::load(&weights.at("text_projection"))?;
    let text = text(spec, folder, weights, transformer, Pooling::Cls, Some(projection))?;
    Ok(Encoder { image: Some(Box::new(image)), text: Some(Box::new(text)) })
}

/// jina-clip-v2: EVA-02 for pictures, BERT with rotary positions and adapters for texts.
pub(super) fn jina_clip(spec: &EncoderSpec, folder: &Path, weights: &Weights) -> Result<Encoder, EncoderError> {
    const CODE: &str = "jinaai/jina-clip-implementation--modeling_clip.JinaCLIPModel";
    if weights.is_trainable() {
        return Err(EncoderError::NotTrainable {
            name: spec.name.clone(),
            reason: "adapters are merged into the weights when they are read",
        });
    }
    let config = Config::read(&folder.join("config.json"))?;
    let code = config.at("auto_map");
    if code.text("AutoModel", CODE) != CODE {
        return Err(config
            .wrong(format!("`auto_map` is {}, expected the code of jinaai/jina-clip-implementation", code.value())));
    }
    for key in ["add_projections", "truncate_dim"] {
        if config.flag(key) {
            return Err(config.wrong(format!("`{key}` is set, which is not supported")));
        }
    }
    let (pictures, vision) = (image_spec(spec, folder)?, config.at("vision_config"));
    let (side, expected) = (pictures.crop as usize, vision.size("image_size")?);
    if side != expected {
        return Err(
            config.wrong(format!("`image_size` is {expected}, and pictures are prepared with {side} pixels a side"))
        );
    }
    let tower = VisionTransformer::timm(&weights.at("vision_model"), &Trunk::jina(&vision)?, side)?;
    let image = Images::new(&pictures, tower, weights)?;
    let transformer = jina_text(&weights.at("text_model.transformer.roberta"), &config.at("text_config"))?;
    let text = text(spec, folder, weights, transformer, Pooling::Mean, None)?;
    Ok(Encoder { image: Some(Box::new(image)), text: Some(Box::new(text)) })
}

/// `SigLIP` and `SigLIP2`.
pub(super) fn siglip(spec: &EncoderSpec, folder: &Path, weights: &Weights) -> Result<Encoder, EncoderError> {
    let config = Config::read(&folder.join("config.json"))?;
    let transformer = siglip_text(&weights.at("text_model"), &config.at("text_config"))?;
    let length = transformer.positions();
    let image = vision(&image_spec(spec, folder)?, &config, weights, VisionKind::Siglip)?;
    let text = text(spec, folder, weights, transformer, Pooling::Last, None)?;
    // It was trained on texts filled up to one length, without a mask.
    let tokens = Config::read_if_there(&folder.join("tokenizer_config.json"))?;
    let fill = match (text_spec(spec)?.fill, &tokens) {
        (Some(fill), _) => fill,
        (None, Some(tokens)) => pad_token(tokens, &text.splitter)?,
        (None, None) => return Err(EncoderError::NoFill { name: spec.name.clone(), folder: folder.to_path_buf() }),
    };
    let mut splitter = text.splitter.filled(length, fill);
    if tokens.is_some_and(|tokens| tokens.flag("do_lower_case")) {
        splitter = splitter.lowercase();
    }
    let head = Linear::load(&weights.at("text_model.head"))?;
    let text = Text { splitter, head: Head::projection(head, spec.normalize.unwrap_or(false))?, ..text };
    Ok(Encoder { image: Some(Box::new(image)), text: Some(Box::new(text)) })
}

/// The token that texts are filled up with: a string, or an object with more about it.
fn pad_token(config: &Config, splitter: &Splitter) -> Result<u32, EncoderError> {
    let value = config.get("pad_token").ok_or_else(|| config.wrong("`pad_token` is missing"))?;
    let token = value.get("content").unwrap_or(value).as_str().unwrap_or_default();
    splitter.id(token).ok_or_else(|| config.wrong(format!("`pad_token` {value} is not a token of the tokenizer")))
}

fn vision(image: &ImageSpec, config: &Config, weights: &Weights, kind: VisionKind) -> Result<Images, EncoderError> {
    let projection = weights.at("visual_projection");
    let projection = projection.has("weight").then(|| Linear::load(&projection)).transpose()?;
    let (weights, config) = (weights.at("vision_model"), config.at("vision_config"));
    let model = VisionTransformer::load(&weights, &config, kind, image, None, projection)?;
    Images::new(image, model, &weights)
}
