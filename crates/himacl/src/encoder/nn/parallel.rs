//! Matrix products and rows in parallel.

use gemm::Parallelism;
use rayon::prelude::*;

/// Rows of a task. Fixed, so that results do not depend on the number of threads; large, because each product packs the
/// right matrix anew.
const ROWS: usize = 384;

/// A matrix of `f32` in memory: where it begins, and the steps from row to row and from column to column.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub(super) start: *const f32,
    pub(super) row: usize,
    pub(super) column: usize,
}

/// `out (m, n) = scale a (m, k) b (k, n)`, plus what `out` holds already if `add`.
///
/// # Safety
/// The views and `out`, whose rows are `out_row` apart, are within their memory for these sizes, and nothing else uses
/// `out`.
pub(super) unsafe fn product(
    (m, n, k): (usize, usize, usize),
    (out, out_row): (*mut f32, usize),
    a: View,
    b: View,
    scale: f32,
    add: bool,
) {
    // SAFETY: as this function's.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            out_row as isize,
            add,
            a.start,
            a.column as isize,
            a.row as isize,
            b.start,
            b.column as isize,
            b.row as isize,
            1.0,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `out (rows, outputs) = x (rows, inputs) w (inputs, outputs) + start`, then `finish` on each block of rows while it is
/// in the cache. `prepare` writes what a block starts from; it gets the block's first row.
pub(super) fn rows_times(
    x: &[f32],
    w: &[f32],
    (inputs, outputs): (usize, usize),
    out: &mut [f32],
    prepare: impl Fn(usize, &mut [f32]) + Sync,
    finish: impl Fn(&mut [f32]) + Sync,
) {
    let blocks = out.par_chunks_mut(ROWS * outputs).zip(x.par_chunks(ROWS * inputs)).enumerate();
    blocks.for_each(|(block, (out, x))| {
        prepare(block * ROWS, out);
        block_times(x, w, (inputs, outputs), out);
        finish(out);
    });
}

/// `out (rows, outputs) += x (rows, inputs) w (inputs, outputs)` on one thread.
pub(super) fn block_times(x: &[f32], w: &[f32], (inputs, outputs): (usize, usize), out: &mut [f32]) {
    let rows = out.len() / outputs;
    assert!(x.len() == rows * inputs && w.len() == inputs * outputs && out.len() == rows * outputs, "shapes agree");
    let (a, b) =
        (View { start: x.as_ptr(), row: inputs, column: 1 }, View { start: w.as_ptr(), row: outputs, column: 1 });
    // SAFETY: the lengths were checked above; `out` is borrowed mutably.
    unsafe { product((rows, outputs, inputs), (out.as_mut_ptr(), outputs), a, b, 1.0, true) }
}

/// Calls `each` on blocks of rows of `out` and the same rows of `x`, in parallel.
pub(super) fn rows(x: &[f32], out: &mut [f32], width: usize, each: impl Fn(&[f32], &mut [f32]) + Sync) {
    let block = ROWS * width;
    out.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(out, x)| each(x, out));
}
