//! Both sides in their principal axes.

use super::error::AlignError;
use super::params::{Candidate, RefinementParams};
use super::preparation::Preparation;
use super::principal_axes::PrincipalAxes;
use super::report::LeftOut;
use crate::side::DataSide;
use candle_core::Tensor;

/// The principal axes of both sides, as many as the candidates need.
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

    /// Both sides' whitened coordinates for each candidate.
    pub(super) fn coordinates(
        &self,
        candidates: &[Candidate],
        source: &Tensor,
        target: &Tensor,
    ) -> candle_core::Result<Vec<(Tensor, Tensor)>> {
        let of = |candidate: &Candidate| {
            let RefinementParams { last_dimension, whitening, .. } = candidate.refinement;
            self.whitened(last_dimension, whitening, source, target)
        };
        candidates.iter().map(of).collect()
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

/// The most principal dimensions that a candidate looks at.
pub(super) fn largest_dimension(candidates: &[Candidate]) -> usize {
    candidates.iter().map(|candidate| candidate.refinement.last_dimension).max().unwrap_or(1)
}
