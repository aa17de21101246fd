//! Least reduced costs by streamed tiles: any cost, any dimension, the n x m matrix never stored.

use super::candidates::{Least, Pricing, lowered};
use crate::cost::CostKind;
use crate::geometry::{Supports, equal_offsets, kd_order};
use crate::math::inner_products;
use rayon::prelude::*;

/// x points of a tile.
const ROWS: usize = 256;
/// y points of a tile.
const COLUMNS: usize = 256;
/// Entries compared at once.
pub(super) const LANES: usize = 16;

/// One side in f32: rows less a centre (or normalised), with their norms.
struct Operand {
    values: Vec<f32>,
    norms: Vec<f64>,
    squares: Vec<f32>,
}

impl Operand {
    fn new(mut values: Vec<f32>, dimension: usize, normalize: bool, centre: &[f64]) -> Self {
        let norms: Vec<f64> = values
            .par_chunks_exact_mut(dimension)
            .map(|row| {
                let norm = |row: &[f32]| row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
                let scale = if normalize { norm(row).recip() } else { 1.0 };
                for (v, c) in row.iter_mut().zip(centre) {
                    *v = (f64::from(*v) * scale - c) as f32;
                }
                norm(row)
            })
            .collect();
        let squares = norms.iter().map(|norm| (norm * norm) as f32).collect();
        Self { values, norms, squares }
    }
}

/// Reduced costs of tiles in f32, with a bound on their rounding.
pub(super) struct Tiles {
    cost: CostKind,
    dimension: usize,
    x: Operand,
    y: Operand,
    /// Prices less their mean, padded by one vector of minus infinity.
    prices: Vec<f32>,
    /// What was taken from the prices.
    level: f64,
    largest_y: f64,
    largest_price: f64,
}

impl Tiles {
    /// Takes the points row-major: `x (n, d)`, `y (m, d)`.
    pub(super) fn new(cost: CostKind, dimension: usize, x: Vec<f32>, y: Vec<f32>, g: &[f64]) -> Self {
        let metric = matches!(cost, CostKind::SquaredEuclidean | CostKind::Euclidean);
        // Costs that are distances do not change under a common shift; small coordinates round less.
        let centre = if metric { mean(&y, dimension) } else { vec![0.0; dimension] };
        let normalize = cost == CostKind::Cosine;
        let (x, mut y) =
            (Operand::new(x, dimension, normalize, &centre), Operand::new(y, dimension, normalize, &centre));
        let level = g.iter().sum::<f64>() / g.len() as f64;
        let mut prices: Vec<f32> = g.iter().map(|g| (g - level) as f32).collect();
        // A whole vector may be read from any column on.
        prices.resize(g.len() + LANES, f32::NEG_INFINITY);
        y.squares.resize(g.len() + LANES, 0.0);
        let largest_y = y.norms.iter().copied().fold(0.0, f64::max);
        let largest_price = g.iter().map(|g| (g - level).abs()).fold(0.0, f64::max);
        Self { cost, dimension, x, y, prices, level, largest_y, largest_price }
    }

    /// Rounding of the squared distance (or inner product) of row i with any column, at most, underflow included.
    fn product_error(&self, i: usize) -> f64 {
        let (size, terms) = (self.x.norms[i] + self.largest_y, (self.dimension + 8) as f64);
        terms * (f64::from(f32::EPSILON) * size * size + f64::from(f32::MIN_POSITIVE))
    }

    /// Rounding of what comes after it, at most.
    fn sum_error(&self, i: usize) -> f64 {
        let size = match self.cost {
            CostKind::SquaredEuclidean | CostKind::NegativeInnerProduct => 0.0,
            CostKind::Euclidean => self.x.norms[i] + self.largest_y,
            CostKind::Cosine => 1.0,
        };
        4.0 * f64::from(f32::EPSILON) * (size + self.largest_price)
    }

    /// A number never above the reduced cost `c_ij - g_j`, for any entry of row i that `reduce` gave as `value` or more.
    fn floor(&self, i: usize, value: f64) -> f64 {
        let product = if self.cost == CostKind::Euclidean { 0.0 } else { self.product_error(i) };
        value - product - self.sum_error(i) - self.level
    }

    /// `product[i, j] = <x_i, y_j>` for ranges of rows and columns; rows of the product are `stride` apart.
    pub(super) fn multiply(
        &self,
        x: std::ops::Range<usize>,
        y: std::ops::Range<usize>,
        product: &mut [f32],
        stride: usize,
    ) {
        let d = self.dimension;
        inner_products(
            &self.x.values[x.start * d..x.end * d],
            &self.y.values[y.start * d..y.end * d],
            d,
            product,
            stride,
        );
    }

    /// The reduced costs of row i with the 16 columns from `column` on, given their products; the Euclidean ones are lowered by
    /// their rounding. Columns past the last are infinite.
    #[inline(always)]
    pub(super) fn reduced(&self, i: usize, column: usize, products: &[f32; LANES]) -> [f32; LANES] {
        let mut values = [0.0_f32; LANES];
        let prices = &self.prices[column..column + LANES];
        match self.cost {
            CostKind::SquaredEuclidean | CostKind::Euclidean => {
                let (square, squares) = (self.x.squares[i], &self.y.squares[column..column + LANES]);
                for l in 0..LANES {
                    values[l] = square + squares[l] - 2.0 * products[l];
                }
                if self.cost == CostKind::Euclidean {
                    let slack = self.product_error(i) as f32;
                    for value in &mut values {
                        let lowered = *value - slack;
                        *value = (if lowered > 0.0 { lowered } else { 0.0 }).sqrt();
                    }
                }
            }
            CostKind::Cosine => {
                for l in 0..LANES {
                    values[l] = 1.0 - products[l];
                }
            }
            CostKind::NegativeInnerProduct => {
                for l in 0..LANES {
                    values[l] = -products[l];
                }
            }
        }
        for l in 0..LANES {
            values[l] -= prices[l];
        }
        values
    }

    /// How many of the products from column `start` on belong to columns, or to the padding of the last.
    #[inline(always)]
    pub(super) fn chunks<'a>(&self, start: usize, products: &'a [f32]) -> &'a [[f32; LANES]] {
        let count = products.len().min(self.prices.len() - start) / LANES;
        &products.as_chunks::<LANES>().0[..count]
    }
}

/// Ranges of `COLUMNS` y points: where they are, and the largest price among them.
struct Ranges {
    /// `(ranges, d)`
    centres: Vec<f32>,
    norms: Vec<f64>,
    radius: Vec<f64>,
    highest: Vec<f64>,
}

impl Ranges {
    fn new(tiles: &Tiles, num_y: usize) -> Self {
        let d = tiles.dimension;
        let parts: Vec<(Vec<f32>, f64, f64)> = (0..num_y.div_ceil(COLUMNS))
            .into_par_iter()
            .map(|range| {
                let members = range * COLUMNS..((range + 1) * COLUMNS).min(num_y);
                let rows = &tiles.y.values[members.start * d..members.end * d];
                let centre: Vec<f32> = mean(rows, d).into_iter().map(|c| c as f32).collect();
                let distance = |row: &[f32]| {
                    row.iter().zip(&centre).map(|(&v, &c)| (f64::from(v) - f64::from(c)).powi(2)).sum::<f64>().sqrt()
                };
                let radius = rows.chunks_exact(d).map(distance).fold(0.0, f64::max);
                let highest = tiles.prices[members].iter().copied().fold(f32::NEG_INFINITY, f32::max);
                (centre, radius, f64::from(highest))
            })
            .collect();
        let norms = parts.iter().map(|(centre, ..)| centre.iter().map(|&c| f64::from(c).powi(2)).sum::<f64>().sqrt());
        Self {
            norms: norms.collect(),
            radius: parts.iter().map(|part| part.1).collect(),
            highest: parts.iter().map(|part| part.2).collect(),
            centres: parts.into_iter().flat_map(|part| part.0).collect(),
        }
    }

    fn len(&self) -> usize {
        self.radius.len()
    }

    /// A number never above the reduced costs of row i with any column of a range, given `<x_i, centre>` in f32.
    fn bound(&self, tiles: &Tiles, i: usize, range: usize, product: f32) -> f64 {
        let (error, radius, product) = (tiles.product_error(i), self.radius[range], f64::from(product));
        // By the triangle inequality.
        let nearest = || {
            let square = tiles.x.norms[i].powi(2) + self.norms[range].powi(2) - 2.0 * product - error;
            (square.max(0.0).sqrt() - radius * (1.0 + 1e-6)).max(0.0)
        };
        let cost = match tiles.cost {
            CostKind::SquaredEuclidean => nearest().powi(2),
            CostKind::Euclidean => nearest(),
            // Of unit vectors.
            CostKind::Cosine => 0.5 * nearest().powi(2),
            CostKind::NegativeInnerProduct => -product - tiles.x.norms[i] * radius,
        };
        cost - self.highest[range] - error - tiles.sum_error(i)
    }
}

/// Offers every column whose rounded reduced cost is below the row's threshold.
///
/// A value of its own and no closure: the body of a large closure becomes a function without the vector instructions.
struct Scan<'a> {
    tiles: &'a Tiles,
    row: usize,
    start: usize,
    products: &'a [f32],
    list: &'a mut Least,
}

impl pulp::NullaryFnOnce for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { tiles, row, start, products, list } = self;
        let mut threshold = list.threshold() as f32;
        for (chunk, products) in tiles.chunks(start, products).iter().enumerate() {
            let column = start + chunk * LANES;
            let values = tiles.reduced(row, column, products);
            let mut any = false;
            for value in values {
                any |= value < threshold;
            }
            if any {
                for (l, value) in values.into_iter().enumerate() {
                    list.offer(f64::from(value), (column + l) as u32);
                }
                threshold = list.threshold() as f32;
            }
        }
    }
}

/// Both sides in an order that keeps neighbours together: y points as in a k-d tree, x points as their partners.
fn neighbours_together(supports: Supports<'_>, y_of_x: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let (n, m) = (supports.num_x(), supports.num_y());
    let mut y_order: Vec<u32> = (0..m as u32).collect();
    let offsets = equal_offsets(m, m.div_ceil(COLUMNS).next_power_of_two());
    kd_order(&mut y_order, &supports.y.all(), supports.dimension(), &offsets);
    let mut place = vec![0_u32; m];
    y_order.iter().enumerate().for_each(|(at, &j)| place[j as usize] = at as u32);
    let mut x_order: Vec<u32> = (0..n as u32).collect();
    x_order.sort_by_key(|&i| place.get(y_of_x[i as usize] as usize).copied().unwrap_or(u32::MAX));
    (x_order, y_order)
}

/// The least reduced costs by tiles; see [`super::Pricer::price`]. Tiles that the triangle inequality shows to be too dear for every row are left out.
pub(super) fn price(
    supports: Supports<'_>,
    y_of_x: &[u32],
    g: &[f64],
    width: usize,
    should_stop: &(dyn Fn() -> bool + Sync),
) -> Option<Pricing> {
    let n = supports.num_x();
    let search = Search::new(supports, y_of_x, g, width);
    // Rows of the pricing in the order of the search, to be put in their places at the end.
    let mut found = Pricing::new(n, width);
    let complete = found
        .columns
        .par_chunks_mut(width * ROWS)
        .zip(found.costs.par_chunks_mut(width * ROWS))
        .zip(found.floor.par_chunks_mut(ROWS))
        .enumerate()
        .map_init(
            || vec![0.0_f32; ROWS * COLUMNS.max(search.ranges.len())],
            |product, (block, ((columns, costs), floor))| {
                if should_stop() {
                    return false;
                }
                let rows = block * ROWS..block * ROWS + floor.len();
                let lists = search.least_in_tiles(rows.clone(), product);
                for (((i, list), floor), (columns, costs)) in
                    rows.zip(&lists).zip(floor).zip(columns.chunks_exact_mut(width).zip(costs.chunks_exact_mut(width)))
                {
                    *floor = search.recheck(i, list, columns, costs);
                }
                true
            },
        )
        .all(|done| done);
    if !complete {
        return None;
    }
    let mut pricing = Pricing::new(n, width);
    for (at, &i) in search.x_order.iter().enumerate() {
        let (from, to) = (at * width..(at + 1) * width, i as usize * width..(i as usize + 1) * width);
        pricing.columns[to.clone()].copy_from_slice(&found.columns[from.clone()]);
        pricing.costs[to].copy_from_slice(&found.costs[from]);
        pricing.floor[i as usize] = found.floor[at];
    }
    Some(pricing)
}

/// Both sides in the order of the search, and what it needs to know of them.
struct Search<'a> {
    supports: Supports<'a>,
    g: &'a [f64],
    width: usize,
    x_order: Vec<u32>,
    y_order: Vec<u32>,
    tiles: Tiles,
    ranges: Ranges,
}

impl<'a> Search<'a> {
    fn new(supports: Supports<'a>, y_of_x: &[u32], g: &'a [f64], width: usize) -> Self {
        let (x_order, y_order) = neighbours_together(supports, y_of_x);
        let ordered: Vec<f64> = y_order.iter().map(|&j| g[j as usize]).collect();
        let (x, y) = (supports.x.gather(&x_order), supports.y.gather(&y_order));
        let tiles = Tiles::new(supports.cost, supports.dimension(), x, y, &ordered);
        let ranges = Ranges::new(&tiles, supports.num_y());
        Self { supports, g, width, x_order, y_order, tiles, ranges }
    }

    /// The columns of least rounded reduced costs of some rows; ranges that may hold the least come first. `product` is scratch.
    fn least_in_tiles(&self, rows: std::ops::Range<usize>, product: &mut [f32]) -> Vec<Least> {
        let Self { tiles, ranges, .. } = self;
        let (d, m, stride) = (self.supports.dimension(), self.supports.num_y(), ranges.len());
        let mut lists: Vec<Least> = rows.clone().map(|_| Least::new(self.width)).collect();
        inner_products(&tiles.x.values[rows.start * d..rows.end * d], &ranges.centres, d, product, stride);
        let mut bounds: Vec<f64> = Vec::with_capacity(rows.len() * stride);
        for (i, products) in rows.clone().zip(product.chunks_exact(stride)) {
            bounds.extend(products.iter().enumerate().map(|(range, &p)| ranges.bound(tiles, i, range, p)));
        }
        let mut visits: Vec<(f64, usize)> = (0..stride)
            .map(|range| (bounds.iter().skip(range).step_by(stride).copied().fold(f64::INFINITY, f64::min), range))
            .collect();
        visits.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (_, range) in visits {
            let wanted = |row: usize, list: &Least| bounds[row * stride + range] < list.threshold();
            if !lists.iter().enumerate().any(|(row, list)| wanted(row, list)) {
                continue;
            }
            let start = range * COLUMNS;
            tiles.multiply(rows.clone(), start..(start + COLUMNS).min(m), product, COLUMNS);
            for (row, (list, products)) in lists.iter_mut().zip(product.chunks_exact(COLUMNS)).enumerate() {
                if wanted(row, list) {
                    pulp::Arch::new().dispatch(Scan { tiles, row: rows.start + row, start, products, list });
                }
            }
        }
        lists
    }

    /// Puts the listed columns of row i in order by their exact costs; returns its floor. Where rounding leaves the least one in doubt, the
    /// row is searched again in f64.
    fn recheck(&self, i: usize, list: &Least, columns: &mut [u32], costs: &mut [f64]) -> f64 {
        let Self { supports, g, width, .. } = *self;
        let (d, m) = (supports.dimension(), supports.num_y());
        let x = supports.x_row(self.x_order[i]);
        let reduced = |j: u32| {
            let cost = supports.cost.between(&x, &supports.y_row(j));
            (cost - g[j as usize], j, cost)
        };
        let mut exact: Vec<_> = list.entries().iter().map(|&(_, at)| reduced(self.y_order[at as usize])).collect();
        exact.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        // What is not listed was no less than the last one listed, up to rounding.
        let unlisted = if width == m { f64::INFINITY } else { self.tiles.floor(i, list.threshold()) };
        if exact.len() < width || unlisted.is_nan() || exact[0].0 > unlisted {
            let mut list = Least::new(width);
            (0..m as u32).for_each(|j| list.offer(reduced(j).0, j));
            exact = list.entries().iter().map(|&(_, j)| reduced(j)).collect();
        }
        for ((column, cost), &(_, j, c)) in columns.iter_mut().zip(costs).zip(&exact) {
            (*column, *cost) = (j, c);
        }
        lowered(exact[0].0, exact[0].2, d)
    }
}

/// The mean row, in f64.
fn mean(rows: &[f32], d: usize) -> Vec<f64> {
    let mut mean = vec![0.0; d];
    for row in rows.chunks_exact(d) {
        mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v));
    }
    let count = (rows.len() / d) as f64;
    mean.iter_mut().for_each(|m| *m /= count);
    mean
}
