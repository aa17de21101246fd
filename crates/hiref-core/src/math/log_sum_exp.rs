//! Log-sum-exp over the rows or the columns of a tile, in forms that vectorise.

use super::exp::exp_nonpositive_f64;

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
        let (old, new) = (exp_nonpositive_f64(self.largest - top), exp_nonpositive_f64(largest - top));
        self.sum = self.sum * old + sum * new;
        self.largest = top;
        (old, new)
    }
}

/// Replaces the costs of a row by `w_j = exp(h_j - c_j / ε - largest)`; returns the largest exponent, `Σ w` and `Σ w c`.
#[inline(always)]
pub(crate) fn row_weights(
    costs: &[f64],
    offsets: &[f64],
    inverse_epsilon: f64,
    weights: &mut [f64],
) -> (f64, f64, f64) {
    let mut largest = [f64::NEG_INFINITY; LANES];
    let (c_chunks, c_rest) = costs.as_chunks::<LANES>();
    let (h_chunks, h_rest) = offsets.as_chunks::<LANES>();
    let (w_chunks, w_rest) = weights.as_chunks_mut::<LANES>();
    for ((c, h), w) in c_chunks.iter().zip(h_chunks).zip(w_chunks.iter_mut()) {
        for lane in 0..LANES {
            let value = h[lane] - c[lane] * inverse_epsilon;
            w[lane] = value;
            largest[lane] = if value > largest[lane] { value } else { largest[lane] };
        }
    }
    for (((c, h), w), largest) in c_rest.iter().zip(h_rest).zip(w_rest.iter_mut()).zip(&mut largest) {
        *w = h - c * inverse_epsilon;
        *largest = if *w > *largest { *w } else { *largest };
    }
    let top = largest.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let (mut sums, mut products) = ([0.0; LANES], [0.0; LANES]);
    for (c, w) in c_chunks.iter().zip(w_chunks) {
        for lane in 0..LANES {
            let value = exp_nonpositive_f64(w[lane] - top);
            w[lane] = value;
            sums[lane] += value;
            products[lane] += value * c[lane];
        }
    }
    for (lane, (c, w)) in c_rest.iter().zip(w_rest).enumerate() {
        *w = exp_nonpositive_f64(*w - top);
        sums[lane] += *w;
        products[lane] += *w * c;
    }
    (top, sums.iter().sum(), products.iter().sum())
}

/// For each column of a tile, `(rows, columns)`, adds `Σ_i exp(h_i - c_ij / ε)` to its running sum.
///
/// `top` and `total` are scratch of one entry a column.
#[inline(always)]
pub(crate) fn column_log_sums(
    tile: &[f64],
    offsets: &[f64],
    inverse_epsilon: f64,
    running: &mut [LogSum],
    top: &mut Vec<f64>,
    total: &mut Vec<f64>,
) {
    let columns = running.len();
    top.clear();
    top.resize(columns, f64::NEG_INFINITY);
    total.clear();
    total.resize(columns, 0.0);
    for (row, h) in tile.chunks_exact(columns).zip(offsets) {
        for (top, c) in top.iter_mut().zip(row) {
            let value = h - c * inverse_epsilon;
            *top = if value > *top { value } else { *top };
        }
    }
    for (row, h) in tile.chunks_exact(columns).zip(offsets) {
        for ((total, c), top) in total.iter_mut().zip(row).zip(top.iter()) {
            *total += exp_nonpositive_f64(h - c * inverse_epsilon - top);
        }
    }
    for ((running, top), total) in running.iter_mut().zip(top.iter()).zip(total.iter()) {
        running.add(*top, *total);
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
            let tile = &tile[part.start * columns..part.end * columns];
            column_log_sums(tile, &h[part], 1.0 / epsilon, &mut running, &mut top, &mut total);
        }
        for (j, running) in running.iter().enumerate() {
            let direct: f64 = (0..rows).map(|i| (h[i] - tile[i * columns + j] / epsilon).exp()).sum();
            assert!((running.ln() - direct.ln()).abs() < 1e-13);
        }
    }
}
