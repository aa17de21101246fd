//! The points of both sides, as exact computations see them.

use crate::cost::CostKind;
use crate::points::Rows;
use crate::restrictions::Restrictions;
use std::borrow::Cow;

/// The points of a problem with n <= m, as the exact solves see them; x indices from n on stand for "no partner".
#[derive(Clone, Copy)]
pub(crate) struct Supports<'a> {
    /// `(n, d)`
    pub(crate) x: Rows<'a>,
    /// `(m, d)`
    pub(crate) y: Rows<'a>,
    pub(crate) cost: CostKind,
    /// What the leaves and sweeps make of the costs; reduced costs are those without.
    pub(crate) restrictions: Option<&'a Restrictions>,
}

impl<'a> Supports<'a> {
    /// Points on the host.
    pub(crate) fn new(x: Rows<'a>, y: Rows<'a>, cost: CostKind) -> Self {
        Self { x, y, cost, restrictions: None }
    }

    /// The same points with x and y exchanged.
    pub(crate) fn turned(self) -> Self {
        Self { x: self.y, y: self.x, cost: self.cost, restrictions: None }
    }

    pub(crate) fn num_x(&self) -> usize {
        self.x.num_points()
    }

    pub(crate) fn num_y(&self) -> usize {
        self.y.num_points()
    }

    pub(crate) fn dimension(&self) -> usize {
        self.x.dimension()
    }

    /// Whether an x index is that of a point and not of a stand-in.
    pub(crate) fn is_point(&self, i: u32) -> bool {
        (i as usize) < self.num_x()
    }

    pub(crate) fn x_row(&self, i: u32) -> Cow<'a, [f32]> {
        self.x.row(i as usize)
    }

    pub(crate) fn y_row(&self, j: u32) -> Cow<'a, [f32]> {
        self.y.row(j as usize)
    }

    /// The cost between two points, in f64.
    pub(crate) fn between(&self, i: u32, j: u32) -> f64 {
        self.restricted(i, j, self.cost.between(&self.x_row(i), &self.y_row(j)))
    }

    /// The costs of an x point with some y points, in f64, restrictions left out.
    pub(crate) fn costs(&self, i: u32, columns: &[u32]) -> Vec<f64> {
        let x = self.x_row(i);
        let mut costs = Vec::with_capacity(columns.len());
        let (fours, rest) = columns.as_chunks::<4>();
        for columns in fours {
            let rows = columns.map(|j| self.y_row(j));
            costs.extend(self.cost.between_several(&x, rows.each_ref().map(|row| &row[..])));
        }
        costs.extend(rest.iter().map(|&j| self.cost.between(&x, &self.y_row(j))));
        costs
    }

    /// What becomes of the cost of a pair.
    pub(crate) fn restricted(&self, i: u32, j: u32, cost: f64) -> f64 {
        self.restrictions.map_or(cost, |restrictions| restrictions.apply(i, j, cost))
    }
}
