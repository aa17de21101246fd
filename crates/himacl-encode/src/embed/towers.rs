//! Pretrained encoders as the model of the pipeline.

use super::model::EmbedModel;
use crate::encoder::{Encoder, ImageEncoder, Pixels, TextEncoder, Tokens};
use crate::error::Error;
use candle_core::{DType, Tensor};
use image::DynamicImage;

/// An encoder of pictures, one of texts, or both.
#[derive(Default)]
pub struct Towers {
    image: Option<Box<dyn ImageEncoder>>,
    text: Option<Box<dyn TextEncoder>>,
}

impl Towers {
    /// Adds an encoder in the place of one for the same.
    #[must_use]
    pub fn with(mut self, encoder: Encoder) -> Self {
        self.image = encoder.image.or(self.image);
        self.text = encoder.text.or(self.text);
        self
    }
}

/// The tower that a modality needs; which modalities are embedded is settled before the pipeline starts.
fn tower<T: ?Sized>(tower: Option<&T>) -> &T {
    tower.expect("the pipeline only asks for embeddings that have a dimension")
}

fn values(rows: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(rows.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

impl EmbedModel for Towers {
    type Pixels = Pixels;
    type Tokens = Tokens;

    fn image_dimension(&self) -> Option<usize> {
        self.image.as_ref().map(|image| image.dimension())
    }

    fn text_dimension(&self) -> Option<usize> {
        self.text.as_ref().map(|text| text.dimension())
    }

    fn preprocess(&self, _: &[u8], image: &DynamicImage) -> Result<Pixels, Error> {
        Ok(tower(self.image.as_deref()).preprocess(image)?)
    }

    fn tokenize(&self, text: &str) -> Result<Tokens, Error> {
        Ok(tower(self.text.as_deref()).tokenize(text)?)
    }

    fn num_tokens(&self, tokens: &Tokens) -> usize {
        tokens.0.len()
    }

    fn encode_images(&self, batch: &[Pixels]) -> Result<Vec<f32>, Error> {
        values(&tower(self.image.as_deref()).encode(batch)?)
    }

    fn encode_texts(&self, batch: &[Tokens]) -> Result<Vec<f32>, Error> {
        values(&tower(self.text.as_deref()).encode(batch)?)
    }
}
