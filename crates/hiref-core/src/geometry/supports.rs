//! The points of both sides, as exact computations see them.

use crate::cost::CostKind;

/// The points of a problem with n <= m, as the exact solves see them; x indices from n on stand for "no partner".
#[derive(Clone, Copy)]
pub(crate) struct Supports<'a> {
    /// `(n, d)`
    pub(crate) x: &'a [f32],
    /// `(m, d)`
    pub(crate) y: &'a [f32],
    pub(crate) dimension: usize,
    pub(crate) cost: CostKind,
}

impl<'a> Supports<'a> {
    pub(crate) fn num_x(&self) -> usize {
        self.x.len() / self.dimension
    }

    pub(crate) fn num_y(&self) -> usize {
        self.y.len() / self.dimension
    }

    pub(crate) fn x_row(&self, i: u32) -> Option<&'a [f32]> {
        self.x.get(i as usize * self.dimension..).and_then(|rest| rest.get(..self.dimension))
    }

    pub(crate) fn y_row(&self, j: u32) -> &'a [f32] {
        &self.y[j as usize * self.dimension..][..self.dimension]
    }
}
