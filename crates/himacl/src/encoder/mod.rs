//! Pretrained encoders: what is known of each ([`registry`]), and the model families that compute them.
//!
//! Encoders are for inference; all methods may be called from several threads at a time.

mod bert;
mod depthwise;
mod efficientnet_lite;
mod error;
mod preprocess;
pub mod registry;

pub use error::EncoderError;
pub use preprocess::Preprocessor;

use bert::Bert;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use efficientnet_lite::EfficientNetLite;
use image::DynamicImage;
use registry::{EncoderSpec, Family};
use std::path::Path;

/// The name of the weights in a folder.
const WEIGHTS: &str = "model.safetensors";

/// A picture, ready for a model: `(3, side, side)`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels(pub Vec<f32>);

/// A text, ready for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens(pub Vec<u32>);

/// Pictures to embeddings.
pub trait ImageEncoder: Send + Sync {
    /// Coordinates of an embedding.
    fn dimension(&self) -> usize;

    /// Resizes, crops and scales.
    ///
    /// # Errors
    /// [`EncoderError::EmptyImage`].
    fn preprocess(&self, image: &DynamicImage) -> Result<Pixels, EncoderError>;

    /// The embeddings, `(n, d)`.
    ///
    /// # Errors
    /// [`EncoderError::Tensor`].
    fn encode(&self, batch: &[Pixels]) -> Result<Tensor, EncoderError>;
}

/// Texts to embeddings.
pub trait TextEncoder: Send + Sync {
    /// Coordinates of an embedding.
    fn dimension(&self) -> usize;

    /// Splits into tokens, cut to the length that the model takes.
    ///
    /// # Errors
    /// [`EncoderError::Tokenizer`].
    fn tokenize(&self, text: &str) -> Result<Tokens, EncoderError>;

    /// The embeddings, `(n, d)`.
    ///
    /// # Errors
    /// [`EncoderError::Tensor`].
    fn encode(&self, batch: &[Tokens]) -> Result<Tensor, EncoderError>;
}

/// An encoder of pictures or of texts.
pub enum Encoder {
    /// Pictures.
    Image(Box<dyn ImageEncoder>),
    /// Texts.
    Text(Box<dyn TextEncoder>),
}

impl Encoder {
    /// Loads the encoder that `spec` describes from a folder with the Hub's file names.
    ///
    /// # Errors
    /// [`EncoderError`]: a missing or malformed file, weights of other shapes.
    pub fn load(spec: &EncoderSpec, folder: &Path, device: &Device, dtype: DType) -> Result<Self, EncoderError> {
        let path = folder.join(WEIGHTS);
        // SAFETY: the file is not changed while it is mapped: the cache replaces files, and never writes into one.
        let weights = unsafe { VarBuilder::from_mmaped_safetensors(&[&path], dtype, device) };
        let weights = weights.map_err(|source| EncoderError::Weights { path, source })?;
        Ok(match spec.family {
            Family::Bert => Self::Text(Box::new(Bert::load(spec, folder, &weights)?)),
            Family::EfficientnetLite => Self::Image(Box::new(EfficientNetLite::load(spec, &weights)?)),
        })
    }
}
