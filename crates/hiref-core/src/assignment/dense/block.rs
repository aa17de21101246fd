//! The exact pairing of one block of points.

use super::{AssignmentSolver, CostMatrix, Scalar};
use crate::cost::{CostKind, CostTile};

/// Pairs small blocks of points exactly, one after the other, reusing its memory.
///
/// *Complexity*: O(s² d) for the costs of s points of the larger side and O(s³) in the worst case for the assignment; O(s²) memory.
/// *Determinism*: ties go to the lowest index; one thread.
///
/// ```
/// use hiref_core::CostKind;
/// use hiref_core::assignment::BlockAssignment;
/// let (x, y) = ([2.0_f32, 0.0], [0.25_f32, 9.0, 2.25]);
/// assert_eq!(BlockAssignment::default().columns(CostKind::Euclidean, 1, &x, &y), [2, 0]);
/// ```
#[derive(Debug, Default)]
pub struct BlockAssignment {
    tile: CostTile,
    single: (CostMatrix<f32>, AssignmentSolver<f32>),
    double: (CostMatrix<f64>, AssignmentSolver<f64>),
}

impl BlockAssignment {
    /// The y partner of each x point at the least total cost, `(n,)`, for `x (n, d)` and `y (m, d)`, row-major, n <= m.
    ///
    /// # Panics
    /// With more x than y points.
    pub fn columns(&mut self, cost: CostKind, dimension: usize, x: &[f32], y: &[f32]) -> Vec<u32> {
        self.columns_until(cost, dimension, (x, y), &|| false).unwrap_or_default()
    }

    /// The same; `None` once `stop` says so.
    ///
    /// # Panics
    /// As [`Self::columns`].
    pub fn columns_until(
        &mut self,
        cost: CostKind,
        dimension: usize,
        (x, y): (&[f32], &[f32]),
        stop: &dyn Fn() -> bool,
    ) -> Option<Vec<u32>> {
        let (n, m) = (x.len() / dimension, y.len() / dimension);
        assert!(n <= m, "the x side is the smaller one");
        // Stand-ins for "no partner" make the block square.
        let x_rows = x.chunks_exact(dimension).map(Some).chain(std::iter::repeat_n(None, m - n));
        self.tile.compute(cost, dimension, x_rows, y.chunks_exact(dimension));
        let mut columns = if self.tile.fits_f32() {
            columns(&self.tile, &mut self.single, stop)?
        } else {
            columns(&self.tile, &mut self.double, stop)?
        };
        columns.truncate(n);
        Some(columns)
    }
}

/// The optimal column of each row of the tile; `None` once `stop` says so.
fn columns<T: Scalar>(
    tile: &CostTile,
    (matrix, solver): &mut (CostMatrix<T>, AssignmentSolver<T>),
    stop: &dyn Fn() -> bool,
) -> Option<Vec<u32>> {
    matrix.fill_from(tile);
    Some(solver.solve_until(matrix, stop)?.column_of_row.to_vec())
}
