//! Both sides in their principal axes.

use super::error::AlignError;
use super::params::{Candidate, RefinementParams};
use super::preparation::Preparation;
use super::principal_axes::PrincipalAxes;
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
        let largest = candidates.iter().map(|candidate| candidate.refinement.last_dimension).max().unwrap_or(1);
        Ok(Self {
            source: PrincipalAxes::fit(source, largest, seed, "source")?,
            target: PrincipalAxes::fit(target, largest, seed, "target")?,
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
            let (x, y) = self.preparations(last_dimension, whitening)?;
            Ok((x.coordinates(source)?, y.coordinates(target)?))
        };
        candidates.iter().map(of).collect()
    }
}
