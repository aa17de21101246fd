//! Rows picked by index, centred blocks, scaled and shifted rows.

use crate::error::Error;
use crate::queue::{Buffer, Kernel, Launch, Queue, View, kernel, launch};

/// Rows of a chunk whose sum one thread block takes.
const CHUNK: u32 = 1024;
/// Blocks of one launch: the third coordinate of a grid ends at 65,535, and partial sums should not need more memory than points do.
const BLOCKS: usize = 1 << 13;

/// Points in a queue's memory.
#[derive(Debug, Clone, Copy)]
pub struct DeviceRows<'a> {
    /// `(n, d)`, row-major.
    pub values: View<'a, f32>,
    /// Columns, d.
    pub dimension: usize,
    /// A factor for each row, `(n,)`; none is 1.
    pub scales: Option<View<'a, f64>>,
}

impl DeviceRows<'_> {
    /// Number of rows, n.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn check(&self) {
        assert!(self.scales.is_none_or(|scales| scales.len() >= self.len()), "a scale for each row");
    }
}

/// Blocks of row indices, padded to one length: block b holds `index[b, ..sizes[b]]`. Indices past the points stand for "no point".
#[derive(Debug, Clone, Copy)]
pub struct Blocks<'a> {
    /// `(B, stride)`
    pub index: View<'a, u32>,
    /// `(B,)`; what is above the stride counts as the stride.
    pub sizes: View<'a, u32>,
    /// Padded length of a block.
    pub stride: usize,
}

impl Blocks<'_> {
    /// Number of blocks, B.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    pub(crate) fn check(&self) {
        assert!(self.index.len() >= self.len().saturating_mul(self.stride), "indices of blocks");
    }
}

const fn of_file(name: &'static str) -> Kernel {
    kernel("gather", name)
}

/// `out[r] = rows[index[r]]`, zero where there is no such row; scales are not applied. O(r d).
///
/// # Errors
/// A failed launch.
///
/// # Panics
/// A buffer that is too small.
pub fn gather_rows(
    queue: &Queue,
    rows: &DeviceRows<'_>,
    index: View<'_, u32>,
    out: &mut Buffer<f32>,
) -> Result<(), Error> {
    assert!(out.len() >= index.len() * rows.dimension, "gathered rows");
    let count = index.len() as u64;
    // SAFETY: `out` holds a row for each index, and the kernel reads rows below n only.
    unsafe {
        launch!(
            queue,
            of_file("gather_rows"),
            Launch::warps(count),
            rows.values,
            rows.len() as u32,
            rows.dimension as u32,
            index,
            index.len() as u32,
            out
        )
    }
}

/// `1 / |row|` in f64, `(n,)`.
///
/// # Errors
/// No memory, or a failed launch.
pub fn inverse_norms(queue: &Queue, values: View<'_, f32>, dimension: usize) -> Result<Buffer<f64>, Error> {
    let count = values.len() / dimension;
    let mut out = queue.allocate(count)?;
    // SAFETY: `values` are `count` whole rows, `out` has an entry for each.
    unsafe {
        launch!(
            queue,
            of_file("inverse_norms"),
            Launch::warps(count as u64),
            values,
            count as u32,
            dimension as u32,
            &mut out
        )?;
    }
    Ok(out)
}

/// `out = scale * row - centre` for all rows, `centre` `(d,)`, and the squared norms of the result in f64, `(n,)`.
///
/// # Errors
/// A failed launch.
///
/// # Panics
/// Buffers that are too small.
pub fn prepare_rows(
    queue: &Queue,
    rows: &DeviceRows<'_>,
    centre: View<'_, f64>,
    out: &mut Buffer<f32>,
    squares: &mut Buffer<f64>,
) -> Result<(), Error> {
    let count = rows.len();
    assert!(out.len() >= count * rows.dimension && squares.len() >= count, "prepared rows");
    rows.check();
    assert_eq!(centre.len(), rows.dimension, "centre of rows");
    // SAFETY: lengths asserted above.
    unsafe {
        launch!(
            queue,
            of_file("prepare_rows"),
            Launch::warps(count as u64),
            rows.values,
            count as u32,
            rows.dimension as u32,
            rows.scales,
            centre,
            out,
            squares
        )
    }
}

/// The mean (scaled) row of each block, `(B, d)`, in f64; absent rows count as zeros if `absent_count`, else not at all. O(B stride d).
///
/// # Errors
/// No memory, or a failed launch.
///
/// # Panics
/// Indices that are too few.
pub fn block_means(
    queue: &Queue,
    rows: &DeviceRows<'_>,
    blocks: &Blocks<'_>,
    absent_count: bool,
) -> Result<Buffer<f64>, Error> {
    rows.check();
    blocks.check();
    let d = rows.dimension as u32;
    let chunks = (blocks.stride as u32).div_ceil(CHUNK);
    let means = queue.allocate(blocks.len() * rows.dimension)?;
    let mut partial = queue.allocate::<f64>(blocks.len().min(BLOCKS) * chunks as usize * rows.dimension)?;
    for first in (0..blocks.len()).step_by(BLOCKS) {
        let last = (first + BLOCKS).min(blocks.len());
        let index = blocks.index.range(first * blocks.stride..last * blocks.stride);
        let sizes = blocks.sizes.range(first..last);
        let count = (last - first) as u32;
        let out = means.view().range(first * rows.dimension..last * rows.dimension);
        // SAFETY: the partial sums have room for all chunks of these blocks, the means for these blocks; indices past n are not read.
        unsafe {
            launch!(
                queue,
                of_file("partial_sums"),
                Launch { grid: [d.div_ceil(32), chunks, count], threads: 256, shared_bytes: 256 * 8 },
                rows.values,
                rows.len() as u32,
                d,
                rows.scales,
                index,
                sizes,
                blocks.stride as u32,
                CHUNK,
                &mut partial
            )?;
            launch!(
                queue,
                of_file("reduce_means"),
                Launch { grid: [d.div_ceil(128), count, 1], threads: 128, shared_bytes: 4 },
                partial.view(),
                chunks,
                d,
                rows.len() as u32,
                index,
                sizes,
                blocks.stride as u32,
                u32::from(absent_count),
                out
            )?;
        }
    }
    Ok(means)
}

/// The (scaled) rows of each block less `means`, `(B, d)`: `(B, stride, d)`. Absent rows are zero, shifted as well if `absent_count`; padding
/// is zero.
///
/// # Errors
/// A failed launch.
///
/// # Panics
/// Buffers that are too small.
pub fn gather_centred(
    queue: &Queue,
    rows: &DeviceRows<'_>,
    blocks: &Blocks<'_>,
    means: View<'_, f64>,
    absent_count: bool,
    out: &mut Buffer<f32>,
) -> Result<(), Error> {
    rows.check();
    blocks.check();
    let count = blocks.len() * blocks.stride;
    assert!(means.len() >= blocks.len() * rows.dimension && out.len() >= count * rows.dimension, "centred blocks");
    // SAFETY: lengths asserted above; indices past n are not read.
    unsafe {
        launch!(
            queue,
            of_file("gather_centred"),
            Launch::warps(count as u64),
            rows.values,
            rows.len() as u32,
            rows.dimension as u32,
            rows.scales,
            blocks.index,
            blocks.sizes,
            blocks.stride as u32,
            blocks.len() as u32,
            means,
            u32::from(absent_count),
            out
        )
    }
}

#[cfg(all(test, feature = "emulation"))]
mod tests {
    use super::*;
    use crate::{NONE, Schedule};

    #[test]
    fn rows_are_gathered_normalised_and_centred() {
        let queue = Queue::emulated(Schedule::Falling);
        let (n, d) = (5, 35);
        let values: Vec<f32> = (0..n * d).map(|e| ((e * 7) % 23) as f32 - 9.5).collect();
        let on = queue.upload(&values).unwrap();
        let norms = inverse_norms(&queue, on.view(), d).unwrap();
        let row = |i: usize| &values[i * d..][..d];
        let length = |i: usize| row(i).iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        for (i, inverse) in norms.to_vec().unwrap().into_iter().enumerate() {
            assert!((inverse * length(i) - 1.0).abs() < 1e-14);
        }
        let index = queue.upload(&[4_u32, 7, 0]).unwrap();
        let rows = DeviceRows { values: on.view(), dimension: d, scales: None };
        let mut out = queue.allocate(3 * d).unwrap();
        gather_rows(&queue, &rows, index.view(), &mut out).unwrap();
        assert_eq!(out.to_vec().unwrap(), [row(4), &vec![0.0; d], row(0)].concat());

        // Two blocks, the second of two rows of which one is absent.
        let index = [4_u32, 0, 2, 1, NONE, NONE];
        let (on_index, sizes) = (queue.upload(&index).unwrap(), queue.upload(&[3_u32, 2]).unwrap());
        let blocks = Blocks { index: on_index.view(), sizes: sizes.view(), stride: 3 };
        let unit = DeviceRows { scales: Some(norms.view()), ..rows };
        for absent_count in [false, true] {
            let means = block_means(&queue, &unit, &blocks, absent_count).unwrap();
            let mut out = queue.allocate(6 * d).unwrap();
            gather_centred(&queue, &unit, &blocks, means.view(), absent_count, &mut out).unwrap();
            let got = out.to_vec().unwrap();
            for k in 0..d {
                let value = |i: usize| f64::from(row(i)[k]) / length(i);
                let mean =
                    [(value(4) + value(0) + value(2)) / 3.0, if absent_count { value(1) / 2.0 } else { value(1) }];
                let absent = if absent_count { -mean[1] } else { 0.0 };
                let expected =
                    [value(4) - mean[0], value(0) - mean[0], value(2) - mean[0], value(1) - mean[1], absent, 0.0];
                for (r, expected) in expected.into_iter().enumerate() {
                    assert!((f64::from(got[r * d + k]) - expected).abs() < 1e-6, "row {r}, column {k}");
                }
            }
        }
    }
}
