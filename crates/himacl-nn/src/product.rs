//! Matrix products in blocks of rows, a block to a thread.

use super::values;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, bail};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// Rows of a task: enough that packing the right matrix anew for each costs little. Threads that share a product wait for
/// one another at every panel; these do not.
const ROWS: usize = 256;

/// `out (m, n) = a (m, k) b (k, n)`, plus what `out` holds already if `add`.
pub(super) fn product(out: &mut [f32], a: MatRef<'_, f32>, b: MatRef<'_, f32>, add: bool) {
    let (m, n) = (a.nrows(), b.ncols());
    assert!(out.len() == m * n && a.ncols() == b.nrows(), "shapes agree");
    if out.is_empty() {
        return;
    }
    let accum = if add { Accum::Add } else { Accum::Replace };
    out.par_chunks_mut(ROWS * n).enumerate().for_each(|(block, out)| {
        let rows = out.len() / n;
        let out = MatMut::from_row_major_slice_mut(out, rows, n);
        matmul(out, accum, a.subrows(block * ROWS, rows), b, 1.0, Par::Seq);
    });
}

/// A product as an operation without a backward pass, for backward passes.
pub(super) enum Product {
    /// `a bᵀ`, `(m, n)` for `a (m, k)` and `b (n, k)`.
    WithTransposed,
    /// `aᵀ b`, `(m, n)` for `a (k, m)` and `b (k, n)`.
    OfTransposed,
}

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((rows, columns), (other_rows, other_columns)) = (l1.shape().dims2()?, l2.shape().dims2()?);
        let a = MatRef::from_row_major_slice(values(s1, l1)?, rows, columns);
        let b = MatRef::from_row_major_slice(values(s2, l2)?, other_rows, other_columns);
        let (a, b) = match self {
            Self::WithTransposed => (a, b.transpose()),
            Self::OfTransposed => (a.transpose(), b),
        };
        if a.ncols() != b.nrows() {
            bail!("a product of {} columns with {} rows", a.ncols(), b.nrows());
        }
        let mut out = vec![0.0; a.nrows() * b.ncols()];
        product(&mut out, a, b, false);
        Ok((CpuStorage::F32(out), (a.nrows(), b.ncols()).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, worst};
    use super::*;

    #[test]
    fn as_candle_has_them() {
        let (a, b, c) = (normal((600, 37), 1), normal((53, 37), 2), normal((600, 53), 3));
        let with = a.apply_op2_no_bwd(&b, &Product::WithTransposed).unwrap();
        assert!(worst(&with, &a.matmul(&b.t().unwrap()).unwrap()) < 1e-5);
        let of = a.apply_op2_no_bwd(&c, &Product::OfTransposed).unwrap();
        assert!(worst(&of, &a.t().unwrap().matmul(&c).unwrap()) < 1e-4);
        assert!(a.apply_op2_no_bwd(&c, &Product::WithTransposed).is_err());
    }
}
