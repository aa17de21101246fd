//! Where reduced costs are found: by a tree or tiles on the host, or on a device.

use super::candidates::Pricing;
use super::search;
use super::tree::PriceTree;
use crate::cost::CostKind;
use crate::geometry::Supports;
use crate::points::Rows;

/// Up to this many coordinates a tree finds the least reduced costs faster than tiles do.
const TREE_DIMENSION: usize = 4;
/// Up to so many y points tiles find the least cost alone faster than a tree does, in any dimension.
const TILES_FOR_LEAST: usize = 8192;
/// Candidates that a c-transform lists for each row: good prices leave several columns nearly tied, and with as many listed, few rows need a
/// second look. Rounds list as many at least.
pub(super) const CANDIDATES: usize = 8;
/// And as many at most.
const MOST_CANDIDATES: usize = 64;
/// Nanoseconds that one more candidate of a row takes in the solve of a round, and bytes. Measured on mixtures of 16 and 64 dimensions, n = 65,536.
const NANOSECONDS_OF_CANDIDATE: f64 = 1500.0;
const BYTES_OF_CANDIDATE: usize = 26;
/// Bytes that candidates may take in any case; more only where the points take as many.
const BYTES_FOR_CANDIDATES: usize = 400 << 20;

/// Nanoseconds in which a row is priced against m columns of d coordinates as bytes, by one thread. Measured with AVX-512; a count of operations, so
/// that results do not depend on the machine.
pub(crate) fn nanoseconds_of_row(m: usize, d: usize) -> f64 {
    m as f64 * (d as f64 + 40.0) / 200.0
}

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
    /// Hears of pairs that have been looked at.
    told: Option<Told<'a>>,
}

/// Hears how many pairs have been looked at.
pub(crate) type Told<'a> = &'a (dyn Fn(u64) + Sync);

impl<'a> Pricer<'a> {
    /// On a device, if there is one.
    pub(crate) fn new(supports: Supports<'a>, device: Option<&'a dyn DevicePricer>) -> Self {
        Self { supports, device, turned: false, told: None }
    }

    /// The same, telling of the pairs that [`Self::price`] and what builds on it look at: n m in all, those left out included.
    pub(crate) fn telling(self, told: Told<'a>) -> Self {
        Self { told: Some(told), ..self }
    }

    /// The same without telling.
    pub(super) fn silent(self) -> Self {
        Self { told: None, ..self }
    }

    pub(super) fn tell(&self, pairs: u64) {
        if let Some(told) = self.told {
            told(pairs);
        }
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
        let by_rows = |rows: usize| self.tell(rows as u64 * supports.num_y() as u64);
        let at_once = |pricing: Option<Pricing>| pricing.inspect(|_| by_rows(supports.num_x()));
        if self.by_tree() {
            at_once(PriceTree::new(supports, y_of_x, g).price(width, should_stop))
        } else if let Some(device) = self.device {
            at_once(device.price(self.turned, supports, g, width, should_stop))
        } else {
            search::price(supports, y_of_x, g, width, (should_stop, &by_rows))
        }
    }

    /// For some y points, `width` x points each of least `c_ij - f_i`, as rows in the order of `some`; the pairing is one to one.
    pub(super) fn price_some_y(
        &self,
        y_of_x: &[u32],
        some: &[u32],
        f: &[f64],
        width: usize,
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Pricing> {
        let turned = self.supports.turned();
        let mut x_of_y = vec![u32::MAX; turned.num_x()];
        y_of_x.iter().enumerate().for_each(|(i, &j)| x_of_y[j as usize] = i as u32);
        let partners: Vec<u32> = some.iter().map(|&j| x_of_y[j as usize]).collect();
        let y = turned.x.gather(some);
        let part = Supports { x: Rows::of(&y, turned.dimension()), ..turned };
        Pricer::new(part, None).price(&partners, f, width, should_stop)
    }

    /// How many candidates a round lists for each x point: from 8 to 64, as many as make its solve about as dear as looking at all pairs, and as take no
    /// more memory than the points.
    ///
    /// The more of them, the fewer rounds. Measured, distance from the optimum after one round with 8, 24, 48, 96 of them: text embeddings of 256
    /// coordinates, n = 58,829, .21%, .02%, .003%, .0003%, in 34, 34, 37, 42 processor seconds.
    pub(super) fn candidates(&self) -> usize {
        // On a device all pairs are soon looked at, and so are few pairs by a tree.
        if self.by_tree() || self.device.is_some() {
            return CANDIDATES;
        }
        let (n, m, d) = (self.supports.num_x(), self.supports.num_y(), self.supports.dimension());
        let worth = (nanoseconds_of_row(m, d) / NANOSECONDS_OF_CANDIDATE) as usize;
        let of_points = size_of::<f32>() * d * (n + m);
        let room = of_points.max(BYTES_FOR_CANDIDATES) / (BYTES_OF_CANDIDATE * n);
        worth.min(room).clamp(CANDIDATES, MOST_CANDIDATES)
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
            let by_rows = |rows: usize| self.tell(rows as u64 * self.supports.num_y() as u64);
            search::least(self.supports, y_of_x, g, (should_stop, &by_rows))
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
