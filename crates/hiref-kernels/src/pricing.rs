//! Least reduced costs, tile by tile.

use crate::costs::Cost;
use crate::error::Error;
use crate::gather::DeviceRows;
use crate::queue::{Buffer, Kernel, Launch, Queue, View, kernel, launch};

const fn of_file(name: &'static str) -> Kernel {
    kernel("least_reduced_costs", name)
}

/// A tile of products and what turns them into reduced costs.
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// The cost.
    pub cost: Cost,
    /// `(rows, columns)`: inner products of the prepared x and y rows.
    pub products: View<'a, f32>,
    /// `(rows,)`: squared norms of x.
    pub x_squares: View<'a, f64>,
    /// `(rows,)`: by how much the squares of distances may be rounded up; for the Euclidean cost.
    pub x_slack: View<'a, f64>,
    /// `(columns,)`: squared norms of y.
    pub y_squares: View<'a, f64>,
    /// `(columns,)`: prices.
    pub prices: View<'a, f32>,
    /// The first column's index among all y.
    pub first_column: usize,
    /// Values kept for each row, at most 32.
    pub width: usize,
}

/// Updates the least `c_ij - g_j` of each row, `values` and `indices` `(rows, width)` sorted by rising value, by one tile. Before the first tile
/// they are infinite and [`crate::NONE`]. O(rows · columns).
///
/// # Errors
/// A failed launch.
///
/// # Panics
/// Buffers that do not fit the tile, a width above 32.
pub fn scan_tile(
    queue: &Queue,
    scan: &Scan<'_>,
    values: &mut Buffer<f32>,
    indices: &mut Buffer<u32>,
) -> Result<(), Error> {
    let (rows, columns) = (scan.x_squares.len(), scan.y_squares.len());
    assert!((1..=32).contains(&scan.width), "a list of {} in a warp of 32", scan.width);
    assert!(scan.products.len() >= rows * columns && scan.prices.len() >= columns, "a tile of products");
    assert!(scan.x_slack.len() >= rows, "slack of each row");
    assert!(values.len() >= rows * scan.width && indices.len() >= rows * scan.width, "lists of rows");
    // SAFETY: lengths asserted above.
    unsafe {
        launch!(
            queue,
            of_file("scan_tile"),
            Launch::warps(rows as u64),
            scan.cost as u32,
            scan.products,
            rows as u32,
            columns as u32,
            columns as u32,
            scan.x_squares,
            scan.x_slack,
            scan.y_squares,
            scan.prices,
            scan.first_column as u32,
            scan.width as u32,
            values,
            indices
        )
    }
}

/// A search of a range of y points by some x points.
#[derive(Debug, Clone, Copy)]
pub struct ExactSearch<'a> {
    /// The cost.
    pub cost: Cost,
    /// All x points, as they are: scales are not applied.
    pub x: DeviceRows<'a>,
    /// The range of y points, likewise.
    pub y: DeviceRows<'a>,
    /// The index of its first among all y.
    pub first_column: usize,
    /// Their prices, one for each.
    pub prices: View<'a, f64>,
    /// Which x points search; those that do not exist find nothing.
    pub rows: View<'a, u32>,
}

/// `min_j (c_ij - g_j)` over a range of y points in f64, for the x points listed; updates `least` and `columns`, one entry each.
/// Before the first range they are infinite and [`crate::NONE`]. O(rows · y · d).
///
/// # Errors
/// A failed launch.
///
/// # Panics
/// Buffers that are too small, sides of different dimension.
pub fn exact_least(
    queue: &Queue,
    search: &ExactSearch<'_>,
    least: &mut Buffer<f64>,
    columns: &mut Buffer<u32>,
) -> Result<(), Error> {
    let ExactSearch { cost, x, y, first_column, prices, rows } = *search;
    assert!(prices.len() >= y.len() && x.dimension == y.dimension, "points to search");
    assert!(least.len() >= rows.len() && columns.len() >= rows.len(), "rows that search");
    // SAFETY: lengths asserted above; the kernel reads no x past the last.
    unsafe {
        launch!(
            queue,
            of_file("exact_least"),
            Launch { grid: [rows.len() as u32, 1, 1], threads: 256, shared_bytes: 8 * (8 + 4) },
            cost as u32,
            x.values,
            x.len() as u32,
            y.values,
            x.dimension as u32,
            y.len() as u32,
            first_column as u32,
            prices,
            rows,
            least,
            columns
        )
    }
}

/// The parts of both sides that a tile reaches into.
#[derive(Debug, Clone, Copy)]
pub struct PartScan<'a> {
    /// `(rows,)`: what is taken from each row's values.
    pub own: View<'a, f64>,
    /// `(rows,)`: the part of each row; rows of a part that does not exist are left out.
    pub row_parts: View<'a, u32>,
    /// `(parts + 1,)`: where the columns of each part begin, and the end.
    pub offsets: View<'a, u32>,
    /// The first part that the tile's columns reach into, and how many.
    pub reached: (usize, usize),
}

/// Updates `slack`, `(parts, parts)`, with the least `c_ij - g_j - own_i` between parts, by one tile; entries start as [`crate::NONE`] and are read by
/// [`slack_of_bits`]. The slack and width of `scan` are not used. O(rows · columns).
///
/// # Errors
/// A failed launch.
///
/// # Panics
/// Buffers that do not fit the tile.
pub fn scan_parts(queue: &Queue, scan: &Scan<'_>, parts: &PartScan<'_>, slack: &mut Buffer<u32>) -> Result<(), Error> {
    let (rows, columns) = (scan.x_squares.len(), scan.y_squares.len());
    let (first, count) = parts.reached;
    let total = parts.offsets.len().saturating_sub(1);
    assert!(scan.products.len() >= rows * columns && scan.prices.len() >= columns, "a tile of products");
    assert!(parts.own.len() >= rows && parts.row_parts.len() >= rows, "parts of rows");
    assert!(count <= total && first <= total - count && slack.len() >= total * total, "parts of columns");
    // SAFETY: lengths asserted above; the kernel keeps to the tile's columns whatever the offsets, and leaves out rows of no part.
    unsafe {
        launch!(
            queue,
            of_file("scan_parts"),
            Launch::warps((rows * count) as u64),
            scan.cost as u32,
            scan.products,
            rows as u32,
            columns as u32,
            scan.x_squares,
            scan.y_squares,
            scan.prices,
            parts.own,
            parts.row_parts,
            parts.offsets,
            scan.first_column as u32,
            first as u32,
            count as u32,
            total as u32,
            slack
        )
    }
}

/// A value of [`scan_parts`]; infinite where nothing was found.
pub fn slack_of_bits(bits: u32) -> f32 {
    match bits {
        crate::NONE => f32::INFINITY,
        bits if bits >> 31 == 1 => f32::from_bits(bits & 0x7fff_ffff),
        bits => f32::from_bits(!bits),
    }
}

/// Writes `(n, 3 d)` from `(n, d)`: leading digits twice and the rest, or (`right`) leading digits, the rest, leading digits, so that a product in
/// [`crate::Precision::TensorFloat`] of the one with the other is all but one of f32.
///
/// # Errors
/// A failed launch.
///
/// # Panics
/// A buffer that is too small.
pub fn split_digits(
    queue: &Queue,
    rows: View<'_, f32>,
    dimension: usize,
    right: bool,
    parts: &mut Buffer<f32>,
) -> Result<(), Error> {
    assert!(parts.len() >= 3 * rows.len(), "three parts for each row");
    let launch = Launch { grid: [(rows.len() as u64).div_ceil(1024) as u32, 1, 1], threads: 256, shared_bytes: 0 };
    // SAFETY: length asserted above.
    unsafe {
        launch!(
            queue,
            of_file("split_digits"),
            launch,
            rows,
            (rows.len() / dimension) as u64,
            dimension as u32,
            u32::from(right),
            parts
        )
    }
}

#[cfg(all(test, feature = "emulation"))]
mod tests {
    use super::*;
    use crate::{Precision, Product, Schedule};

    #[test]
    fn split_digits_make_tensor_cores_as_exact_as_single_precision() {
        let queue = Queue::emulated(Schedule::Rising);
        let (rows, d) = (6, 40);
        let values =
            |step: usize| -> Vec<f32> { (0..rows * d).map(|e| ((e * step) % 101) as f32 / 37.0 - 1.3).collect() };
        let (x, y) = (values(17), values(29));
        let (on_x, on_y) = (queue.upload(&x).unwrap(), queue.upload(&y).unwrap());
        let product = |inner: usize, x: View<'_, f32>, y: View<'_, f32>| {
            let shape = Product { batch: 1, rows, columns: rows, inner, precision: Precision::TensorFloat };
            let mut out = queue.allocate(rows * rows).unwrap();
            queue.multiply(&shape, x, y, &mut out).unwrap();
            out.to_vec().unwrap()
        };
        let (mut left, mut right) = (queue.allocate(3 * rows * d).unwrap(), queue.allocate(3 * rows * d).unwrap());
        split_digits(&queue, on_x.view(), d, false, &mut left).unwrap();
        split_digits(&queue, on_y.view(), d, true, &mut right).unwrap();
        let exact = |i: usize, j: usize| -> f64 {
            x[i * d..][..d].iter().zip(&y[j * d..][..d]).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let error = |got: &[f32]| {
            (0..rows * rows).map(|e| (f64::from(got[e]) - exact(e / rows, e % rows)).abs()).fold(0.0, f64::max)
        };
        let (plain, split) = (product(d, on_x.view(), on_y.view()), product(3 * d, left.view(), right.view()));
        assert!(error(&plain) > 1e-3, "the emulated tensor cores round: {}", error(&plain));
        assert!(error(&split) < 4e-5, "{}", error(&split));
    }

    #[test]
    fn slack_comes_back_from_its_bits() {
        for value in [-3.5_f32, -0.0, 0.0, 1e-30, 7.25] {
            let bits = value.to_bits();
            let ordered = if bits >> 31 == 1 { !bits } else { bits | 0x8000_0000 };
            assert_eq!(slack_of_bits(ordered).to_bits(), bits);
        }
        assert_eq!(slack_of_bits(crate::NONE), f32::INFINITY);
    }
}
