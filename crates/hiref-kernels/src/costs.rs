//! Costs inside blocks of pairs.

use crate::error::Error;
use crate::gather::{Blocks, DeviceRows};
use crate::queue::{Buffer, Kernel, Launch, Queue, View, kernel, launch};

/// What a pair costs, as the kernels number it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Cost {
    /// `|x - y|²`
    SquaredEuclidean = 0,
    /// `|x - y|`
    Euclidean = 1,
    /// `1 - <x, y> / (|x| |y|)`
    Cosine = 2,
    /// `-<x, y>`
    NegativeInnerProduct = 3,
}

const fn of_file(name: &'static str) -> Kernel {
    kernel("block_costs", name)
}

/// `out[b, i, j] = <x_i, y_j>`, or `|x_i - y_j|` if `distance`, for `x`, `y` `(B, stride, d)`. For few dimensions, and for distances, which
/// lose their digits in products; [`Queue::multiply`] does the others. O(B stride² d).
///
/// # Errors
/// A failed launch.
///
/// # Panics
/// Buffers that are too small; more than 65,535 blocks.
pub fn block_products(
    queue: &Queue,
    [x, y]: [View<'_, f32>; 2],
    (blocks, stride, dimension): (usize, usize, usize),
    distance: bool,
    out: &mut Buffer<f32>,
) -> Result<(), Error> {
    let len = blocks * stride * dimension;
    assert!(x.len() >= len && y.len() >= len && out.len() >= blocks * stride * stride, "blocks of products");
    let tiles = (stride as u32).div_ceil(32);
    let launch = Launch { grid: [tiles, tiles, blocks as u32], threads: 256, shared_bytes: 2 * 32 * 33 * 4 };
    // SAFETY: lengths asserted above.
    unsafe {
        launch!(
            queue,
            of_file("block_products"),
            launch,
            x,
            y,
            stride as u32,
            dimension as u32,
            u32::from(distance),
            out
        )
    }
}

/// What is taken from each column, `(B, stride)`, in f64: the cost between the block's `means` of x, `(B, d)`, and y, up to a constant; 0 where
/// there is no such y.
///
/// # Errors
/// No memory, or a failed launch.
///
/// # Panics
/// Buffers that are too small.
pub fn column_terms(
    queue: &Queue,
    cost: Cost,
    y: &DeviceRows<'_>,
    blocks: &Blocks<'_>,
    means: View<'_, f64>,
) -> Result<Buffer<f64>, Error> {
    y.check();
    blocks.check();
    assert!(means.len() >= blocks.len() * y.dimension, "means of blocks");
    let count = blocks.len() * blocks.stride;
    let mut terms = queue.allocate(count)?;
    // SAFETY: lengths asserted above; the kernel reads no y past the last.
    unsafe {
        launch!(
            queue,
            of_file("column_terms"),
            Launch::warps(count as u64),
            cost as u32,
            y.values,
            y.len() as u32,
            y.dimension as u32,
            y.scales,
            blocks.index,
            blocks.sizes,
            blocks.stride as u32,
            blocks.len() as u32,
            means,
            &mut terms
        )?;
    }
    Ok(terms)
}

/// The costs of blocks, ready for an assignment.
#[derive(Debug)]
pub struct BlockCosts {
    /// `(B, stride, stride)`: costs less the terms of their columns and less each row's diagonal.
    pub costs: Buffer<f32>,
    /// `(B, stride)`: the largest absolute value of each row.
    pub extents: Buffer<f32>,
    /// `(B, stride)`: the smallest off the diagonal.
    pub gaps: Buffer<f32>,
}

/// Turns products, `(B, stride, stride)`, into costs, in place. `x` are the blocks' indices of x, of which those from `num_x` on have no point.
///
/// # Errors
/// No memory, or a failed launch.
///
/// # Panics
/// Buffers that are too small.
pub fn finish_costs(
    queue: &Queue,
    cost: Cost,
    products: Buffer<f32>,
    terms: View<'_, f64>,
    x: &Blocks<'_>,
    num_x: usize,
) -> Result<BlockCosts, Error> {
    x.check();
    let count = x.len() * x.stride;
    assert!(products.len() >= count * x.stride && terms.len() >= count, "costs of blocks");
    let mut found = BlockCosts { costs: products, extents: queue.allocate(count)?, gaps: queue.allocate(count)? };
    // SAFETY: lengths asserted above.
    unsafe {
        launch!(
            queue,
            of_file("finish_costs"),
            Launch::warps(count as u64),
            cost as u32,
            &mut found.costs,
            terms,
            x.index,
            num_x as u32,
            x.sizes,
            x.stride as u32,
            x.len() as u32,
            &mut found.extents,
            &mut found.gaps
        )?;
    }
    Ok(found)
}

/// `c(x[rows[p]], y[columns[p]])` for each pair in f64, `(P,)`; 0 where there is no such x or y. Points as they are: scales are not applied. O(P d).
///
/// # Errors
/// No memory, or a failed launch.
///
/// # Panics
/// Rows and columns of different number, sides of different dimension.
pub fn pair_costs(
    queue: &Queue,
    cost: Cost,
    x: &DeviceRows<'_>,
    y: &DeviceRows<'_>,
    rows: View<'_, u32>,
    columns: View<'_, u32>,
) -> Result<Buffer<f64>, Error> {
    assert_eq!((rows.len(), x.dimension), (columns.len(), y.dimension), "pairs of points of one space");
    let mut costs = queue.allocate(rows.len())?;
    // SAFETY: as many pairs as costs; the kernel reads no point past the last of either side.
    unsafe {
        launch!(
            queue,
            of_file("pair_costs"),
            Launch::warps(rows.len() as u64),
            cost as u32,
            x.values,
            x.len() as u32,
            y.values,
            y.len() as u32,
            x.dimension as u32,
            rows,
            columns,
            rows.len() as u64,
            &mut costs
        )?;
    }
    Ok(costs)
}
