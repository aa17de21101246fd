//! The first coordinates of embeddings, for models that were trained to hold most in them (Matryoshka).

use super::registry::EncoderSpec;
use super::{Encoder, ImageEncoder, Pixels, TextEncoder, Tokens};
use crate::error::EncoderError;
use ::image::DynamicImage;
use candle_core::Tensor;

/// An encoder of whose embeddings the first coordinates are kept.
struct First<T: ?Sized> {
    whole: Box<T>,
    dimension: usize,
}

impl<T: ?Sized> First<T> {
    fn of(&self, rows: &Tensor) -> Result<Tensor, EncoderError> {
        Ok(rows.narrow(1, 0, self.dimension)?.contiguous()?)
    }
}

/// The encoder with so many coordinates as the description asks for.
pub(super) fn first(spec: &EncoderSpec, encoder: Encoder) -> Result<Encoder, EncoderError> {
    let Some(dimension) = spec.first else { return Ok(encoder) };
    let check = |whole: usize| {
        if (1..=whole).contains(&dimension) {
            return Ok(());
        }
        Err(EncoderError::Dimensions { name: spec.name.clone(), got: dimension, expected: whole })
    };
    encoder.image.as_ref().map_or(Ok(()), |image| check(image.dimension()))?;
    encoder.text.as_ref().map_or(Ok(()), |text| check(text.dimension()))?;
    Ok(Encoder {
        image: encoder.image.map(|whole| Box::new(First { whole, dimension }) as Box<dyn ImageEncoder>),
        text: encoder.text.map(|whole| Box::new(First { whole, dimension }) as Box<dyn TextEncoder>),
    })
}

impl ImageEncoder for First<dyn ImageEncoder> {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn preprocess(&self, image: &DynamicImage) -> Result<Pixels, EncoderError> {
        self.whole.preprocess(image)
    }

    fn encode(&self, batch: &[Pixels]) -> Result<Tensor, EncoderError> {
        self.of(&self.whole.encode(batch)?)
    }

    fn num_blocks(&self) -> usize {
        self.whole.num_blocks()
    }

    fn encode_before(&self, batch: &[Pixels], last: usize) -> Result<Vec<Tensor>, EncoderError> {
        self.whole.encode_before(batch, last)
    }

    fn encode_after(&self, activations: &[&Tensor], last: usize) -> Result<Tensor, EncoderError> {
        self.of(&self.whole.encode_after(activations, last)?)
    }
}

impl TextEncoder for First<dyn TextEncoder> {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn tokenize(&self, text: &str) -> Result<Tokens, EncoderError> {
        self.whole.tokenize(text)
    }

    fn encode(&self, batch: &[Tokens]) -> Result<Tensor, EncoderError> {
        self.of(&self.whole.encode(batch)?)
    }

    fn num_blocks(&self) -> usize {
        self.whole.num_blocks()
    }

    fn encode_before(&self, batch: &[Tokens], last: usize) -> Result<Vec<Tensor>, EncoderError> {
        self.whole.encode_before(batch, last)
    }

    fn encode_after(&self, activations: &[&Tensor], last: usize) -> Result<Tensor, EncoderError> {
        self.of(&self.whole.encode_after(activations, last)?)
    }
}
