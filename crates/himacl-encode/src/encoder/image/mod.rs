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
pub(super) use vision_transformer::{Trunk, VisionKind, VisionTransformer};

use super::nn::in_parts;
use super::registry::{EncoderSpec, Family, ImageSpec};
use super::weights::Weights;
use super::{ImageEncoder, Pixels};
use crate::error::EncoderError;
use candle_core::{DType, Device, Tensor};
use image::DynamicImage;
pub use preprocess::Preprocessor;
use std::collections::BTreeMap;
use std::path::Path;

/// Of a convolutional network: its first layers fill a core's cache with one picture or two.
const PLACES: usize = 64;

/// A model of pictures `(n, height, width, 3)`: stem, blocks one after another, head.
pub(super) trait Network: Send + Sync {
    fn dimension(&self) -> usize;

    /// Rows that a picture of this height and width adds to the matrices of most layers.
    fn places(&self, size: (usize, usize)) -> usize;

    fn num_blocks(&self) -> usize;

    /// `(n, height, width, 3)` to what enters the first block, a row for each picture.
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
    let image = match &spec.image {
        Some(image) => image.clone(),
        None => preparation::of_folder(folder)?.ok_or_else(unknown)?,
    };
    if image.patches.is_some() && spec.family != Family::Siglip {
        return Err(EncoderError::OneSize { name: spec.name.clone() });
    }
    Ok(image)
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
    /// What leaves the first `blocks` blocks, for pictures of one size.
    fn start(&self, batch: &[&Pixels], blocks: usize) -> Result<Tensor, EncoderError> {
        let values = self.preprocessor.scale(batch.iter().copied())?;
        let (height, width) = batch.first().map_or((0, 0), |pixels| pixels.size());
        let x = Tensor::from_vec(values, (batch.len(), height, width, 3), &self.device)?.to_dtype(self.dtype)?;
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
        let same = |pictures: &[&Pixels]| self.finish(self.start(pictures, self.num_blocks())?, 0);
        let whole = |part: &[Pixels]| by_size(&part.iter().collect::<Vec<_>>(), |pixels| pixels.size(), same);
        if !self.device.is_cpu() {
            return whole(batch);
        }
        in_parts(batch, |pixels| self.network.places(pixels.size()), whole)
    }

    fn num_blocks(&self) -> usize {
        self.network.num_blocks()
    }

    fn encode_before(&self, batch: &[Pixels], last: usize) -> Result<Vec<Tensor>, EncoderError> {
        let blocks = self.num_blocks().saturating_sub(last);
        let mut activations = vec![None; batch.len()];
        for rows in groups(batch, Pixels::size) {
            let pictures: Vec<&Pixels> = rows.iter().map(|&row| &batch[row]).collect();
            let x = self.start(&pictures, blocks)?;
            for (place, &row) in rows.iter().enumerate() {
                // Copies: a view would keep the activations of the whole batch.
                activations[row] = Some(x.get(place)?.copy()?);
            }
        }
        Ok(activations.into_iter().flatten().collect())
    }

    fn encode_after(&self, activations: &[&Tensor], last: usize) -> Result<Tensor, EncoderError> {
        if activations.is_empty() {
            return Ok(Tensor::zeros((0, self.dimension()), DType::F32, &self.device)?);
        }
        by_size(activations, |x| x.dims().to_vec(), |same| self.finish(Tensor::stack(same, 0)?, last))
    }
}

/// The places of a list's items, those of one size together.
fn groups<T, S: Ord>(items: &[T], size: impl Fn(&T) -> S) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<S, Vec<usize>> = BTreeMap::new();
    items.iter().enumerate().for_each(|(place, item)| groups.entry(size(item)).or_default().push(place));
    groups.into_values().collect()
}

/// Embeddings in the order of the items, of which those of one size are encoded together.
fn by_size<T: Copy, S: Ord>(
    items: &[T],
    size: impl Fn(&T) -> S,
    encode: impl Fn(&[T]) -> Result<Tensor, EncoderError>,
) -> Result<Tensor, EncoderError> {
    let groups = groups(items, size);
    if groups.len() == 1 {
        return encode(items);
    }
    let encoded: Vec<Tensor> = groups
        .iter()
        .map(|group| encode(&group.iter().map(|&place| items[place]).collect::<Vec<_>>()))
        .collect::<Result<_, _>>()?;
    let mut rows = vec![0u32; items.len()];
    groups.iter().flatten().enumerate().for_each(|(row, &place)| rows[place] = row as u32);
    let all = Tensor::cat(&encoded, 0)?;
    Ok(all.index_select(&Tensor::from_vec(rows, items.len(), all.device())?, 0)?)
}
