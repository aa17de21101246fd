//! The costs between the points of one block.

use super::CostKind;
use crate::solver::assignment::{CostMatrix, Scalar};

/// Builds the cost matrix of a block in f64, reusing its memory.
///
/// Each row is shifted so that its diagonal entry is zero: assignments do not change, and what remains are differences
/// between candidates, which survive the rounding to f32.
#[derive(Debug, Default)]
pub(crate) struct CostTile {
    x: Vec<f64>,
    y: Vec<f64>,
    x_norms: Vec<f64>,
    y_norms: Vec<f64>,
    product: Vec<f64>,
    row_extent: Vec<f64>,
}

impl CostTile {
    /// Computes the tile for `x` and `y`, s rows of d coordinates each; an x row that is `None` stands for no partner and
    /// costs nothing. O(s² d).
    pub(crate) fn compute<'a>(
        &mut self,
        cost: CostKind,
        dimension: usize,
        x: impl Iterator<Item = Option<&'a [f32]>> + Clone,
        y: impl Iterator<Item = &'a [f32]> + Clone,
    ) {
        let centre = match cost {
            CostKind::SquaredEuclidean | CostKind::Euclidean => centre_of(dimension, y.clone()),
            CostKind::Cosine | CostKind::NegativeInnerProduct => vec![0.0; dimension],
        };
        let normalize = cost == CostKind::Cosine;
        pack(&mut self.x, &mut self.x_norms, &centre, normalize, x.clone().map(|row| row.unwrap_or(&[])));
        pack(&mut self.y, &mut self.y_norms, &centre, normalize, y.map(|row| row));
        let size = self.y_norms.len();
        self.multiply(size, dimension);
        self.row_extent.clear();
        let rows = self.product.chunks_exact_mut(size).zip(&self.x_norms).zip(x).enumerate();
        for (i, ((row, &x_norm), x)) in rows {
            if x.is_none() {
                row.fill(0.0);
                self.row_extent.push(0.0);
                continue;
            }
            match cost {
                CostKind::SquaredEuclidean => {
                    for (value, y_norm) in row.iter_mut().zip(&self.y_norms) {
                        *value = y_norm - 2.0 * *value;
                    }
                }
                CostKind::Euclidean => {
                    for (value, y_norm) in row.iter_mut().zip(&self.y_norms) {
                        *value = (x_norm + y_norm - 2.0 * *value).max(0.0).sqrt();
                    }
                }
                CostKind::Cosine | CostKind::NegativeInnerProduct => {
                    for value in row.iter_mut() {
                        *value = -*value;
                    }
                }
            }
            let diagonal = row[i];
            let mut extent = 0.0_f64;
            for value in row {
                *value -= diagonal;
                extent = extent.max(value.abs());
            }
            self.row_extent.push(extent);
        }
    }

    /// Whether f32 holds the tile well enough: no row is so much coarser than the ordinary one that its rounding would
    /// decide between candidates of ordinary rows.
    pub(crate) fn fits_f32(&mut self) -> bool {
        const LARGEST_RATIO: f64 = 1e4;
        let largest = self.row_extent.iter().copied().fold(0.0, f64::max);
        let middle = self.row_extent.len() / 2;
        let (_, median, _) = self.row_extent.select_nth_unstable_by(middle, f64::total_cmp);
        largest <= LARGEST_RATIO * *median
    }

    /// Writes the tile into `matrix`, rounded to its type.
    pub(crate) fn write<T: Scalar>(&self, matrix: &mut CostMatrix<T>) {
        let size = self.y_norms.len();
        matrix.resize(size);
        for (out, row) in matrix.rows_mut().zip(self.product.chunks_exact(size)) {
            for (out, &value) in out.iter_mut().zip(row) {
                *out = T::from_f64(value);
            }
        }
    }

    /// `product = x yᵀ`, `(s, s)`.
    fn multiply(&mut self, size: usize, dimension: usize) {
        self.product.resize(size * size, 0.0);
        assert!(self.x.len() == size * dimension && self.y.len() == size * dimension, "tile rows");
        let (d, s) = (dimension as isize, size as isize);
        // SAFETY: the three buffers hold `size * size`, `size * dimension` and `size * dimension` values (asserted
        // above), the strides address them as row-major matrices, `yᵀ` by exchanging its strides, and the output does
        // not overlap the inputs.
        unsafe {
            gemm::gemm(
                size,
                size,
                dimension,
                self.product.as_mut_ptr(),
                1,
                s,
                false,
                self.x.as_ptr(),
                1,
                d,
                self.y.as_ptr(),
                d,
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
}

/// The mean of some rows, `(d,)`.
fn centre_of<'a>(dimension: usize, rows: impl Iterator<Item = &'a [f32]>) -> Vec<f64> {
    let mut centre = vec![0.0; dimension];
    let mut count = 0_usize;
    for row in rows {
        for (c, &v) in centre.iter_mut().zip(row) {
            *c += f64::from(v);
        }
        count += 1;
    }
    for c in &mut centre {
        *c /= count as f64;
    }
    centre
}

/// Widens rows to f64, centred or normalised, with their squared norms; an empty row becomes zeros.
fn pack<'a>(
    values: &mut Vec<f64>,
    norms: &mut Vec<f64>,
    centre: &[f64],
    normalize: bool,
    rows: impl Iterator<Item = &'a [f32]>,
) {
    values.clear();
    norms.clear();
    for row in rows {
        let start = values.len();
        if row.is_empty() {
            values.resize(start + centre.len(), 0.0);
        } else {
            values.extend(row.iter().zip(centre).map(|(&v, c)| f64::from(v) - c));
        }
        let mut norm: f64 = values[start..].iter().map(|v| v * v).sum();
        if normalize && norm > 0.0 {
            let scale = norm.sqrt().recip();
            values[start..].iter_mut().for_each(|v| *v *= scale);
            norm = 1.0;
        }
        norms.push(norm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use rand::Rng;

    #[test]
    fn a_tile_is_the_cost_less_its_diagonal() {
        let mut rng = stream(3, &[]);
        let (size, dimension) = (9, 5);
        let mut points = || (0..size * dimension).map(|_| rng.random_range(-1.0..1.0_f32) + 3.0).collect::<Vec<f32>>();
        let (x, y) = (points(), points());
        for cost in CostKind::ALL {
            let mut tile = CostTile::default();
            tile.compute(cost, dimension, x.chunks_exact(dimension).map(Some), y.chunks_exact(dimension));
            let mut matrix = CostMatrix::<f64>::default();
            tile.write(&mut matrix);
            for i in 0..size {
                let c = |j: usize| cost.between(&x[i * dimension..][..dimension], &y[j * dimension..][..dimension]);
                for j in 0..size {
                    let (got, expected) = (matrix.at(i, j), c(j) - c(i));
                    assert!((got - expected).abs() < 1e-12, "{cost} ({i}, {j}): {got} against {expected}");
                }
            }
        }
    }

    #[test]
    fn an_outlying_row_asks_for_f64() {
        let mut points: Vec<f32> = (0..64).map(|i| i as f32).collect();
        let mut tile = CostTile::default();
        tile.compute(CostKind::SquaredEuclidean, 1, points.chunks_exact(1).map(Some), points.chunks_exact(1));
        assert!(tile.fits_f32());
        let ordinary = points.clone();
        points[5] = 1e9;
        tile.compute(CostKind::SquaredEuclidean, 1, points.chunks_exact(1).map(Some), ordinary.chunks_exact(1));
        assert!(!tile.fits_f32());
    }
}
