//! Pretrained encoders: what is known of each ([`registry`]), and the model families that compute them.
//!
//! All methods may be called from several threads at a time. An embedding depends on its picture or text alone: texts
//! are packed without padding, whatever else is in the batch.

mod config;
mod first;
mod image;
mod memory;
mod nn;
mod open_clip;
mod registered;
pub mod registry;
mod save;
mod text;
mod towers;
mod weights;

pub use self::image::Preprocessor;
pub use crate::error::EncoderError;
pub use save::save_encoder;
pub use weights::files as weight_files;

use self::image::{
    ConvNext, Images, InvertedResidual, ResNet, Trunk, Variant, VisionKind, VisionTransformer, image_spec,
};
use ::image::DynamicImage;
use candle_core::{DType, Device, Tensor, Var};
use clap::ValueEnum as _;
use config::Config;
use first::first;
use registry::{EncoderSpec, Family};
use std::collections::BTreeMap;
use std::path::Path;
use weights::Weights;

/// Refuses a model whose weights have the names and shapes of the family's, and mean something else.
fn check(family: Family, config: &Config) -> Result<(), EncoderError> {
    if config.get("quantization_config").is_some() {
        return Err(config.wrong("the weights are quantized (`quantization_config`), expected f32, f16 or bf16"));
    }
    // Texts and jina-clip have checks of their own.
    let is_checked = family.modality() == registry::EncoderModality::Text || family == Family::JinaClip;
    if !is_checked && config.at("auto_map").get("AutoModel").is_some() {
        let kind = config.text("model_type", "a model of its own");
        let reason = format!("`auto_map` says that code of the repository computes `{kind}`, which is not supported");
        return Err(config.wrong(reason));
    }
    let name = config.text("architecture", "");
    let numbered =
        |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    // timm's own EfficientNet-Lite pads otherwise than TensorFlow's; some ResNets blur before they shrink, without weights.
    let fits = match family {
        Family::EfficientnetLite => name.starts_with("tf_efficientnet_lite"),
        Family::MobilenetV2 => name.starts_with("mobilenetv2_"),
        Family::Resnet => numbered("resnet") || numbered("wide_resnet"),
        _ => true,
    };
    if name.is_empty() || fits {
        return Ok(());
    }
    Err(config.wrong(format!("`architecture` is `{name}`, which is computed otherwise than this family")))
}

/// A picture, ready for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Places along a line.
    pub width: usize,
    /// `(height, width, 3)`, row-major, red, green, blue.
    pub values: Vec<u8>,
}

impl Pixels {
    /// Height and width.
    pub fn size(&self) -> (usize, usize) {
        (self.values.len() / (3 * self.width.max(1)), self.width)
    }
}

/// A text, ready for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens(pub Vec<u32>);

/// Pictures to embeddings.
pub trait ImageEncoder: Send + Sync {
    /// Coordinates of an embedding.
    fn dimension(&self) -> usize;

    /// Resizes and crops.
    ///
    /// # Errors
    /// [`EncoderError::EmptyImage`].
    fn preprocess(&self, image: &DynamicImage) -> Result<Pixels, EncoderError>;

    /// The embeddings, `(n, d)` in f32, of unit length only where the model itself makes them so.
    ///
    /// # Errors
    /// [`EncoderError::Pixels`], [`EncoderError::Tensor`].
    fn encode(&self, batch: &[Pixels]) -> Result<Tensor, EncoderError>;

    /// Blocks, the parts of the model that follow one another between its stem and its head.
    fn num_blocks(&self) -> usize;

    /// What enters the last `last` blocks for each picture, or the first one if there are no more.
    ///
    /// # Errors
    /// As [`Self::encode`].
    fn encode_before(&self, batch: &[Pixels], last: usize) -> Result<Vec<Tensor>, EncoderError>;

    /// The embeddings, `(n, d)`, from what enters the last `last` blocks: after [`Self::encode_before`] the same as
    /// [`Self::encode`].
    ///
    /// # Errors
    /// [`EncoderError::Tensor`].
    fn encode_after(&self, activations: &[&Tensor], last: usize) -> Result<Tensor, EncoderError>;
}

/// Texts to embeddings.
pub trait TextEncoder: Send + Sync {
    /// Coordinates of an embedding.
    fn dimension(&self) -> usize;

    /// Puts the prefix before the text and splits it into tokens, cut to the length that the model takes.
    ///
    /// # Errors
    /// [`EncoderError::Tokenizer`], [`EncoderError::NoTokens`].
    fn tokenize(&self, text: &str) -> Result<Tokens, EncoderError>;

    /// The embeddings, `(n, d)` in f32, of unit length only where the model itself makes them so.
    ///
    /// # Errors
    /// [`EncoderError::Tensor`].
    fn encode(&self, batch: &[Tokens]) -> Result<Tensor, EncoderError>;

    /// Blocks of the transformer.
    fn num_blocks(&self) -> usize;

    /// What enters the last `last` blocks for each text, `(tokens, hidden)`, or the first one if there are no more.
    ///
    /// # Errors
    /// As [`Self::encode`].
    fn encode_before(&self, batch: &[Tokens], last: usize) -> Result<Vec<Tensor>, EncoderError>;

    /// The embeddings, `(n, d)`, from what enters the last `last` blocks: after [`Self::encode_before`] the same as
    /// [`Self::encode`].
    ///
    /// # Errors
    /// [`EncoderError::Tensor`].
    fn encode_after(&self, activations: &[&Tensor], last: usize) -> Result<Tensor, EncoderError>;
}

/// An encoder of pictures, of texts, or of both into one space.
pub struct Encoder {
    /// Pictures.
    pub image: Option<Box<dyn ImageEncoder>>,
    /// Texts.
    pub text: Option<Box<dyn TextEncoder>>,
}

impl Encoder {
    /// Loads the encoder that `spec` describes from a folder with the Hub's file names.
    ///
    /// # Errors
    /// [`EncoderError`]: a missing or malformed file, weights of other shapes.
    pub fn load(spec: &EncoderSpec, folder: &Path, device: &Device, dtype: DType) -> Result<Self, EncoderError> {
        let place = text::model_folder(spec, folder)?;
        let weights = Weights::open(&place, device, dtype, false)?;
        memory::check_room(spec, weights.bytes_in_memory())?;
        let encoder = Self::read(spec, (folder, &place), &weights)?;
        first(spec, encoder)
    }

    /// Loads an encoder whose embeddings can be differentiated, in f32, and its variables by their names in the file.
    ///
    /// Variables are read whenever the encoder runs, so that it follows them. Statistics of batch normalisation stay as
    /// they are, and so do the dense layers that Sentence-Transformers keeps in files of their own.
    ///
    /// # Errors
    /// As [`Encoder::load`].
    pub fn load_trainable(
        spec: &EncoderSpec,
        folder: &Path,
        device: &Device,
    ) -> Result<(Self, BTreeMap<String, Var>), EncoderError> {
        let not = |reason| EncoderError::NotTrainable { name: spec.name.clone(), reason };
        let place = text::model_folder(spec, folder)?;
        if place != folder {
            return Err(not("its model is in a folder of its own, below the others of its modules"));
        }
        let weights = Weights::open(folder, device, DType::F32, true)?;
        memory::check_room(spec, weights.bytes_in_memory())?;
        let read = Self::read(spec, (folder, folder), &weights)?;
        let variables = weights.variables();
        if variables.is_empty() {
            return Err(not("a static model is used as it is"));
        }
        Ok((first(spec, read)?, variables))
    }

    fn read(spec: &EncoderSpec, (folder, place): (&Path, &Path), weights: &Weights) -> Result<Self, EncoderError> {
        if let Some(config) = Config::read_if_there(&place.join("config.json"))? {
            check(spec.family, &config)?;
        }
        let read = Self::of_family(spec, folder, weights)?;
        let Some(unread) = weights.unread() else { return Ok(read) };
        let family = spec.family.to_possible_value();
        let family = family.as_ref().map_or("", |value| value.get_name());
        let reason = format!("`{unread}` is part of a block, and no encoder of family {family} has it");
        let path = weight_files(place)?.into_iter().next().unwrap_or_default();
        Err(EncoderError::File { path, reason })
    }

    fn of_family(spec: &EncoderSpec, folder: &Path, weights: &Weights) -> Result<Self, EncoderError> {
        let config = || Config::read(&folder.join("config.json"));
        let image = match spec.family {
            Family::Clip | Family::MobileClip => return towers::clip(spec, folder, weights),
            Family::ChineseClip => return towers::chinese_clip(spec, folder, weights),
            Family::JinaClip => return towers::jina_clip(spec, folder, weights),
            Family::Siglip => return towers::siglip(spec, folder, weights),
            Family::SentenceTransformers
            | Family::Bert
            | Family::XlmRoberta
            | Family::Mpnet
            | Family::Modernbert
            | Family::Qwen3
            | Family::NomicBert
            | Family::Gte
            | Family::Gemma3
            | Family::Static => return Ok(Self { image: None, text: Some(text::load(spec, folder, weights)?) }),
            _ => image_spec(spec, folder)?,
        };
        let transformer = |name: &str, kind: VisionKind| {
            VisionTransformer::load(&weights.at_if_there(name), &config()?, kind, &image, spec.pooling, None)
        };
        let images = match spec.family {
            Family::Vit => Images::new(&image, transformer("vit", VisionKind::Vit)?, weights)?,
            Family::Dinov2 => {
                let name = if weights.at("dinov2").has_any() { "dinov2" } else { "dinov2_with_registers" };
                Images::new(&image, transformer(name, VisionKind::Dino)?, weights)?
            }
            Family::Dinov3 if config()?.text("model_type", "") == "dinov3_convnext" => {
                Images::new(&image, ConvNext::dino(weights, &config()?)?, weights)?
            }
            Family::Dinov3 if weights.has("patch_embed.proj.weight") => {
                let trunk = Trunk::dino(&config()?, spec.pooling)?;
                Images::new(&image, VisionTransformer::timm(weights, &trunk, image.crop as usize)?, weights)?
            }
            Family::Dinov3 => Images::new(&image, transformer("dinov3_vit", VisionKind::Dino3)?, weights)?,
            Family::Resnet => Images::new(&image, ResNet::load(weights)?, weights)?,
            Family::Convnext => Images::new(&image, ConvNext::load(weights)?, weights)?,
            Family::EfficientnetLite => {
                Images::new(&image, InvertedResidual::load(weights, Variant::EFFICIENTNET_LITE)?, weights)?
            }
            _ => Images::new(&image, InvertedResidual::load(weights, Variant::MOBILENET_V2)?, weights)?,
        };
        Ok(Self { image: Some(Box::new(images)), text: None })
    }
}
