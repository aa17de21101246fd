//! Least reduced costs by streamed tiles: any cost, any dimension, the n x m matrix never stored.

use super::search::{Least, Pricing, lowered};
use crate::cost::CostKind;
use crate::geometry::Supports;
use rayon::prelude::*;

/// x points of a tile.
const ROWS: usize = 64;
/// y points of a tile.
const COLUMNS: usize = 512;
/// Entries compared at once.
pub(super) const LANES: usize = 16;

/// One side in f32: rows less a centre (or normalised), with their norms.
struct Side {
    values: Vec<f32>,
    norms: Vec<f64>,
    squares: Vec<f32>,
}

impl Side {
    fn new(rows: &[f32], dimension: usize, normalize: bool, centre: &[f64]) -> Self {
        let mut values = vec![0.0_f32; rows.len()];
        let norms: Vec<f64> = values
            .par_chunks_exact_mut(dimension)
            .zip(rows.par_chunks_exact(dimension))
            .map(|(out, row)| {
                let square = || row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
                let scale = if normalize { square().sqrt().recip() } else { 1.0 };
                for ((out, &v), c) in out.iter_mut().zip(row).zip(centre) {
                    *out = (f64::from(v) * scale - c) as f32;
                }
                out.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt()
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
    x: Side,
    y: Side,
    /// Prices less their mean, padded by one vector of minus infinity.
    prices: Vec<f32>,
    /// What was taken from the prices.
    level: f64,
    largest_y: f64,
    largest_price: f64,
}

impl Tiles {
    pub(super) fn new(cost: CostKind, dimension: usize, x: &[f32], y: &[f32], g: &[f64]) -> Self {
        let metric = matches!(cost, CostKind::SquaredEuclidean | CostKind::Euclidean);
        // Costs that are distances do not change under a common shift; small coordinates round less.
        let centre = if metric { mean(y, dimension) } else { vec![0.0; dimension] };
        let normalize = cost == CostKind::Cosine;
        let (x, mut y) = (Side::new(x, dimension, normalize, &centre), Side::new(y, dimension, normalize, &centre));
        let level = g.iter().sum::<f64>() / g.len() as f64;
        let mut prices: Vec<f32> = g.iter().map(|g| (g - level) as f32).collect();
        // A whole vector may be read from any column on.
        prices.resize(g.len() + LANES, f32::NEG_INFINITY);
        y.squares.resize(g.len() + LANES, 0.0);
        let largest_y = y.norms.iter().copied().fold(0.0, f64::max);
        let largest_price = g.iter().map(|g| (g - level).abs()).fold(0.0, f64::max);
        Self { cost, dimension, x, y, prices, level, largest_y, largest_price }
    }

    /// Rounding of the squared distance (or inner product) of row i with any column, at most.
    fn product_error(&self, i: usize) -> f64 {
        let size = self.x.norms[i] + self.largest_y;
        f64::from(f32::EPSILON) * (self.dimension + 8) as f64 * size * size
    }

    /// Rounding of what comes after it, at most.
    fn sum_error(&self, i: usize) -> f64 {
        f64::from(f32::EPSILON) * 4.0 * (1.0 + self.largest_price + self.x.norms[i] + self.largest_y)
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
        let (rows, columns) = (x.len(), y.len());
        let (x, y) = (&self.x.values[x.start * d..x.end * d], &self.y.values[y.start * d..y.end * d]);
        assert!(rows * stride <= product.len() && columns <= stride, "a tile within its buffer");
        // SAFETY: `product` holds `rows` rows of `stride >= columns` values (asserted above); x and y are whole rows of d
        // values, read as row-major matrices, y transposed by its strides; nothing overlaps.
        unsafe {
            gemm::gemm(
                rows,
                columns,
                d,
                product.as_mut_ptr(),
                1,
                stride as isize,
                false,
                x.as_ptr(),
                1,
                d as isize,
                y.as_ptr(),
                d as isize,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }

    /// Calls `each` with the reduced costs of row i with 16 columns at a time, from column `start`, given their products;
    /// the Euclidean ones are lowered by their rounding. Columns past the last are infinite.
    #[inline(always)]
    pub(super) fn reduce(&self, i: usize, start: usize, products: &[f32], mut each: impl FnMut(usize, &[f32; LANES])) {
        let end = (start + products.len()).min(self.prices.len());
        let prices = self.prices[start..end].as_chunks::<LANES>().0;
        let squares = self.y.squares[start..end].as_chunks::<LANES>().0;
        let products = products.as_chunks::<LANES>().0;
        let square = self.x.squares[i];
        let slack = self.product_error(i) as f32;
        for (chunk, ((products, prices), squares)) in products.iter().zip(prices).zip(squares).enumerate() {
            let mut values = [0.0_f32; LANES];
            match self.cost {
                CostKind::SquaredEuclidean | CostKind::Euclidean => {
                    for l in 0..LANES {
                        values[l] = square + squares[l] - 2.0 * products[l];
                    }
                    if self.cost == CostKind::Euclidean {
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
            each(start + chunk * LANES, &values);
        }
    }
}

/// The least reduced costs by tiles; see [`super::price`].
pub(super) fn price(
    supports: Supports<'_>,
    g: &[f64],
    width: usize,
    should_stop: &(dyn Fn() -> bool + Sync),
) -> Option<Pricing> {
    let (d, n, m) = (supports.dimension, supports.num_x(), supports.num_y());
    let tiles = Tiles::new(supports.cost, d, supports.x, supports.y, g);
    let mut pricing = Pricing::new(n, width);
    let Pricing { columns, costs, floor, .. } = &mut pricing;
    let complete = columns
        .par_chunks_mut(width * ROWS)
        .zip(costs.par_chunks_mut(width * ROWS))
        .zip(floor.par_chunks_mut(ROWS))
        .enumerate()
        .map_init(
            || vec![0.0_f32; ROWS * COLUMNS],
            |product, (block, ((columns, costs), floor))| {
                if should_stop() {
                    return false;
                }
                let rows = block * ROWS..block * ROWS + floor.len();
                let mut lists: Vec<Least> = rows.clone().map(|_| Least::new(width)).collect();
                for start in (0..m).step_by(COLUMNS) {
                    tiles.multiply(rows.clone(), start..(start + COLUMNS).min(m), product, COLUMNS);
                    pulp::Arch::new().dispatch(
                        #[inline(always)]
                        || {
                            for ((i, list), products) in rows.clone().zip(&mut lists).zip(product.chunks_exact(COLUMNS))
                            {
                                let mut threshold = list.threshold() as f32;
                                tiles.reduce(i, start, products, |column, values| {
                                    let mut any = false;
                                    for value in values {
                                        any |= *value < threshold;
                                    }
                                    if any {
                                        for (l, &value) in values.iter().enumerate() {
                                            list.offer(f64::from(value), (column + l) as u32);
                                        }
                                        threshold = list.threshold() as f32;
                                    }
                                });
                            }
                        },
                    );
                }
                for (((i, list), floor), (columns, costs)) in
                    rows.zip(&lists).zip(floor).zip(columns.chunks_exact_mut(width).zip(costs.chunks_exact_mut(width)))
                {
                    let x = &supports.x[i * d..][..d];
                    let mut exact: Vec<(f64, u32, f64)> = list
                        .entries()
                        .iter()
                        .map(|&(_, j)| {
                            let cost = supports.cost.between(x, supports.y_row(j));
                            (cost - g[j as usize], j, cost)
                        })
                        .collect();
                    exact.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    for ((column, cost), &(_, j, c)) in columns.iter_mut().zip(costs).zip(&exact) {
                        (*column, *cost) = (j, c);
                    }
                    // What is not listed was no less than the last one listed.
                    let unlisted = if width == m { f64::INFINITY } else { tiles.floor(i, list.threshold()) };
                    *floor = lowered(exact[0].0, exact[0].2, d).min(unlisted);
                }
                true
            },
        )
        .all(|done| done);
    complete.then_some(pricing)
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
