//! Matrix products and rows in parallel.

use candle_core::Tensor;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
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
    let accum = if add { Accum::Add } else { Accum::Replace };
    // SAFETY: as this function's.
    let (out, a, b) = unsafe {
        (
            MatMut::from_raw_parts_mut(out, m, n, out_row as isize, 1),
            MatRef::from_raw_parts(a.start, m, k, a.row as isize, a.column as isize),
            MatRef::from_raw_parts(b.start, k, n, b.row as isize, b.column as isize),
        )
    };
    matmul(out, accum, a, b, scale, Par::Seq);
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

/// As [`rows`]; `each` gets the number of the block's first row, too.
pub(super) fn numbered_rows(x: &[f32], out: &mut [f32], width: usize, each: impl Fn(usize, &[f32], &mut [f32]) + Sync) {
    let block = ROWS * width;
    let blocks = out.par_chunks_mut(block).zip(x.par_chunks(block)).enumerate();
    blocks.for_each(|(place, (out, x))| each(place * ROWS, x, out));
}

/// A part of a batch has at least so many rows, as long as there is more than one part: enough for products to run at full
/// speed.
const ROWS_OF_PART: usize = 96;

/// Takes a batch through a model in parts, side by side: each part's values stay in the cache of the core that works on it.
///
/// `rows` is what an item adds to the model's matrices. The parts depend on the batch alone, and so do the results; there
/// are a power of two of them, since that is what cores mostly are.
pub(in crate::encoder) fn in_parts<T: Sync, E: From<candle_core::Error> + Send>(
    batch: &[T],
    rows: impl Fn(&T) -> usize,
    encode: impl Fn(&[T]) -> Result<Tensor, E> + Sync,
) -> Result<Tensor, E> {
    let all: usize = batch.iter().map(&rows).sum();
    let most = (all / ROWS_OF_PART).clamp(1, batch.len().max(1));
    let count = 1 << most.ilog2();
    if count == 1 {
        return encode(batch);
    }
    let (mut parts, mut start, mut sum) = (Vec::with_capacity(count), 0, 0);
    for (place, item) in batch.iter().enumerate() {
        sum += rows(item);
        if sum * count >= (parts.len() + 1) * all {
            parts.push(&batch[start..=place]);
            start = place + 1;
        }
    }
    let encoded: Vec<Tensor> = parts.into_par_iter().map(&encode).collect::<Result<_, _>>()?;
    Ok(Tensor::cat(&encoded, 0)?)
}
