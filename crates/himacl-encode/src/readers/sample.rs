//! One row of a dataset.

use super::budget::{self, Budget, CAPTION_BYTES, PICTURE_BYTES};
use super::decode::decode_with;
use super::tar_file::Member;
use crate::error::Error;
use image::DynamicImage;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

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
    /// A part of an archive, not read yet.
    Member(Member),
    /// Here.
    Bytes(Vec<u8>),
}

/// What the files of all pictures that are decoded at a time may take; one alone may exceed it.
static READING: Budget = Budget::new(256 << 20);

impl ImageSource {
    /// The bytes, encoded as they are on disk.
    ///
    /// # Errors
    /// [`Error::Data`] for a file that cannot be read, is none, or has more than 256 MiB.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, Error> {
        match self {
            Self::File(path) => budget::read(path, PICTURE_BYTES).map(Cow::Owned).map_err(Error::io("read", path)),
            Self::Member(member) => Ok(Cow::Owned(member.read(PICTURE_BYTES)?)),
            Self::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        }
    }

    /// Reads and decodes the picture, and lends it with its bytes. Threads that do so side by side share one budget of
    /// memory.
    ///
    /// # Errors
    /// Why there is no picture, as text.
    pub fn decode_with<T>(&self, then: impl FnOnce(&[u8], DynamicImage) -> T) -> Result<T, String> {
        let _share = READING.share(match self {
            Self::File(path) => fs::metadata(path).map_or(0, |data| data.len().min(PICTURE_BYTES)),
            Self::Member(member) => member.size().min(PICTURE_BYTES),
            Self::Bytes(_) => 0,
        });
        let bytes = self.bytes().map_err(|error| error.to_string())?;
        decode_with(&bytes, |image| then(&bytes, image))
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
        /// Whether it stands for the rest of a file that cannot be read further.
        is_rest: bool,
    },
}

impl Record {
    /// The sample, if it has what `modality` needs; else `found` says what there is instead.
    pub(super) fn checked(sample: Sample, modality: Modality, found: impl FnOnce() -> String) -> Self {
        let lacks_text = sample.caption.as_ref().is_none_or(|caption| caption.trim().is_empty());
        let bytes = sample.caption.as_ref().map_or(0, |caption| caption.len() as u64);
        let lacking = if modality.has_image() && sample.image.is_none() {
            "picture"
        } else if modality.has_text() && lacks_text {
            "caption"
        } else if modality.has_text() && bytes > CAPTION_BYTES {
            let reason = format!("a caption of {bytes} bytes, at most {CAPTION_BYTES} are read");
            return Self::unusable(sample.key, reason);
        } else {
            return Self::Sample(sample);
        };
        Self::unusable(sample.key, format!("no {lacking}: {}", found()))
    }

    pub(super) fn unusable(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unusable { key: key.into(), reason: reason.into(), is_rest: false }
    }

    /// Stands for the rest of a file that cannot be read further, or for all of it.
    pub(super) fn rest(path: &Path, reason: &str) -> Self {
        let reason = format!("{reason}; what came before is used");
        Self::Unusable { key: path.display().to_string(), reason, is_rest: true }
    }
}
