//! Encoders with a tower for pictures and one for texts.

use super::Encoder;
use super::config::Config;
use super::error::EncoderError;
use super::image::{Images, VisionKind, VisionTransformer, image_spec};
use super::nn::{Activation, Linear};
use super::registry::{EncoderSpec, Pooling};
use super::text::families::{chinese_clip as chinese_text, clip as clip_text, siglip as siglip_text};
use super::text::tokens::Splitter;
use super::text::transformer::TextTransformer;
use super::text::{Text, text_spec};
use super::weights::Weights;
use std::path::Path;

/// CLIP by the names of transformers.
pub(super) fn clip(spec: &EncoderSpec, folder: &Path, weights: &Weights) -> Result<Encoder, EncoderError> {
    let config = Config::read(&folder.join("config.json"))?;
    let transformer = clip_text(&weights.at("text_model"), &config.at("text_config"))?;
    let image = vision(spec, &config, weights, VisionKind::Clip)?;
    // The end of the text is its last token, and sees all others.
    let text = text(spec, folder, weights, transformer, Pooling::Last, Some("text_projection"))?;
    Ok(Encoder { image: Some(Box::new(image)), text: Some(Box::new(text)) })
}

/// Chinese-CLIP: BERT for texts.
pub(super) fn chinese_clip(spec: &EncoderSpec, folder: &Path, weights: &Weights) -> Result<Encoder, EncoderError> {
    let config = Config::read(&folder.join("config.json"))?;
    let transformer = chinese_text(&weights.at("text_model"), &config.at("text_config"))?;
    let image = vision(spec, &config, weights, VisionKind::Clip)?;
    let text = text(spec, folder, weights, transformer, Pooling::Cls, Some("text_projection"))?;
    Ok(Encoder { image: Some(Box::new(image)), text: Some(Box::new(text)) })
}

/// `SigLIP`, and `SigLIP2` with pictures of one size.
pub(super) fn siglip(spec: &EncoderSpec, folder: &Path, weights: &Weights) -> Result<Encoder, EncoderError> {
    let config = Config::read(&folder.join("config.json"))?;
    let transformer = siglip_text(&weights.at("text_model"), &config.at("text_config"))?;
    let length = transformer.positions();
    let image = vision(spec, &config, weights, VisionKind::Siglip)?;
    let text = text(spec, folder, weights, transformer, Pooling::Last, None)?;
    // It was trained on texts filled up to one length, without a mask.
    let fill = text_spec(spec)?.fill.unwrap_or(1);
    let text = Text { splitter: text.splitter.filled(length, fill), ..text };
    let head = Linear::load(&weights.at("text_model.head"))?;
    let text = Text { dimension: head.outputs()?, projections: vec![(head, Activation::Identity)], ..text };
    Ok(Encoder { image: Some(Box::new(image)), text: Some(Box::new(text)) })
}

fn vision(spec: &EncoderSpec, config: &Config, weights: &Weights, kind: VisionKind) -> Result<Images, EncoderError> {
    let side = image_spec(spec)?.crop as usize;
    let projection = weights.at("visual_projection");
    let projection = projection.has("weight").then(|| Linear::load(&projection)).transpose()?;
    let (weights, config) = (weights.at("vision_model"), config.at("vision_config"));
    let model = VisionTransformer::load(&weights, &config, kind, side, None, projection)?;
    Images::new(spec, model, &weights)
}

fn text(
    spec: &EncoderSpec,
    folder: &Path,
    weights: &Weights,
    transformer: TextTransformer,
    pooling: Pooling,
    projection: Option<&str>,
) -> Result<Text, EncoderError> {
    let text = text_spec(spec)?;
    let max_tokens = text.max_tokens.unwrap_or(usize::MAX).min(transformer.positions());
    let projection = projection.map(|name| Linear::load(&weights.at(name))).transpose()?;
    let prefix = text.prefix.clone().unwrap_or_default();
    Ok(Text {
        splitter: Splitter::load(folder, prefix, max_tokens, text.lowercase)?,
        dimension: projection.as_ref().map_or(Ok(transformer.hidden()), Linear::outputs)?,
        transformer,
        pooling,
        projections: projection.into_iter().map(|linear| (linear, Activation::Identity)).collect(),
        normalize: spec.normalize.unwrap_or(false),
        device: weights.device().clone(),
    })
}
