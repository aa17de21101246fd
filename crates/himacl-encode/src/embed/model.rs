//! What the pipeline needs of an encoder.

use crate::error::Error;
use image::DynamicImage;

/// One or two encoders, as the pipeline sees them. All methods are called from several threads at a time.
pub trait EmbedModel: Sync {
    /// A picture, ready for the model.
    type Pixels: Send;
    /// A text, ready for the model.
    type Tokens: Send;

    /// Coordinates of a picture's embedding; `None` for a model that has no eyes.
    fn image_dimension(&self) -> Option<usize>;

    /// Coordinates of a text's embedding; `None` for a model that does not read.
    fn text_dimension(&self) -> Option<usize>;

    /// Makes a picture ready, of its file and what that decodes to: resizes, crops, scales.
    ///
    /// # Errors
    /// For a picture that cannot be used; the sample is skipped.
    fn preprocess(&self, file: &[u8], image: &DynamicImage) -> Result<Self::Pixels, Error>;

    /// Splits a text into tokens.
    ///
    /// # Errors
    /// For a text that cannot be used; the sample is skipped.
    fn tokenize(&self, text: &str) -> Result<Self::Tokens, Error>;

    /// The number of tokens: texts of like length share a batch.
    fn num_tokens(&self, tokens: &Self::Tokens) -> usize;

    /// The embeddings of a batch, `(n * d,)`, row-major. Must not depend on the number of threads.
    ///
    /// # Errors
    /// Ends the run.
    fn encode_images(&self, batch: &[Self::Pixels]) -> Result<Vec<f32>, Error>;

    /// As [`Self::encode_images`], for texts.
    ///
    /// # Errors
    /// Ends the run.
    fn encode_texts(&self, batch: &[Self::Tokens]) -> Result<Vec<f32>, Error>;
}
