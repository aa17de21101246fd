//! One row of a dataset.

use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::path::PathBuf;

/// What of a dataset is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Pictures alone.
    Image,
    /// Captions alone.
    Text,
    /// Pictures with captions: a sample needs both.
    Both,
}

impl Modality {
    /// Whether pictures are read.
    pub fn has_image(self) -> bool {
        self != Self::Text
    }

    /// Whether captions are read.
    pub fn has_text(self) -> bool {
        self != Self::Image
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Image => "image",
            Self::Text => "text",
            Self::Both => "both",
        })
    }
}

/// Where a picture's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// In a file of its own, not read yet.
    File(PathBuf),
    /// Here.
    Bytes(Vec<u8>),
}

impl ImageSource {
    /// The bytes, encoded as they are on disk.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be read.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, Error> {
        match self {
            Self::File(path) => fs::read(path).map(Cow::Owned).map_err(Error::io("read", path)),
            Self::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        }
    }
}

/// A picture, a caption, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// Names the sample within its dataset.
    pub key: String,
    /// The picture's path, for the reader of the output; a shard's path and a member's name for a picture in a shard.
    pub image_path: Option<String>,
    /// The picture.
    pub image: Option<ImageSource>,
    /// The caption.
    pub caption: Option<String>,
}

/// What a reader finds at one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A sample with all that was asked for.
    Sample(Sample),
    /// A sample that cannot be used.
    Unusable {
        /// Its key.
        key: String,
        /// Why.
        reason: String,
    },
}

impl Record {
    /// The sample, if it has what `modality` needs.
    pub(super) fn checked(sample: Sample, modality: Modality) -> Self {
        let lacks_text = sample.caption.as_ref().is_none_or(|caption| caption.trim().is_empty());
        let reason = if modality.has_image() && sample.image.is_none() {
            "no picture"
        } else if modality.has_text() && lacks_text {
            "no caption"
        } else {
            return Self::Sample(sample);
        };
        Self::unusable(sample.key, reason)
    }

    pub(super) fn unusable(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unusable { key: key.into(), reason: reason.into() }
    }
}
