//! Both sides in their principal axes.

use super::error::AlignError;
use super::joint::{ReferenceItems, rows};
use super::kernel::KernelFeatures;
use super::params::{Candidate, RefinementParams};
use super::preparation::Preparation;
use super::principal_axes::PrincipalAxes;
use super::refinement::{Sides, Views};
use super::report::LeftOut;
use crate::side::DataSide;
use candle_core::Tensor;

/// Items of a side on which the principal axes of a kernel's features are found.
const SAMPLED_ITEMS: usize = 16384;
/// Names the draw of those items.
const SAMPLE: u64 = 4;

/// The principal axes of both sides, as many as the candidates need.
#[derive(Clone)]
pub(super) struct Axes {
    source: PrincipalAxes,
    target: PrincipalAxes,
}

impl Axes {
    pub(super) fn fit(
        candidates: &[Candidate],
        seed: u64,
        source: &Tensor,
        target: &Tensor,
    ) -> Result<Self, AlignError> {
        Self::leading(largest_dimension(candidates), seed, source, target)
    }

    /// The `largest` leading axes of each side.
    pub(super) fn leading(largest: usize, seed: u64, source: &Tensor, target: &Tensor) -> Result<Self, AlignError> {
        Ok(Self {
            source: PrincipalAxes::fit(source, largest, seed, "source")?,
            target: PrincipalAxes::fit(target, largest, seed, "target")?,
        })
    }

    /// The same without one axis of a side, counted from 0; as it is where the side has no other.
    pub(super) fn without(&self, left_out: LeftOut) -> candle_core::Result<Self> {
        let LeftOut { side, axis } = left_out;
        Ok(match side {
            DataSide::Source => Self { source: self.source.without(axis)?, target: self.target.clone() },
            DataSide::Target => Self { source: self.source.clone(), target: self.target.without(axis)? },
        })
    }

    /// What prepares both sides.
    pub(super) fn preparations(
        &self,
        dimension: usize,
        whitening: f64,
    ) -> candle_core::Result<(Preparation, Preparation)> {
        let source = Preparation::whitening(&self.source, dimension, whitening)?;
        Ok((source, Preparation::whitening(&self.target, dimension, whitening)?))
    }

    /// Both sides' whitened coordinates in the first `dimension` axes.
    pub(super) fn whitened(
        &self,
        dimension: usize,
        whitening: f64,
        source: &Tensor,
        target: &Tensor,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let (x, y) = self.preparations(dimension, whitening)?;
        Ok((x.coordinates(source)?, y.coordinates(target)?))
    }
}

/// The spaces in which one candidate's maps lie.
pub(super) struct Spaces {
    /// Of the features of a kernel, where there is one, else of the embeddings.
    axes: Axes,
    whitening: f64,
    /// What prepares each side for the kernel, and its features.
    kernel: Option<[(Preparation, KernelFeatures); 2]>,
}

/// Both sides in the space of one candidate.
pub(super) struct Coordinates {
    x: Tensor,
    y: Tensor,
    views: Option<Views>,
}

impl Coordinates {
    /// With the known pairs.
    pub(super) fn sides<'a>(&'a self, anchors: &'a [(u32, u32)]) -> Sides<'a> {
        Sides { x: &self.x, y: &self.y, views: self.views, anchors }
    }
}

impl Spaces {
    /// The spaces of a candidate, by the principal axes of the embeddings.
    pub(super) fn of(
        refinement: &RefinementParams,
        axes: &Axes,
        seed: u64,
        source: &Tensor,
        target: &Tensor,
    ) -> Result<Self, AlignError> {
        let RefinementParams { last_dimension, whitening, kernel_width, .. } = *refinement;
        if kernel_width == 0.0 {
            return Ok(Self { axes: axes.clone(), whitening, kernel: None });
        }
        let (x, y) = axes.preparations(last_dimension, whitening)?;
        let (x, source) = features(x, source, (kernel_width, seed))?;
        let (y, target) = features(y, target, (kernel_width, seed))?;
        let axes = Axes::leading(last_dimension, seed, &source, &target)?;
        Ok(Self { axes, whitening: 0.0, kernel: Some([x, y]) })
    }

    /// What prepares both sides, in the first `dimension` axes.
    pub(super) fn preparations(&self, dimension: usize) -> candle_core::Result<(Preparation, Preparation)> {
        let (x, y) = self.axes.preparations(dimension, self.whitening)?;
        Ok(match self.kernel.clone() {
            None => (x, y),
            Some([(source, of_x), (target, of_y)]) => (source.beside(of_x, x), target.beside(of_y, y)),
        })
    }

    /// Both sides' coordinates in the first `dimension` axes.
    pub(super) fn coordinates(
        &self,
        dimension: usize,
        source: &Tensor,
        target: &Tensor,
    ) -> candle_core::Result<Coordinates> {
        let (x, y) = self.preparations(dimension)?;
        let views = self.kernel.is_some().then(|| Views { x: x.linear_dimension(), y: y.linear_dimension() });
        Ok(Coordinates { x: x.coordinates(source)?, y: y.coordinates(target)?, views })
    }
}

/// A kernel on one side's prepared rows, and its features on a sample of the items.
fn features(
    preparation: Preparation,
    items: &Tensor,
    (width, seed): (f64, u64),
) -> Result<((Preparation, KernelFeatures), Tensor), AlignError> {
    let sample = ReferenceItems { limit: SAMPLED_ITEMS, seed }.of(items.dim(0)?, SAMPLE);
    let prepared = preparation.apply(&rows(items, sample.as_deref())?)?;
    let kernel = KernelFeatures::fit(&prepared, width, seed)?;
    let features = kernel.apply(&prepared)?;
    Ok(((preparation, kernel), features))
}

/// The most principal dimensions that a candidate looks at.
pub(super) fn largest_dimension(candidates: &[Candidate]) -> usize {
    candidates.iter().map(|candidate| candidate.refinement.last_dimension).max().unwrap_or(1)
}
