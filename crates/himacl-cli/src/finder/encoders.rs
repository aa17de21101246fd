//! Queries become embeddings.

use crate::Context;
use crate::encoder_files::obtain;
use crate::error::Error;
use candle_core::{DType, Device, Tensor};
use himacl::encoder::Encoder;
use himacl::encoder::registry::{self, EncoderModality, EncoderSpec};
use himacl::readers::decode_image;
use himacl::train::{self, DataSide, Recipe};
use std::path::{Path, PathBuf};

/// What is looked for.
#[derive(Debug, Clone)]
pub(crate) enum Query {
    /// Words.
    Text(String),
    /// A picture's file.
    Image(Vec<u8>),
    /// Rows of a side's embeddings.
    Rows(Tensor),
}

/// The encoder of one side, loaded when it is first needed.
pub(super) struct SideEncoder {
    spec: EncoderSpec,
    encoder: Encoder,
}

impl std::fmt::Debug for SideEncoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SideEncoder").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

impl SideEncoder {
    /// The encoder that is named, or else the run's own.
    ///
    /// # Errors
    /// One that is not known or cannot be had; a run whose embeddings do not say what made them.
    pub(super) fn load(
        named: Option<&str>,
        local: Option<&Path>,
        (recipe, run, side): (&Recipe, &Path, DataSide),
        context: &Context,
    ) -> Result<Self, Error> {
        let (spec, folder): (EncoderSpec, PathBuf) = match named {
            Some(name) => {
                let spec = registry::find(name)?;
                let folder = obtain(&spec, local, context)?.folder;
                (spec, folder)
            }
            None => train::encoder_of_run(recipe, run, side, &())?.ok_or(Error::NoReader)?,
        };
        let encoder = Encoder::load(&spec, &folder, &context.device, DType::F32)?;
        Ok(Self { spec, encoder })
    }

    /// Whether it reads what is asked.
    pub(super) fn reads(&self, query: &Query) -> bool {
        match query {
            Query::Text(_) => self.encoder.text.is_some(),
            Query::Image(_) => self.encoder.image.is_some(),
            Query::Rows(_) => true,
        }
    }

    /// The embedding of a query, `(1, d)`, on the CPU.
    ///
    /// # Errors
    /// A picture that cannot be read; a text that the tokenizer refuses.
    pub(super) fn embed(&self, query: &Query) -> Result<Tensor, Error> {
        let unread = |reads: &'static str| Error::EncoderReads { name: self.spec.name.clone(), reads };
        let rows = match query {
            Query::Text(text) => {
                let model = self.encoder.text.as_ref().ok_or_else(|| unread("texts"))?;
                model.encode(&[model.tokenize(text)?])?
            }
            Query::Image(bytes) => {
                let model = self.encoder.image.as_ref().ok_or_else(|| unread("pictures"))?;
                let image = decode_image(bytes).map_err(Error::Picture)?;
                model.encode(&[model.preprocess(&image)?])?
            }
            Query::Rows(rows) => rows.clone(),
        };
        Ok(rows.to_device(&Device::Cpu)?.to_dtype(DType::F32)?)
    }
}

/// Whether an encoder of this kind may read a query, as far as is known before it is loaded.
pub(super) fn may_read(modality: EncoderModality, query: &Query) -> bool {
    match (query, modality) {
        (Query::Text(_), EncoderModality::Image) | (Query::Image(_), EncoderModality::Text) => false,
        (Query::Text(_) | Query::Image(_) | Query::Rows(_), _) => true,
    }
}
