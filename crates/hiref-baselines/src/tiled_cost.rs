//! The cost between two supports, tile by tile.

use crate::iterations::Stop;
use hiref_core::points::Rows;
use hiref_core::{CostKind, Problem};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Rows of a tile.
pub(crate) const TILE_ROWS: usize = 64;
/// Columns of a tile.
pub(crate) const TILE_COLUMNS: usize = 256;

/// The cost `c(x_i, y_j)` in f64, computed tile by tile and stored only where [`TiledCost::store`] was called.
///
/// The tiles are those of a fixed grid, whether they are stored or computed again for each pass, so that both give the
/// same bits. *Shapes*: `x (n, d)`, `y (m, d)`. *Complexity*: O(n m d) time for a pass, O((n + m) d) memory; O(n m) when stored.
#[derive(Debug, Clone)]
pub(crate) struct TiledCost {
    cost: CostKind,
    dimension: usize,
    x: Vec<f64>,
    y: Vec<f64>,
    x_norms: Vec<f64>,
    y_norms: Vec<f64>,
    /// What was subtracted from both sides, for the costs that depend on x - y alone.
    origin: Vec<f64>,
    stored: Option<Arc<Vec<f64>>>,
}

impl TiledCost {
    /// The cost of a problem.
    pub(crate) fn of_problem(problem: &Problem<'_>) -> Self {
        let (x, y) = (problem.x().rows(), problem.y().rows());
        let widen = |rows: Rows<'_>| rows.all().par_iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        Self::new(problem.cost(), problem.x().dimension(), widen(x.view()), widen(y.view()))
    }

    /// The cost between `x`, `(n, d)`, and `y`, `(m, d)`, row-major.
    pub(crate) fn new(cost: CostKind, dimension: usize, mut x: Vec<f64>, mut y: Vec<f64>) -> Self {
        let mut origin = vec![0.0; dimension];
        match cost {
            CostKind::SquaredEuclidean | CostKind::Euclidean => {
                for row in y.chunks_exact(dimension) {
                    origin.iter_mut().zip(row).for_each(|(mean, v)| *mean += v);
                }
                let count = (y.len() / dimension) as f64;
                origin.iter_mut().for_each(|mean| *mean /= count);
                let shift = |rows: &mut Vec<f64>| {
                    rows.par_chunks_exact_mut(dimension)
                        .for_each(|row| row.iter_mut().zip(&origin).for_each(|(v, mean)| *v -= mean));
                };
                shift(&mut x);
                shift(&mut y);
            }
            CostKind::Cosine => {
                let normalize = |rows: &mut Vec<f64>| {
                    rows.par_chunks_exact_mut(dimension).for_each(|row| {
                        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
                        row.iter_mut().for_each(|v| *v /= norm);
                    });
                };
                normalize(&mut x);
                normalize(&mut y);
            }
            CostKind::NegativeInnerProduct => {}
        }
        let norms =
            |rows: &[f64]| rows.par_chunks_exact(dimension).map(|row| row.iter().map(|v| v * v).sum()).collect();
        let (x_norms, y_norms) = (norms(&x), norms(&y));
        Self { cost, dimension, x, y, x_norms, y_norms, origin, stored: None }
    }

    /// Number of x points, n.
    pub(crate) fn num_x(&self) -> usize {
        self.x_norms.len()
    }

    /// Number of y points, m.
    pub(crate) fn num_y(&self) -> usize {
        self.y_norms.len()
    }

    /// Number of coordinates, d.
    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// The same cost seen from the other side; not stored.
    pub(crate) fn turned(&self) -> Self {
        let Self { cost, dimension, x, y, x_norms, y_norms, origin, .. } = self.clone();
        Self { cost, dimension, x: y, y: x, x_norms: y_norms, y_norms: x_norms, origin, stored: None }
    }

    /// The cost between some of the points; not stored.
    pub(crate) fn restricted(&self, rows: &[u32], columns: &[u32]) -> Self {
        let d = self.dimension;
        let points = |from: &[f64], indices: &[u32]| -> Vec<f64> {
            indices.iter().flat_map(|&i| from[i as usize * d..][..d].iter().copied()).collect()
        };
        let norms = |from: &[f64], indices: &[u32]| indices.iter().map(|&i| from[i as usize]).collect();
        Self {
            cost: self.cost,
            dimension: d,
            x: points(&self.x, rows),
            y: points(&self.y, columns),
            x_norms: norms(&self.x_norms, rows),
            y_norms: norms(&self.y_norms, columns),
            origin: self.origin.clone(),
            stored: None,
        }
    }

    /// The x points in the coordinates of the problem, `(n, d)`, row-major; of unit length under the cosine cost.
    pub(crate) fn source_points(&self) -> Vec<f64> {
        self.unshifted(&self.x)
    }

    /// As [`Self::source_points`], for y, `(m, d)`.
    pub(crate) fn target_points(&self) -> Vec<f64> {
        self.unshifted(&self.y)
    }

    fn unshifted(&self, points: &[f64]) -> Vec<f64> {
        let mut points = points.to_vec();
        points
            .par_chunks_exact_mut(self.dimension)
            .for_each(|row| row.iter_mut().zip(&self.origin).for_each(|(v, shift)| *v += shift));
        points
    }

    /// The cost from other points, `(k, d)` in the coordinates of the problem, to the same y; not stored.
    pub(crate) fn with_sources(&self, points: Vec<f64>) -> Self {
        Self::new(self.cost, self.dimension, points, self.target_points())
    }

    /// Keeps all tiles in memory, 8 n m bytes; `None` where it is stopped, and nothing is kept.
    pub(crate) fn store(&mut self, stop: Stop<'_>) -> Option<()> {
        let (n, m) = (self.num_x(), self.num_y());
        let mut values = vec![0.0; n * m];
        let this = &*self;
        values.par_chunks_mut(TILE_ROWS * m).enumerate().try_for_each(|(row_tile, stripe)| {
            let rows = this.row_range(row_tile);
            let mut rest = stripe;
            if stop() {
                return None;
            }
            for column_tile in 0..this.column_tiles() {
                let columns = this.column_range(column_tile);
                let (tile, following) = rest.split_at_mut(rows.len() * columns.len());
                this.compute(rows.clone(), columns, tile);
                rest = following;
            }
            Some(())
        })?;
        self.stored = Some(Arc::new(values));
        Some(())
    }

    /// Frees the stored tiles.
    pub(crate) fn forget(&mut self) {
        self.stored = None;
    }

    /// Number of tiles along the columns.
    pub(crate) fn column_tiles(&self) -> usize {
        self.num_y().div_ceil(TILE_COLUMNS)
    }

    /// Number of tiles along the rows.
    pub(crate) fn row_tiles(&self) -> usize {
        self.num_x().div_ceil(TILE_ROWS)
    }

    /// The rows of a tile.
    pub(crate) fn row_range(&self, row_tile: usize) -> Range<usize> {
        let start = row_tile * TILE_ROWS;
        start..(start + TILE_ROWS).min(self.num_x())
    }

    /// The columns of a tile.
    pub(crate) fn column_range(&self, column_tile: usize) -> Range<usize> {
        let start = column_tile * TILE_COLUMNS;
        start..(start + TILE_COLUMNS).min(self.num_y())
    }

    /// One tile, `(rows, columns)`, row-major; `workspace` holds it where it is not stored.
    pub(crate) fn tile<'a>(&'a self, row_tile: usize, column_tile: usize, workspace: &'a mut Vec<f64>) -> &'a [f64] {
        let (rows, columns) = (self.row_range(row_tile), self.column_range(column_tile));
        let len = rows.len() * columns.len();
        if let Some(stored) = &self.stored {
            return &stored[rows.start * self.num_y() + rows.len() * columns.start..][..len];
        }
        workspace.resize(TILE_ROWS * TILE_COLUMNS, 0.0);
        self.compute(rows, columns, &mut workspace[..len]);
        &workspace[..len]
    }

    fn compute(&self, rows: Range<usize>, columns: Range<usize>, out: &mut [f64]) {
        let d = self.dimension;
        let (x, y) = (&self.x[rows.start * d..rows.end * d], &self.y[columns.start * d..columns.end * d]);
        multiply(x, (d as isize, 1), y, (1, d as isize), out, (rows.len(), d, columns.len()), false);
        let y_norms = &self.y_norms[columns.clone()];
        for (row, &x_norm) in out.chunks_exact_mut(columns.len()).zip(&self.x_norms[rows]) {
            match self.cost {
                CostKind::SquaredEuclidean => {
                    row.iter_mut().zip(y_norms).for_each(|(c, y)| *c = (x_norm + y - 2.0 * *c).max(0.0));
                }
                CostKind::Euclidean => {
                    row.iter_mut().zip(y_norms).for_each(|(c, y)| *c = (x_norm + y - 2.0 * *c).max(0.0).sqrt());
                }
                CostKind::Cosine => row.iter_mut().for_each(|c| *c = 1.0 - *c),
                CostKind::NegativeInnerProduct => row.iter_mut().for_each(|c| *c = -*c),
            }
        }
    }
}

/// `out = left right`, or `out += left right`, for matrices given with their (row, column) strides; `out` is row-major.
///
/// `shape` is (rows, inner, columns). Runs on one thread.
pub(crate) fn multiply(
    left: &[f64],
    left_strides: (isize, isize),
    right: &[f64],
    right_strides: (isize, isize),
    out: &mut [f64],
    (rows, inner, columns): (usize, usize, usize),
    accumulate: bool,
) {
    // Whether every entry of a matrix, whose first stride is from row to row, lies within `length` numbers.
    let holds = |length: usize, (down, across): (isize, isize), height: usize, width: usize| {
        let last = |steps: usize, stride: isize| steps.checked_sub(1)?.checked_mul(usize::try_from(stride).ok()?);
        height == 0
            || width == 0
            || last(height, down).zip(last(width, across)).is_some_and(|(a, b)| a.saturating_add(b) < length)
    };
    assert!(
        holds(left.len(), left_strides, rows, inner)
            && holds(right.len(), right_strides, inner, columns)
            && out.len() >= rows * columns,
        "matrix sizes"
    );
    // SAFETY: the strides lead to no entry outside of the buffers (asserted above), and the output, borrowed mutably, does
    // not overlap the inputs.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            columns as isize,
            accumulate,
            left.as_ptr(),
            left_strides.1,
            left_strides.0,
            right.as_ptr(),
            right_strides.1,
            right_strides.0,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iterations::never;
    use candle_core::{Device, Tensor};
    use hiref_core::rng::stream;
    use rand::Rng;

    #[test]
    fn tiles_hold_the_cost_whether_stored_or_not() {
        let (n, m, d) = (150, 300, 3);
        let mut rng = stream(4, &[]);
        let mut points = |rows: usize| (0..rows * d).map(|_| rng.random_range(-1.0..2.0_f32)).collect::<Vec<f32>>();
        let (x, y) = (points(n), points(m));
        let tensor = |rows: &[f32]| Tensor::from_slice(rows, (rows.len() / d, d), &Device::Cpu).unwrap();
        for kind in CostKind::ALL {
            let problem = Problem::new(tensor(&x), tensor(&y), kind).unwrap();
            let computed = TiledCost::of_problem(&problem);
            let mut stored = computed.clone();
            stored.store(&never).unwrap();
            let again = computed.turned().turned();
            let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
            for row_tile in 0..computed.row_tiles() {
                for column_tile in 0..computed.column_tiles() {
                    let tile = computed.tile(row_tile, column_tile, &mut a);
                    assert_eq!(tile, stored.tile(row_tile, column_tile, &mut b));
                    assert_eq!(tile, again.tile(row_tile, column_tile, &mut c));
                    let columns = computed.column_range(column_tile);
                    for (i, row) in computed.row_range(row_tile).zip(tile.chunks_exact(columns.len())) {
                        for (j, &got) in columns.clone().zip(row) {
                            let expected = kind.between(&x[i * d..][..d], &y[j * d..][..d]);
                            assert!((got - expected).abs() < 1e-6, "{kind} ({i}, {j}): {got} against {expected}");
                        }
                    }
                }
            }
        }
    }
}
