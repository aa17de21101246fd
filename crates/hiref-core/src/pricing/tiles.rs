//! Reduced costs in f32, any cost, any dimension, with a bound on their rounding.

use crate::cost::CostKind;
use crate::math::inner_products;
use rayon::prelude::*;

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

    pub(super) fn cost(&self) -> CostKind {
        self.cost
    }

    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// The rows of both sides, `(n, d)` and `(m, d)`, as they are multiplied.
    pub(super) fn values(&self) -> [&[f32]; 2] {
        [&self.x.values, &self.y.values]
    }

    /// The norms of both sides.
    pub(super) fn norms(&self) -> [&[f64]; 2] {
        [&self.x.norms, &self.y.norms]
    }

    /// Prices less their mean, with the padding of a vector.
    pub(super) fn prices(&self) -> &[f32] {
        &self.prices
    }

    /// What was taken from the prices.
    pub(super) fn level(&self) -> f64 {
        self.level
    }

    pub(super) fn largest_y(&self) -> f64 {
        self.largest_y
    }

    pub(super) fn largest_price(&self) -> f64 {
        self.largest_price
    }

    /// Rounding of the squared distance (or inner product) of row i with any column, at most, underflow included.
    pub(super) fn product_error(&self, i: usize) -> f64 {
        let (size, terms) = (self.x.norms[i] + self.largest_y, (self.dimension + 8) as f64);
        terms * (f64::from(f32::EPSILON) * size * size + f64::from(f32::MIN_POSITIVE))
    }

    /// Rounding of what comes after it, at most.
    pub(super) fn sum_error(&self, i: usize) -> f64 {
        let size = match self.cost {
            CostKind::SquaredEuclidean | CostKind::NegativeInnerProduct => 0.0,
            CostKind::Euclidean => self.x.norms[i] + self.largest_y,
            CostKind::Cosine => 1.0,
        };
        4.0 * f64::from(f32::EPSILON) * (size + self.largest_price)
    }

    /// A number never above the reduced cost `c_ij - g_j`, for any entry of row i that `reduce` gave as `value` or more.
    pub(super) fn floor(&self, i: usize, value: f64) -> f64 {
        let product = if self.cost == CostKind::Euclidean { 0.0 } else { self.product_error(i) };
        value - product - self.sum_error(i) - self.level
    }

    /// A number above what `reduced` would give without rounding for any entry of row i whose reduced cost is `value` or less.
    pub(super) fn ceiling(&self, i: usize, value: f64) -> f64 {
        let error = self.product_error(i) + self.sum_error(i);
        // The distance may be off by the root of what its square is.
        let error = if self.cost == CostKind::Euclidean { error + self.product_error(i).sqrt() } else { error };
        value + self.level + error + 1e-12 * (value.abs() + self.level.abs())
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

    /// As [`Self::reduced`] has it, for one pair.
    #[inline(always)]
    pub(super) fn reduced_cost(&self, i: usize, j: usize) -> f32 {
        let d = self.dimension;
        let product = inner_product(&self.x.values[i * d..][..d], &self.y.values[j * d..][..d]);
        let cost = match self.cost {
            CostKind::SquaredEuclidean => self.x.squares[i] + self.y.squares[j] - 2.0 * product,
            CostKind::Euclidean => {
                let square = self.x.squares[i] + self.y.squares[j] - 2.0 * product;
                (square - self.product_error(i) as f32).max(0.0).sqrt()
            }
            CostKind::Cosine => 1.0 - product,
            CostKind::NegativeInnerProduct => -product,
        };
        cost - self.prices[j]
    }

    /// How many of the products from column `start` on belong to columns, or to the padding of the last.
    #[inline(always)]
    pub(super) fn chunks<'a>(&self, start: usize, products: &'a [f32]) -> &'a [[f32; LANES]] {
        let count = products.len().min(self.prices.len() - start) / LANES;
        &products.as_chunks::<LANES>().0[..count]
    }
}

/// The inner product of two rows, whose bits do not depend on the processor.
#[inline(always)]
pub(super) fn inner_product(x: &[f32], y: &[f32]) -> f32 {
    let ((x_lanes, x_rest), (y_lanes, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (x, y) in x_lanes.iter().zip(y_lanes) {
        for l in 0..LANES {
            sums[l] += x[l] * y[l];
        }
    }
    for (sum, (x, y)) in sums.iter_mut().zip(x_rest.iter().zip(y_rest)) {
        *sum += x * y;
    }
    for width in [8, 4, 2, 1] {
        for l in 0..width {
            sums[l] += sums[l + width];
        }
    }
    sums[0]
}

/// The mean row, in f64.
pub(super) fn mean(rows: &[f32], d: usize) -> Vec<f64> {
    let mut mean = vec![0.0; d];
    for row in rows.chunks_exact(d) {
        mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v));
    }
    let count = (rows.len() / d) as f64;
    mean.iter_mut().for_each(|m| *m /= count);
    mean
}
