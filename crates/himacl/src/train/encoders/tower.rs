//! One tower of an encoder, and what goes into it.

use crate::error::Error;
use candle_core::Tensor;
use himacl_encode::encoder::{Encoder, ImageEncoder, Pixels, TextEncoder, Tokens};
use himacl_encode::readers::Sample;
use std::fmt;

/// What an encoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Pictures,
    Texts,
}

/// An encoder of pictures or one of texts.
pub(super) enum Tower {
    Image(Box<dyn ImageEncoder>),
    Text(Box<dyn TextEncoder>),
}

impl fmt::Debug for Tower {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Image(_) => "Tower::Image",
            Self::Text(_) => "Tower::Text",
        })
    }
}

/// An input on its way through a tower.
#[derive(Debug)]
pub(super) enum Item {
    Pixels(Pixels),
    Tokens(Tokens),
    /// What enters the trained blocks.
    Activations(Tensor),
}

impl Item {
    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Pixels(pixels) => pixels.values.len(),
            Self::Tokens(tokens) => tokens.0.len() * size_of::<u32>(),
            Self::Activations(x) => x.elem_count() * x.dtype().size_in_bytes(),
        }
    }
}

impl Tower {
    /// The tower that reads pictures or texts; `None` where the encoder has none.
    pub(super) fn of(encoder: Encoder, reads: Reads) -> Option<Self> {
        match reads {
            Reads::Pictures => encoder.image.map(Self::Image),
            Reads::Texts => encoder.text.map(Self::Text),
        }
    }

    pub(super) fn num_blocks(&self) -> usize {
        match self {
            Self::Image(image) => image.num_blocks(),
            Self::Text(text) => text.num_blocks(),
        }
    }

    /// Decodes or tokenises.
    pub(super) fn prepare(&self, sample: &Sample) -> Result<Item, String> {
        match self {
            Self::Image(encoder) => {
                let image = sample.image.as_ref().ok_or("no picture")?;
                let prepare = |image| encoder.preprocess(&image).map_err(|error| error.to_string());
                Ok(Item::Pixels(image.decode_with(|_, image| prepare(image))??))
            }
            Self::Text(encoder) => {
                let caption = sample.caption.as_ref().ok_or("no caption")?;
                Ok(Item::Tokens(encoder.tokenize(caption).map_err(|error| error.to_string())?))
            }
        }
    }

    /// What enters the last `last` blocks for each item.
    pub(super) fn before(&self, items: &[&Item], last: usize) -> Result<Vec<Tensor>, Error> {
        match self {
            Self::Image(encoder) => Ok(encoder.encode_before(&pixels(items)?, last)?),
            Self::Text(encoder) => Ok(encoder.encode_before(&tokens(items)?, last)?),
        }
    }

    /// The embeddings, `(n, d)`, of items from before the last `last` blocks, or from the start (`None`).
    pub(super) fn encode(&self, items: &[&Item], last: Option<usize>) -> Result<Tensor, Error> {
        let encoded = match (self, last) {
            (Self::Image(encoder), None) => encoder.encode(&pixels(items)?),
            (Self::Text(encoder), None) => encoder.encode(&tokens(items)?),
            (Self::Image(encoder), Some(last)) => encoder.encode_after(&activations(items)?, last),
            (Self::Text(encoder), Some(last)) => encoder.encode_after(&activations(items)?, last),
        };
        Ok(encoded?)
    }
}

fn pixels(items: &[&Item]) -> Result<Vec<Pixels>, Error> {
    collect(items, |item| if let Item::Pixels(pixels) = item { Some(pixels.clone()) } else { None })
}

fn tokens(items: &[&Item]) -> Result<Vec<Tokens>, Error> {
    collect(items, |item| if let Item::Tokens(tokens) = item { Some(tokens.clone()) } else { None })
}

fn activations<'a>(items: &[&'a Item]) -> Result<Vec<&'a Tensor>, Error> {
    collect(items, |item| if let Item::Activations(x) = item { Some(x) } else { None })
}

fn collect<'a, T>(items: &[&'a Item], pick: impl Fn(&'a Item) -> Option<T>) -> Result<Vec<T>, Error> {
    let other = || Error::Tensor(candle_core::Error::Msg("an item of another tower".to_owned()));
    items.iter().map(|item| pick(item).ok_or_else(other)).collect()
}
