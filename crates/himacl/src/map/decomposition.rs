//! Dense factorisations in f64, on one thread each, so that results do not depend on the number of threads.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::{self, factor::LltRegularization};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::reborrow::Reborrow;
use faer::{Mat, Par, Spec};

/// A factorisation that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} of a {rows} x {columns} matrix failed: the matrix is not finite, or not positive definite")]
pub struct DecompositionError {
    /// The factorisation.
    pub what: &'static str,
    /// Rows of the matrix.
    pub rows: usize,
    /// Columns of the matrix.
    pub columns: usize,
}

/// Solves `gram W = right` for a symmetric positive definite `gram`, `(k, k)`, of which the lower half is read;
/// `right (k, e)`. O(k³ + k² e).
pub(crate) fn solve_positive_definite(mut gram: Mat<f64>, mut right: Mat<f64>) -> Result<Mat<f64>, DecompositionError> {
    let size = gram.nrows();
    let scratch = llt::factor::cholesky_in_place_scratch::<f64>(size, Par::Seq, Spec::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    let failed = DecompositionError { what: "Cholesky factorisation", rows: size, columns: size };
    llt::factor::cholesky_in_place(gram.as_mut(), LltRegularization::default(), Par::Seq, stack, Spec::default())
        .map_err(|_| failed)?;
    llt::solve::solve_in_place(gram.as_ref(), right.as_mut(), Par::Seq, MemStack::new(&mut []));
    if right.col_iter().flat_map(faer::ColRef::iter).all(|value| value.is_finite()) { Ok(right) } else { Err(failed) }
}

/// Eigenvalues, falling, `(k,)`, and eigenvectors as columns, `(k, k)`, of a symmetric matrix; O(k³).
///
/// The sign of each vector makes its largest entry positive.
pub(crate) fn symmetric_eigen(matrix: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>), DecompositionError> {
    let size = matrix.nrows();
    let (compute, params) = (ComputeEigenvectors::Yes, Spec::default());
    let mut memory = MemBuffer::new(self_adjoint_evd_scratch::<f64>(size, compute, Par::Seq, params));
    let mut values = Diag::<f64>::zeros(size);
    let mut vectors = Mat::<f64>::zeros(size, size);
    let failed = DecompositionError { what: "eigenvalue decomposition", rows: size, columns: size };
    if !all_finite(matrix) {
        return Err(failed);
    }
    let stack = MemStack::new(&mut memory);
    self_adjoint_evd(matrix.as_ref(), values.as_mut(), Some(vectors.as_mut()), Par::Seq, stack, params)
        .map_err(|_| failed)?;
    let values: Vec<f64> = values.column_vector().iter().rev().copied().collect();
    let vectors = Mat::from_fn(size, size, |i, j| vectors[(i, size - 1 - j)]);
    Ok((values, with_positive_peaks(vectors)))
}

/// `U Vᵀ` for the thin singular value decomposition `U S Vᵀ` of `matrix`, `(d, e)`: the nearest matrix with
/// orthonormal columns or rows. O(d e min(d, e)).
pub(crate) fn orthogonal_factor(matrix: &Mat<f64>) -> Result<Mat<f64>, DecompositionError> {
    let (rows, columns) = matrix.shape();
    let size = rows.min(columns);
    let (thin, params) = (ComputeSvdVectors::Thin, Spec::default());
    let failed = DecompositionError { what: "singular value decomposition", rows, columns };
    if !all_finite(matrix) {
        return Err(failed);
    }
    let mut memory = MemBuffer::new(svd_scratch::<f64>(rows, columns, thin, thin, Par::Seq, params));
    let mut values = Diag::<f64>::zeros(size);
    let (mut left, mut right) = (Mat::<f64>::zeros(rows, size), Mat::<f64>::zeros(columns, size));
    let stack = MemStack::new(&mut memory);
    let (u, v) = (Some(left.as_mut()), Some(right.as_mut()));
    svd(matrix.as_ref(), values.as_mut(), u, v, Par::Seq, stack, params).map_err(|_| failed)?;
    Ok(product(&left, &right.transpose().to_owned()))
}

/// `a b`, on one thread.
pub(crate) fn product(a: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
    let mut answer = Mat::zeros(a.nrows(), b.ncols());
    faer::linalg::matmul::matmul(answer.as_mut(), faer::Accum::Replace, a.as_ref(), b.as_ref(), 1.0, Par::Seq);
    answer
}

fn all_finite(matrix: &Mat<f64>) -> bool {
    matrix.col_iter().flat_map(faer::ColRef::iter).all(|value| value.is_finite())
}

/// Flips columns so that the entry of largest size is positive.
fn with_positive_peaks(mut vectors: Mat<f64>) -> Mat<f64> {
    for column in vectors.col_iter_mut() {
        let peak =
            column.rb().iter().copied().fold(0.0f64, |peak, value| if value.abs() > peak.abs() { value } else { peak });
        if peak < 0.0 {
            column.iter_mut().for_each(|value| *value = -*value);
        }
    }
    vectors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_system_is_solved() {
        let gram = Mat::from_fn(2, 2, |i, j| if i == j { 2.0 } else { 1.0 });
        let answer = solve_positive_definite(gram, Mat::from_fn(2, 1, |i, _| [3.0, 0.0][i])).unwrap();
        assert!((answer[(0, 0)] - 2.0).abs() < 1e-14 && (answer[(1, 0)] + 1.0).abs() < 1e-14);
        let singular = Mat::from_fn(2, 2, |_, _| f64::NAN);
        assert!(solve_positive_definite(singular, Mat::zeros(2, 1)).is_err());
    }

    #[test]
    fn eigenvalues_fall_and_vectors_point_to_their_peak() {
        let matrix = Mat::from_fn(2, 2, |i, j| if i == j { 2.0 } else { -1.0 });
        let (values, vectors) = symmetric_eigen(&matrix).unwrap();
        assert!((values[0] - 3.0).abs() < 1e-14 && (values[1] - 1.0).abs() < 1e-14);
        assert!((vectors[(0, 1)] - vectors[(1, 1)]).abs() < 1e-14 && vectors[(0, 1)] > 0.0);
    }

    #[test]
    fn the_orthogonal_factor_of_a_scaled_rotation_is_the_rotation() {
        let (sine, cosine) = 0.3f64.sin_cos();
        let rotation = Mat::from_fn(2, 2, |i, j| [[cosine, sine], [-sine, cosine]][i][j]);
        let factor = orthogonal_factor(&Mat::from_fn(2, 2, |i, j| 5.0 * rotation[(i, j)])).unwrap();
        assert!((0..4).all(|at| (factor[(at / 2, at % 2)] - rotation[(at / 2, at % 2)]).abs() < 1e-14));
    }
}
