//! Where reduced costs are found: by a tree or tiles on the host, or on a device.

use super::candidates::Pricing;
use super::search;
use super::tree::PriceTree;
use crate::cost::CostKind;
use crate::geometry::Supports;

/// Up to this many coordinates a tree finds the least reduced costs faster than tiles do.
const TREE_DIMENSION: usize = 4;
/// Up to so many y points tiles find the least cost alone faster than a tree does, in any dimension.
const TILES_FOR_LEAST: usize = 8192;
/// Candidates that a c-transform lists for each row: good prices leave several columns nearly tied, and with as many listed, few rows need a
/// second look.
pub(super) const CANDIDATES: usize = 8;

/// Pricing on a device that has the points of a problem. `None` if asked to stop, or after a failure, which the device keeps.
pub(crate) trait DevicePricer: Sync {
    /// As [`Pricer::price`]; the x and y of `supports` are the problem's, exchanged if `turned`.
    fn price(
        &self,
        turned: bool,
        supports: Supports<'_>,
        g: &[f64],
        width: usize,
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Pricing>;

    /// The least `c_ij - g_j - own_i` between parts of the two sides, `(parts, parts)`: part a of `x_order`, whose pairs are those of
    /// `y_order`, is `offsets[a]..offsets[a + 1]`, and `own_i` is what makes each pair's own zero.
    fn slack_between(
        &self,
        supports: Supports<'_>,
        orders: [&[u32]; 2],
        offsets: &[usize],
        g: &[f64],
    ) -> Option<Vec<f64>>;
}

/// Supports, and what prices them.
#[derive(Clone, Copy)]
pub(crate) struct Pricer<'a> {
    pub(crate) supports: Supports<'a>,
    pub(super) device: Option<&'a dyn DevicePricer>,
    /// Whether x and y are the device's y and x.
    turned: bool,
}

impl<'a> Pricer<'a> {
    /// On a device, if there is one.
    pub(crate) fn new(supports: Supports<'a>, device: Option<&'a dyn DevicePricer>) -> Self {
        Self { supports, device, turned: false }
    }

    /// The two sides exchanged.
    pub(crate) fn turned(self) -> Self {
        Self { supports: self.supports.turned(), turned: !self.turned, ..self }
    }

    /// Finds, for each x point, the `width` y points of least `c_ij - g_j`; `y_of_x` is the present pairing, by which the search
    /// is guided. `None` if `should_stop` said so.
    ///
    /// Tiles take O(n m d), a tree in few dimensions about O((n + m) log m).
    pub(crate) fn price(
        &self,
        y_of_x: &[u32],
        g: &[f64],
        width: usize,
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Pricing> {
        let supports = self.supports;
        let width = width.min(supports.num_y());
        if self.by_tree() {
            PriceTree::new(supports, y_of_x, g).price(width, should_stop)
        } else if let Some(device) = self.device {
            device.price(self.turned, supports, g, width, should_stop)
        } else {
            search::price(supports, y_of_x, g, width, should_stop)
        }
    }

    /// Whether a tree finds the least reduced costs: in few dimensions.
    pub(crate) fn by_tree(&self) -> bool {
        let metric = matches!(self.supports.cost, CostKind::SquaredEuclidean | CostKind::Euclidean);
        metric && self.supports.dimension() <= TREE_DIMENSION
    }

    /// `min_j (c_ij - g_j)`, `(n,)`, up to rounding in f32.
    pub(crate) fn least(&self, y_of_x: &[u32], g: &[f64], should_stop: &(dyn Fn() -> bool + Sync)) -> Option<Vec<f64>> {
        let by_tree = self.by_tree() && self.supports.num_y() > TILES_FOR_LEAST;
        if by_tree || self.device.is_some() {
            self.c_transform_x(y_of_x, g, should_stop)
        } else {
            search::least(self.supports, y_of_x, g, should_stop)
        }
    }

    /// `f_i = min_j (c_ij - g_j)`, `(n,)`, from below.
    pub(crate) fn c_transform_x(
        &self,
        y_of_x: &[u32],
        g: &[f64],
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Vec<f64>> {
        Some(self.price(y_of_x, g, CANDIDATES, should_stop)?.floor)
    }

    /// `g_j = min_i (c_ij - f_i)`, `(m,)`, from below.
    pub(crate) fn c_transform_y(
        &self,
        y_of_x: &[u32],
        f: &[f64],
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Vec<f64>> {
        let mut x_of_y = vec![u32::MAX; self.supports.num_y()];
        y_of_x.iter().enumerate().for_each(|(x, &y)| x_of_y[y as usize] = x as u32);
        self.turned().c_transform_x(&x_of_y, f, should_stop)
    }
}
