//! Picture towers by the names of `open_clip`.

use super::VisionTransformer;
use super::head::Head;
use super::places::{Move, Places};
use crate::encoder::nn::{Activation, Block, BlockShape, Convolution, Filter, Linear, Norm, Padding};
use crate::encoder::text::families::OPEN_CLIP;
use crate::encoder::weights::Weights;
use crate::error::EncoderError;

impl VisionTransformer {
    /// Reads the tower below `weights` by the names of `open_clip`, for pictures of `side`.
    pub(in crate::encoder) fn open_clip(
        weights: &Weights,
        (layers, shape): (usize, &BlockShape),
        side: usize,
    ) -> std::result::Result<Self, EncoderError> {
        let filter = weights.get("conv1.weight")?;
        let (hidden, size) = (filter.dim(0)?, filter.dim(2)?);
        let grid = side / size;
        let norm = |name: &str| Norm::layer(&weights.at(name), shape.epsilon);
        // Stored as what rows are multiplied by from the right.
        let projection = Linear::new(&weights.get("proj")?.t()?, None)?;
        Ok(Self {
            patches: vec![Convolution::new(Filter::new(filter, None), size, Padding::Even(0), Activation::Identity)?],
            class: Some(weights.get("class_embedding")?.reshape((1, hidden))?),
            registers: None,
            places: Some(Places::new(weights.get("positional_embedding")?, 1, Move::Cubic)?.settled((grid, grid))?),
            first_norm: Some(norm("ln_pre")?),
            blocks: (0..layers)
                .map(|place| Block::load(&weights.at("transformer.resblocks").at(place), &OPEN_CLIP, shape))
                .collect::<std::result::Result<_, _>>()?,
            last_norm: norm("ln_post")?,
            head: Head::Cls,
            dimension: projection.outputs()?,
            projection: Some(projection),
        })
    }
}
