//! The costs between the points of one block.

use super::CostKind;
use std::ops::Range;

/// Builds the cost matrix of a block in f64, reusing its memory.
///
/// What it holds is `c(x_i, y_j)` less a column term `c(x̄, y_j)`, x̄ a centre of the block's x points, and less a row term that
/// makes the diagonal zero: assignments do not change, and what remains are the differences between candidates, which
/// survive the rounding to f32 however far apart the two sides are.
#[derive(Debug, Default)]
pub(crate) struct CostTile {
    x: Vec<f64>,
    y: Vec<f64>,
    x_norms: Vec<f64>,
    y_norms: Vec<f64>,
    column_terms: Vec<f64>,
    product: Vec<f64>,
    row_extent: Vec<f64>,
    row_gap: Vec<f64>,
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
        let normalize = cost == CostKind::Cosine;
        let reference = trimmed_mean(dimension, normalize, &x.clone().flatten());
        // All costs but the inner products are those of the points as seen from the reference; for the inner products
        // the x side alone is shifted, which is the subtraction of the column term.
        let shift_y = matches!(cost, CostKind::SquaredEuclidean | CostKind::Euclidean);
        pack(&mut self.x, &mut self.x_norms, &reference, normalize, x.clone().map(|row| row.unwrap_or(&[])));
        let origin = vec![0.0; dimension];
        pack(&mut self.y, &mut self.y_norms, if shift_y { &reference } else { &origin }, normalize, y);
        let size = self.y_norms.len();
        self.column_terms.clear();
        match cost {
            CostKind::SquaredEuclidean => self.column_terms.extend(&self.y_norms),
            CostKind::Euclidean => self.column_terms.extend(self.y_norms.iter().map(|norm| norm.sqrt())),
            CostKind::Cosine | CostKind::NegativeInnerProduct => self.column_terms.extend(
                self.y.chunks_exact(dimension).map(|y| -y.iter().zip(&reference).map(|(y, r)| y * r).sum::<f64>()),
            ),
        }
        if cost == CostKind::SquaredEuclidean {
            // With the column term gone only the cross term is left, and the mean of y may go too: it is the same for
            // all entries of a row.
            remove_mean(&mut self.y, dimension);
        }
        self.multiply(size, dimension);
        self.row_extent.clear();
        self.row_gap.clear();
        for (i, (row, x)) in self.product.chunks_exact_mut(size).zip(x).enumerate() {
            if x.is_none() {
                row.iter_mut().zip(&self.column_terms).for_each(|(value, term)| *value = -term);
            } else {
                match cost {
                    CostKind::SquaredEuclidean => row.iter_mut().for_each(|value| *value *= -2.0),
                    CostKind::Euclidean => {
                        let x_norm = self.x_norms[i];
                        for ((value, y_norm), term) in row.iter_mut().zip(&self.y_norms).zip(&self.column_terms) {
                            *value = (x_norm + y_norm - 2.0 * *value).max(0.0).sqrt() - term;
                        }
                    }
                    CostKind::Cosine | CostKind::NegativeInnerProduct => {
                        row.iter_mut().for_each(|value| *value *= -1.0);
                    }
                }
            }
            let diagonal = row[i];
            let (mut extent, mut gap) = (0.0_f64, f64::INFINITY);
            row[i] = f64::NAN;
            for value in row.iter_mut() {
                *value -= diagonal;
                let size = value.abs();
                extent = if size > extent { size } else { extent };
                gap = if size < gap { size } else { gap };
            }
            row[i] = 0.0;
            self.row_extent.push(extent);
            self.row_gap.push(if gap.is_finite() { gap } else { 0.0 });
        }
    }

    /// Makes of every cost what `restricted(i, j, cost)` says; `own(i)` is the cost of row i with column i, `None` for a stand-in. O(s²).
    ///
    /// Costs are whole for it, so that no column term is left: what is restricted has no outliers.
    pub(crate) fn restrict(
        &mut self,
        own: impl Fn(usize) -> Option<f64>,
        restricted: impl Fn(usize, usize, f64) -> f64,
    ) {
        let size = self.y_norms.len();
        self.row_extent.clear();
        self.row_gap.clear();
        for (i, row) in self.product.chunks_exact_mut(size).enumerate() {
            let (mut extent, mut gap) = (0.0_f64, f64::INFINITY);
            if let Some(own) = own(i) {
                let (kept, whole) = (restricted(i, i, own), own - self.column_terms[i]);
                for (j, (value, term)) in row.iter_mut().zip(&self.column_terms).enumerate().filter(|&(j, _)| j != i) {
                    *value = restricted(i, j, *value + term + whole) - kept;
                    extent = extent.max(value.abs());
                    // What is restricted to one value is the same in any type.
                    gap = if *value == 0.0 { gap } else { gap.min(value.abs()) };
                }
            } else {
                row.fill(0.0);
            }
            self.row_extent.push(extent);
            self.row_gap.push(if gap.is_finite() { gap } else { f64::MAX });
        }
        self.column_terms.fill(0.0);
    }

    /// What was taken from each column, `(s,)`: potentials of the tile plus this are potentials of the cost.
    pub(crate) fn column_terms(&self) -> &[f64] {
        &self.column_terms
    }

    /// Whether f32 holds the tile well enough: the rounding of its largest entry is far below the difference that an
    /// ordinary row sees between its partner and the nearest alternative.
    pub(crate) fn fits_f32(&mut self) -> bool {
        const SHARE: f64 = 0.01;
        let largest = self.row_extent.iter().copied().fold(0.0, f64::max);
        let middle = self.row_gap.len() / 2;
        let (_, median, _) = self.row_gap.select_nth_unstable_by(middle, f64::total_cmp);
        largest * f64::from(f32::EPSILON) <= SHARE * *median
    }

    /// The largest entry, in absolute value.
    pub(crate) fn extent(&self) -> f64 {
        self.row_extent.iter().copied().fold(0.0, f64::max)
    }

    /// The least `c_ij - g_j` of row i over a range of columns.
    pub(crate) fn least_reduced_cost(&self, i: usize, g: &[f64], columns: Range<usize>) -> f64 {
        let row = &self.product[i * self.y_norms.len()..][columns.clone()];
        let mut least = f64::INFINITY;
        for (&c, &g) in row.iter().zip(&g[columns]) {
            let value = c - g;
            least = if value < least { value } else { least };
        }
        least
    }

    /// One entry.
    pub(crate) fn at(&self, i: usize, j: usize) -> f64 {
        self.product[i * self.y_norms.len() + j]
    }

    /// The change of the block's cost if row i goes to `columns[i]` instead of column i, in f64.
    pub(crate) fn change(&self, columns: &[u32]) -> f64 {
        // The row terms are the diagonal's, and the column terms cancel over a permutation.
        self.product.chunks_exact(columns.len()).zip(columns).map(|(row, &j)| row[j as usize]).sum()
    }

    /// The entries of each row.
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.product.chunks_exact(self.y_norms.len().max(1))
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

/// The mean of the half of the rows that lie closest to the mean of all, `(d,)`; the origin if there are none.
///
/// Without the trimming one far outlier would move the reference away from every ordinary point.
fn trimmed_mean<'a>(dimension: usize, normalize: bool, rows: &(impl Iterator<Item = &'a [f32]> + Clone)) -> Vec<f64> {
    let scaled = |row: &'a [f32]| {
        let norm = || row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        let scale = if normalize { norm().recip() } else { 1.0 };
        row.iter().map(move |&v| f64::from(v) * scale)
    };
    let mean_where = |keep: &dyn Fn(usize) -> bool| {
        let mut mean = vec![0.0; dimension];
        let mut count = 0_usize;
        for (_, row) in rows.clone().enumerate().filter(|&(i, _)| keep(i)) {
            mean.iter_mut().zip(scaled(row)).for_each(|(m, v)| *m += v);
            count += 1;
        }
        mean.iter_mut().for_each(|m| *m /= count.max(1) as f64);
        mean
    };
    let mean = mean_where(&|_| true);
    let distances: Vec<f64> =
        rows.clone().map(|row| scaled(row).zip(&mean).map(|(v, m)| (v - m) * (v - m)).sum()).collect();
    let mut sorted = distances.clone();
    if sorted.is_empty() {
        return mean;
    }
    let middle = sorted.len() / 2;
    let (_, &mut median, _) = sorted.select_nth_unstable_by(middle, f64::total_cmp);
    mean_where(&|i| distances[i] <= median)
}

/// Subtracts the mean row.
fn remove_mean(rows: &mut [f64], dimension: usize) {
    let mut mean = vec![0.0; dimension];
    for row in rows.chunks_exact(dimension) {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += v);
    }
    let count = (rows.len() / dimension) as f64;
    mean.iter_mut().for_each(|m| *m /= count);
    for row in rows.chunks_exact_mut(dimension) {
        row.iter_mut().zip(&mean).for_each(|(v, m)| *v -= m);
    }
}

/// Widens rows to f64, normalised where asked, less `centre`, with their squared norms; an empty row becomes zeros.
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
            let norm = || row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            let scale = if normalize { norm().recip() } else { 1.0 };
            values.extend(row.iter().zip(centre).map(|(&v, c)| f64::from(v) * scale - c));
        }
        norms.push(values[start..].iter().map(|v| v * v).sum());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use rand::Rng;

    #[test]
    fn a_tile_is_the_cost_up_to_row_and_column_terms() {
        let mut rng = stream(3, &[]);
        let (size, dimension) = (9, 5);
        let mut points = || (0..size * dimension).map(|_| rng.random_range(-1.0..1.0_f32) + 3.0).collect::<Vec<f32>>();
        let (x, y) = (points(), points());
        for cost in CostKind::ALL {
            for missing in [size, 4] {
                let mut tile = CostTile::default();
                let row = |i: usize| (i != missing).then(|| &x[i * dimension..][..dimension]);
                tile.compute(cost, dimension, (0..size).map(row), y.chunks_exact(dimension));
                let terms = tile.column_terms();
                for i in 0..size {
                    let c = |j: usize| row(i).map_or(0.0, |x| cost.between(x, &y[j * dimension..][..dimension]));
                    for j in 0..size {
                        let (got, expected) = (tile.at(i, j), (c(j) - terms[j]) - (c(i) - terms[i]));
                        assert!((got - expected).abs() < 1e-12, "{cost} ({i}, {j}): {got} against {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_restricted_tile_is_the_restricted_cost() {
        let mut rng = stream(4, &[]);
        let (size, dimension) = (8, 3);
        let mut points = || (0..size * dimension).map(|_| rng.random_range(-1.0..1.0_f32) + 3.0).collect::<Vec<f32>>();
        let (x, y) = (points(), points());
        for cost in CostKind::ALL {
            let row = |i: usize| (i != 2).then(|| &x[i * dimension..][..dimension]);
            let mut tile = CostTile::default();
            tile.compute(cost, dimension, (0..size).map(row), y.chunks_exact(dimension));
            let whole = |i: usize, j: usize| row(i).map(|x| cost.between(x, &y[j * dimension..][..dimension]));
            let cap = whole(0, 1).unwrap();
            let restricted = |i: usize, j: usize, cost: f64| if (i, j) == (3, 3) { 100.0 } else { cost.min(cap) };
            tile.restrict(|i| whole(i, i), restricted);
            for i in 0..size {
                let c = |j: usize| whole(i, j).map_or(0.0, |cost| restricted(i, j, cost));
                for j in 0..size {
                    let (got, expected) = (tile.at(i, j), c(j) - c(i));
                    assert!((got - expected).abs() < 1e-12, "{cost} ({i}, {j}): {got} against {expected}");
                }
            }
            assert!(tile.column_terms().iter().all(|&term| term == 0.0) && tile.extent() > 1.0);
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
