//! Pictures to embeddings.

mod convnext;
mod fast_vit;
mod inverted_residual;
mod preparation;
mod preprocess;
mod resample;
mod resnet;
mod vision_transformer;

pub(super) use convnext::ConvNext;
pub(super) use fast_vit::FastVit;
pub(super) use inverted_residual::{InvertedResidual, Variant};
pub(super) use resnet::ResNet;
pub(super) use vision_transformer::{VisionKind, VisionTransformer};

use super::nn::in_parts;
use super::registry::{EncoderSpec, ImageSpec};
use super::weights::Weights;
use super::{ImageEncoder, Pixels};
use crate::error::EncoderError;
use candle_core::{DType, Device, Tensor};
use image::DynamicImage;
pub use preprocess::Preprocessor;
use std::path::Path;

/// Of a convolutional network: its first layers fill a core's cache with one picture or two.
const PLACES: usize = 64;

/// A model of pictures `(n, side, side, 3)`: stem, blocks one after another, head.
pub(super) trait Network: Send + Sync {
    fn dimension(&self) -> usize;

    /// Rows that a picture adds to the matrices of most layers.
    fn places(&self) -> usize;

    fn num_blocks(&self) -> usize;

    /// `(n, side, side, 3)` to what enters the first block, a row for each picture.
    fn stem(&self, x: &Tensor) -> candle_core::Result<Tensor>;

    /// From one block to the next.
    fn block(&self, place: usize, x: &Tensor) -> candle_core::Result<Tensor>;

    /// What leaves the last block to `(n, d)`.
    fn head(&self, x: &Tensor) -> candle_core::Result<Tensor>;
}

/// An encoder of pictures.
pub(super) struct Images {
    preprocessor: Preprocessor,
    network: Box<dyn Network>,
    device: Device,
    dtype: DType,
}

/// How pictures are prepared: as the description says or, where it is silent, the encoder's own files.
pub(super) fn image_spec(spec: &EncoderSpec, folder: &Path) -> Result<ImageSpec, EncoderError> {
    let unknown = || EncoderError::NoPreparation { name: spec.name.clone(), folder: folder.to_path_buf() };
    match &spec.image {
        Some(image) => Ok(image.clone()),
        None => preparation::of_folder(folder)?.ok_or_else(unknown),
    }
}

impl Images {
    pub(super) fn new(
        image: &ImageSpec,
        network: impl Network + 'static,
        weights: &Weights,
    ) -> Result<Self, EncoderError> {
        Ok(Self {
            preprocessor: Preprocessor::new(image.clone())?,
            network: Box::new(network),
            device: weights.device().clone(),
            dtype: weights.dtype(),
        })
    }
}

impl Images {
    /// What leaves the first `blocks` blocks.
    fn start(&self, batch: &[Pixels], blocks: usize) -> Result<Tensor, EncoderError> {
        let side = self.preprocessor.side();
        let values = self.preprocessor.scale(batch)?;
        let x = Tensor::from_vec(values, (batch.len(), side, side, 3), &self.device)?.to_dtype(self.dtype)?;
        Ok((0..blocks).try_fold(self.network.stem(&x)?, |x, place| self.network.block(place, &x))?)
    }

    /// The last `last` blocks and what follows.
    fn finish(&self, x: Tensor, last: usize) -> Result<Tensor, EncoderError> {
        let blocks = self.num_blocks();
        let x = (blocks.saturating_sub(last)..blocks).try_fold(x, |x, place| self.network.block(place, &x))?;
        Ok(self.network.head(&x)?.to_dtype(DType::F32)?)
    }
}

impl ImageEncoder for Images {
    fn dimension(&self) -> usize {
        self.network.dimension()
    }

    fn preprocess(&self, image: &DynamicImage) -> Result<Pixels, EncoderError> {
        self.preprocessor.apply(image)
    }

    fn encode(&self, batch: &[Pixels]) -> Result<Tensor, EncoderError> {
        if batch.is_empty() {
            return Ok(Tensor::zeros((0, self.dimension()), DType::F32, &self.device)?);
        }
        let whole = |part: &[Pixels]| self.finish(self.start(part, self.num_blocks())?, 0);
        if !self.device.is_cpu() {
            return whole(batch);
        }
        in_parts(batch, |_| self.network.places(), whole)
    }

    fn num_blocks(&self) -> usize {
        self.network.num_blocks()
    }

    fn encode_before(&self, batch: &[Pixels], last: usize) -> Result<Vec<Tensor>, EncoderError> {
        let x = self.start(batch, self.num_blocks().saturating_sub(last))?;
        // Copies: a view would keep the activations of the whole batch.
        (0..batch.len()).map(|row| Ok(x.get(row)?.copy()?)).collect()
    }

    fn encode_after(&self, activations: &[&Tensor], last: usize) -> Result<Tensor, EncoderError> {
        if activations.is_empty() {
            return Ok(Tensor::zeros((0, self.dimension()), DType::F32, &self.device)?);
        }
        self.finish(Tensor::stack(activations, 0)?, last)
    }
}
