//! Reduced costs from below, by products of bytes.

use super::tiles::{LANES, Tiles};
use crate::cost::CostKind;
use hiref_kernels::bytes::{ByteColumns, ByteRows, QuantizedRow, Quantizer, products};
use rayon::prelude::*;
use std::ops::Range;

/// More than the rounding of a bound in f32, relative to its terms.
const ROUNDING: f64 = 1e-6;
/// More than what underflows.
const UNDERFLOW: f64 = 1e9 * f32::MIN_POSITIVE as f64;
/// Points of one unit of work.
const CHUNK: usize = 256;

/// Bounds on the reduced costs of tiles, from points as bytes: a quarter of the memory and of the time of products in f32, and off by so
/// little that one pair in a thousand is left to look at.
///
/// With `x ≈ s p` and `y ≈ t q`, p and q bytes, `<x, y>` is at most `s (t <p, q> + |p| w)` for `w = ρ |y| + |y - t q|`, ρ the largest
/// `|x - s p| / |s p|` of some rows ([`Quantizer`] has the inequality). So a linear cost `a + b_j - κ <x, y_j>` less a price can only be
/// below a threshold T if `b_j / (κ s) - t <p, q> - |p| w` is below `(T - a) / (κ s)`: three products for each pair.
pub(super) struct ByteBounds {
    x: ByteRows,
    y: ByteColumns,
    rows: Vec<RowTerms>,
    /// For each y point, padded by one vector: scale, size, error.
    scales: Vec<f32>,
    sizes: Vec<f32>,
    errors: Vec<f32>,
    /// What the cost adds to its inner product for each y point, less the price; padded by one vector.
    terms: Vec<f32>,
    largest_term: f64,
    largest_size: f64,
    largest_looseness: f64,
}

/// What the bound takes from an x point.
struct RowTerms {
    /// `1 / (κ s)`.
    inverse: f64,
    /// `|p|`.
    steps: f64,
    /// `|x - s p| / |s p|`.
    looseness: f64,
}

/// The limit below which a bound must lie, and the factors of a row, in f32.
#[derive(Clone, Copy)]
pub(super) struct RowLimit {
    inverse: f32,
    steps: f32,
    limit: f32,
    /// The threshold itself, for the Euclidean cost.
    threshold: f32,
}

impl ByteBounds {
    pub(super) fn new(tiles: &Tiles) -> Self {
        let (d, [x, y]) = (tiles.dimension(), tiles.values());
        let (x_bytes, x_rows) = quantize(&Quantizer::of_rows(d), x, d);
        let (y_bytes, y_rows) = quantize(&Quantizer::of_columns(d), y, d);
        let factor = factor(tiles.cost());
        let rows = x_rows.iter().map(|row| RowTerms {
            inverse: (factor * row.scale).recip(),
            steps: row.norm / row.scale,
            looseness: if row.norm > 0.0 { row.error / row.norm } else { 0.0 },
        });
        let rows: Vec<RowTerms> = rows.collect();
        let distance = matches!(tiles.cost(), CostKind::SquaredEuclidean | CostKind::Euclidean);
        let squares = tiles.norms()[1].iter().map(|norm| if distance { norm * norm } else { 0.0 });
        let squares = squares.chain(std::iter::repeat_n(0.0, LANES));
        // The price is no summand of the square of a distance.
        let price = |price: f32| if tiles.cost() == CostKind::Euclidean { 0.0 } else { f64::from(price) };
        let terms: Vec<f32> = squares.zip(tiles.prices()).map(|(square, &p)| (square - price(p)) as f32).collect();
        let largest_square = if distance { tiles.largest_y().powi(2) } else { 0.0 };
        let padded = |of: fn(&QuantizedRow) -> f64| {
            let values = y_rows.iter().map(|row| of(row) as f32);
            values.chain(std::iter::repeat_n(0.0, LANES)).collect()
        };
        Self {
            x: ByteRows::new(&x_bytes, d),
            y: ByteColumns::new(&y_bytes, d),
            largest_looseness: rows.iter().map(|row| row.looseness).fold(0.0, f64::max),
            rows,
            terms,
            largest_term: largest_square + tiles.largest_price(),
            scales: padded(|row| row.scale),
            sizes: padded(|row| row.size),
            errors: padded(|row| row.error),
            largest_size: y_rows.iter().map(|row| row.size).fold(0.0, f64::max),
        }
    }

    /// Products of bytes of a tile; rows of the product are `stride` apart.
    pub(super) fn multiply(&self, rows: Range<usize>, columns: Range<usize>, product: &mut [i32], stride: usize) {
        products(&self.x, rows, &self.y, columns, product, stride);
    }

    /// Products of bytes of some rows with columns; rows of the product are `stride` apart. `gathered` is memory that is used again.
    pub(super) fn multiply_some(
        &self,
        rows: impl ExactSizeIterator<Item = usize>,
        columns: Range<usize>,
        (product, stride): (&mut [i32], usize),
        gathered: &mut ByteRows,
    ) {
        let count = rows.len();
        self.x.gather(rows, gathered);
        products(gathered, 0..count, &self.y, columns, product, stride);
    }

    /// Products of bytes of a range of rows with all of `count` other columns, quantized alike; rows of the product are `stride` apart.
    pub(super) fn multiply_with(
        &self,
        rows: Range<usize>,
        (columns, count): (&ByteColumns, usize),
        (product, stride): (&mut [i32], usize),
    ) {
        products(&self.x, rows, columns, 0..count, product, stride);
    }

    /// What the bytes of row i are multiples of, times what the cost takes inner products times.
    pub(super) fn factor(&self, i: usize) -> f64 {
        self.rows[i].inverse.recip()
    }

    /// The largest `ρ` of some rows.
    pub(super) fn loosest(&self, rows: Range<usize>) -> f32 {
        self.rows[rows].iter().map(|row| row.looseness).fold(0.0, f64::max) as f32
    }

    /// `w` of the columns of a tile, for rows of `ρ` at most `loosest`; in whole vectors.
    pub(super) fn looseness(&self, loosest: f32, columns: Range<usize>, out: &mut Vec<f32>) {
        let padded = columns.start..columns.start + columns.len().next_multiple_of(LANES);
        let columns = self.sizes[padded.clone()].iter().zip(&self.errors[padded]);
        out.clear();
        out.extend(columns.map(|(size, error)| (loosest * size + error) * (1.0 + ROUNDING as f32)));
    }

    /// What bounds of row i must be below for a reduced cost below `threshold`.
    pub(super) fn limit(&self, tiles: &Tiles, i: usize, threshold: f64) -> RowLimit {
        let RowTerms { inverse, steps, .. } = self.rows[i];
        let own = match tiles.cost() {
            CostKind::SquaredEuclidean | CostKind::Euclidean => tiles.norms()[0][i].powi(2),
            CostKind::Cosine => 1.0,
            CostKind::NegativeInnerProduct => 0.0,
        };
        let (open, within) = match tiles.cost() {
            CostKind::Euclidean => (-own, (threshold.abs() + tiles.largest_price()).powi(2)),
            _ => (threshold - own, threshold.abs()),
        };
        // Every term of the bound, and every sum of them, is at most so large.
        let terms = (self.largest_term + own + within) * inverse;
        let products = steps * self.largest_size * (4.0 + 2.0 * self.largest_looseness);
        let slack = ROUNDING * (terms + products) + UNDERFLOW;
        let limit = (open * inverse + slack) as f32;
        RowLimit {
            inverse: inverse as f32,
            steps: steps as f32,
            // What nothing is known of is looked at.
            limit: if limit.is_finite() && threshold.is_finite() { limit.next_up() } else { f32::NAN },
            threshold: threshold as f32,
        }
    }
}

impl RowLimit {
    /// Which of 16 columns may have a reduced cost below the threshold, given products of bytes and `w`.
    #[inline(always)]
    pub(super) fn candidates(
        self,
        bounds: &ByteBounds,
        tiles: &Tiles,
        column: usize,
        products: &[i32; LANES],
        looseness: &[f32; LANES],
    ) -> [bool; LANES] {
        let Self { inverse, steps, limit, threshold } = self;
        let terms = &bounds.terms[column..column + LANES];
        let scales = &bounds.scales[column..column + LANES];
        let mut values = [0.0_f32; LANES];
        values.copy_from_slice(terms);
        if tiles.cost() == CostKind::Euclidean {
            // A distance is below T + g_j where its square is below the square of that.
            let prices = &tiles.prices()[column..column + LANES];
            for l in 0..LANES {
                let within = (threshold + prices[l]).max(0.0);
                values[l] -= within * within;
            }
        }
        let (mut found, unknown) = ([false; LANES], limit.is_nan());
        for l in 0..LANES {
            let bound = values[l] * inverse - scales[l] * products[l] as f32 - steps * looseness[l];
            found[l] = (bound < limit) | bound.is_nan() | unknown;
        }
        found
    }
}

/// What a cost takes the inner product times.
fn factor(cost: CostKind) -> f64 {
    match cost {
        CostKind::SquaredEuclidean | CostKind::Euclidean => 2.0,
        CostKind::Cosine | CostKind::NegativeInnerProduct => 1.0,
    }
}

/// Bytes of all rows, and what is known of them.
pub(super) fn quantize(quantizer: &Quantizer, values: &[f32], d: usize) -> (Vec<i8>, Vec<QuantizedRow>) {
    let mut bytes = vec![0; values.len()];
    let chunks: Vec<Vec<QuantizedRow>> = bytes
        .par_chunks_mut(CHUNK * d)
        .zip(values.par_chunks(CHUNK * d))
        .map_init(
            || vec![0.0; d],
            |point, (bytes, values)| {
                let rows = bytes.chunks_exact_mut(d).zip(values.chunks_exact(d));
                rows.map(|(bytes, row)| {
                    point.iter_mut().zip(row).for_each(|(p, &v)| *p = f64::from(v));
                    quantizer.quantize(point, bytes)
                })
                .collect()
            },
        )
        .collect();
    (bytes, chunks.concat())
}
