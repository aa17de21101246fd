//! Log-sum-exp over the rows or the columns of a tile, in forms that vectorise.

use crate::exp::exp_nonpositive;
use pulp::NullaryFnOnce;

/// Partial sums of a reduction: a fixed number, so that the bits do not depend on the machine's vectors.
const LANES: usize = 8;

/// A running `log Σ exp`: the largest exponent so far, and the sum relative to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogSum {
    pub(crate) largest: f64,
    pub(crate) sum: f64,
}

impl LogSum {
    /// The empty sum.
    pub(crate) const EMPTY: Self = Self { largest: f64::NEG_INFINITY, sum: 0.0 };

    /// The logarithm of the sum.
    pub(crate) fn ln(self) -> f64 {
        self.largest + self.sum.ln()
    }

    /// Adds `sum * exp(largest)`; returns the factors that both earlier and new terms shrink by.
    #[inline(always)]
    pub(crate) fn add(&mut self, largest: f64, sum: f64) -> (f64, f64) {
        let top = if largest > self.largest { largest } else { self.largest };
        let (old, new) = (exp_nonpositive(self.largest - top), exp_nonpositive(largest - top));
        self.sum = self.sum * old + sum * new;
        self.largest = top;
        (old, new)
    }
}

/// Replaces the costs of a row by `w_j = exp(h_j - c_j / ε - largest)`; returns the largest exponent, `Σ w` and `Σ w c`.
#[inline(always)]
fn row_weights(costs: &[f64], offsets: &[f64], inverse_epsilon: f64, weights: &mut [f64]) -> (f64, f64, f64) {
    // Separate loops, since only plain ones over all entries become vector code where the exponential is.
    for ((w, c), h) in weights.iter_mut().zip(costs).zip(offsets) {
        *w = h - c * inverse_epsilon;
    }
    let mut largest = [f64::NEG_INFINITY; LANES];
    let (chunks, rest) = weights.as_chunks::<LANES>();
    for chunk in chunks {
        for (largest, &w) in largest.iter_mut().zip(chunk) {
            *largest = if w > *largest { w } else { *largest };
        }
    }
    let top = largest.iter().chain(rest).fold(f64::NEG_INFINITY, |top, &w| if w > top { w } else { top });
    for w in weights.iter_mut() {
        *w = exp_nonpositive(*w - top);
    }
    let (mut sums, mut products) = ([0.0; LANES], [0.0; LANES]);
    let (w_chunks, w_rest) = weights.as_chunks::<LANES>();
    let (c_chunks, c_rest) = costs.as_chunks::<LANES>();
    for (w, c) in w_chunks.iter().zip(c_chunks) {
        for lane in 0..LANES {
            sums[lane] += w[lane];
            products[lane] += w[lane] * c[lane];
        }
    }
    for (lane, (w, c)) in w_rest.iter().zip(c_rest).enumerate() {
        sums[lane] += w;
        products[lane] += w * c;
    }
    (top, sums.iter().sum(), products.iter().sum())
}

/// One tile, `(rows, columns)`, of a pass along the rows.
pub(crate) struct RowTile<'a> {
    /// The costs, row-major.
    pub(crate) tile: &'a [f64],
    /// The exponents' terms of the columns.
    pub(crate) offsets: &'a [f64],
    pub(crate) inverse_epsilon: f64,
    /// As the tile: becomes the weights relative to the largest exponent of each row so far.
    pub(crate) weights: &'a mut [f64],
    /// `(rows,)`: the running sums.
    pub(crate) running: &'a mut [LogSum],
    /// `(rows,)`: `Σ w c`, relative to the largest exponent of each row so far.
    pub(crate) costs: &'a mut [f64],
    /// `(rows, k)`: sums that belong to the weights of earlier tiles, to be kept relative to the same exponent.
    pub(crate) averages: &'a mut [f64],
}

impl RowTile<'_> {
    /// Adds the tile to the running sums, with the machine's best vector instructions.
    pub(crate) fn add(self) {
        pulp::Arch::new().dispatch(self);
    }
}

// Not a closure: the compiler puts a large closure's body into a function of its own, without the vector instructions.
impl NullaryFnOnce for RowTile<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let columns = self.offsets.len();
        let k = self.averages.len() / self.running.len();
        for (row, running) in self.running.iter_mut().enumerate() {
            let span = row * columns..(row + 1) * columns;
            let weights = &mut self.weights[span.clone()];
            let (top, sum, product) = row_weights(&self.tile[span], self.offsets, self.inverse_epsilon, weights);
            let (old, new) = running.add(top, sum);
            self.costs[row] = self.costs[row] * old + product * new;
            if k > 0 {
                for value in &mut self.averages[row * k..(row + 1) * k] {
                    *value *= old;
                }
                for weight in weights {
                    *weight *= new;
                }
            }
        }
    }
}

/// One tile, `(rows, columns)`, of a pass along the columns.
pub(crate) struct ColumnTile<'a> {
    /// The costs, row-major.
    pub(crate) tile: &'a [f64],
    /// The exponents' terms of the rows.
    pub(crate) offsets: &'a [f64],
    pub(crate) inverse_epsilon: f64,
    /// `(columns,)`: the running sums.
    pub(crate) running: &'a mut [LogSum],
    /// Scratch.
    pub(crate) top: &'a mut Vec<f64>,
    /// Scratch.
    pub(crate) total: &'a mut Vec<f64>,
}

impl ColumnTile<'_> {
    /// Adds `Σ_i exp(h_i - c_ij / ε)` to each column's running sum, with the machine's best vector instructions.
    pub(crate) fn add(self) {
        self.top.clear();
        self.top.resize(self.running.len(), f64::NEG_INFINITY);
        self.total.clear();
        self.total.resize(self.running.len(), 0.0);
        pulp::Arch::new().dispatch(self);
    }
}

impl NullaryFnOnce for ColumnTile<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { tile, offsets, inverse_epsilon, running, top, total } = self;
        let columns = running.len();
        for (row, h) in tile.chunks_exact(columns).zip(offsets) {
            for (top, c) in top.iter_mut().zip(row) {
                let value = h - c * inverse_epsilon;
                *top = if value > *top { value } else { *top };
            }
        }
        for (row, h) in tile.chunks_exact(columns).zip(offsets) {
            for ((total, c), top) in total.iter_mut().zip(row).zip(top.iter()) {
                *total += exp_nonpositive(h - c * inverse_epsilon - top);
            }
        }
        for ((running, top), total) in running.iter_mut().zip(top.iter()).zip(total.iter()) {
            running.add(*top, *total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_match_the_definition() {
        let (rows, columns, epsilon) = (5, 19, 0.3);
        let tile: Vec<f64> = (0..rows * columns).map(|k| ((k * 37 % 101) as f64) * 0.1).collect();
        let offset = |k: usize| (k as f64 * 0.7).sin();
        let h: Vec<f64> = (0..columns).map(offset).collect();
        let mut weights = vec![0.0; columns];
        for row in tile.chunks_exact(columns) {
            let (top, sum, product) = row_weights(row, &h, 1.0 / epsilon, &mut weights);
            let direct: f64 = row.iter().zip(&h).map(|(c, h)| (h - c / epsilon).exp()).sum();
            let weighted: f64 = row.iter().zip(&h).map(|(c, h)| c * (h - c / epsilon).exp()).sum();
            assert!((top + sum.ln() - direct.ln()).abs() < 1e-13);
            assert!((product / sum - weighted / direct).abs() < 1e-12);
        }
        let h: Vec<f64> = (0..rows).map(offset).collect();
        let mut running = vec![LogSum::EMPTY; columns];
        let (mut top, mut total) = (Vec::new(), Vec::new());
        for part in [0..2, 2..5] {
            let (offsets, tile) = (&h[part.clone()], &tile[part.start * columns..part.end * columns]);
            let (running, top, total) = (&mut running[..], &mut top, &mut total);
            ColumnTile { tile, offsets, inverse_epsilon: 1.0 / epsilon, running, top, total }.add();
        }
        for (j, running) in running.iter().enumerate() {
            let direct: f64 = (0..rows).map(|i| (h[i] - tile[i * columns + j] / epsilon).exp()).sum();
            assert!((running.ln() - direct.ln()).abs() < 1e-13);
        }
    }
}
