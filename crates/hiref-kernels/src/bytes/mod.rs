//! Inner products of rows of bytes on the host: exact integers, many at once, whatever the processor.
//!
//! Points become bytes by [`Quantizer`], which says how far they are from what the bytes stand for; [`products`] multiplies them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
mod quantize;

pub use quantize::{QuantizedRow, Quantizer};

use std::ops::Range;

/// Columns that are multiplied at once.
const PANEL: usize = 16;
/// Bytes of a row or column that one instruction multiplies and adds.
const GROUP: usize = 4;
/// What is added to the bytes of rows.
const OFFSET: i8 = 64;

/// Rows of signed bytes, `(n, d)`: the left side of products.
#[derive(Debug, Default)]
pub struct ByteRows {
    /// `(n, groups · 4)`: each byte plus [`OFFSET`], since the instructions multiply unsigned bytes by signed ones.
    values: Vec<u8>,
    groups: usize,
}

/// Columns of signed bytes, `(m, d)`: the right side of products.
#[derive(Debug)]
pub struct ByteColumns {
    /// `(panels, groups, 16, 4)`.
    values: Vec<i8>,
    /// For each column the sum of its bytes times -[`OFFSET`], which makes up for what was added to the rows; `(panels, 16)`.
    corrections: Vec<i32>,
    columns: usize,
    groups: usize,
}

impl ByteRows {
    /// Takes rows of `dimension` bytes each, from -63 to 63.
    ///
    /// # Panics
    /// Bytes that are not whole rows.
    pub fn new(bytes: &[i8], dimension: usize) -> Self {
        let (rows, groups) = shape(bytes, dimension);
        debug_assert!(bytes.iter().all(|byte| (1 - OFFSET..OFFSET).contains(byte)), "rows of bytes from -63 to 63");
        let mut values = vec![OFFSET as u8; rows * groups * GROUP];
        for (out, row) in values.chunks_exact_mut(groups * GROUP).zip(bytes.chunks_exact(dimension)) {
            out.iter_mut().zip(row).for_each(|(out, byte)| *out = (*byte + OFFSET) as u8);
        }
        Self { values, groups }
    }

    /// Some of the rows, one after the other, in place of those of `into`.
    ///
    /// # Panics
    /// A row that is not there.
    pub fn gather(&self, rows: impl IntoIterator<Item = usize>, into: &mut Self) {
        let width = self.groups * GROUP;
        into.groups = self.groups;
        into.values.clear();
        rows.into_iter().for_each(|row| into.values.extend_from_slice(&self.values[row * width..(row + 1) * width]));
    }
}

impl ByteColumns {
    /// Takes columns of `dimension` bytes each, one after the other, none of them -128.
    ///
    /// # Panics
    /// Bytes that are not whole columns.
    pub fn new(bytes: &[i8], dimension: usize) -> Self {
        let (columns, groups) = shape(bytes, dimension);
        debug_assert!(!bytes.contains(&i8::MIN), "columns of bytes from -127 to 127");
        let panels = columns.div_ceil(PANEL);
        let mut values = vec![0; panels * groups * PANEL * GROUP];
        let mut corrections = vec![0; panels * PANEL];
        for (at, column) in bytes.chunks_exact(dimension).enumerate() {
            let (panel, place) = (at / PANEL, at % PANEL);
            for (group, bytes) in column.chunks(GROUP).enumerate() {
                let start = ((panel * groups + group) * PANEL + place) * GROUP;
                values[start..start + bytes.len()].copy_from_slice(bytes);
            }
            corrections[at] = -i32::from(OFFSET) * column.iter().map(|&byte| i32::from(byte)).sum::<i32>();
        }
        Self { values, corrections, columns, groups }
    }

    /// The bytes of a panel.
    fn panel(&self, panel: usize) -> &[i8] {
        let size = self.groups * PANEL * GROUP;
        &self.values[panel * size..(panel + 1) * size]
    }
}

/// Rows (or columns), and groups of bytes in each.
fn shape(bytes: &[i8], dimension: usize) -> (usize, usize) {
    assert!(dimension > 0 && bytes.len().is_multiple_of(dimension), "whole rows of {dimension} bytes");
    (bytes.len() / dimension, dimension.div_ceil(GROUP))
}

/// One block of rows and one of columns that lie in memory as the instructions want them.
#[derive(Clone, Copy)]
struct Tile<'a> {
    /// `(rows, groups · 4)`
    x: &'a [u8],
    rows: usize,
    y: &'a ByteColumns,
    /// The first panel, and how many.
    first: usize,
    panels: usize,
}

/// `product[i, j] = Σ_k x_ik y_jk` for a range of rows and one of columns; rows of the product are `stride` apart, and hold whole panels of
/// 16 columns: what lies past the last column is zero. O(rows · columns · d).
///
/// Sums are exact as long as they fit an i32, which [`Quantizer`] sees to.
///
/// # Panics
/// Ranges out of bounds; columns that do not start at a multiple of 16; a product that is too small; sides of different dimension.
pub fn products(
    x: &ByteRows,
    rows: Range<usize>,
    y: &ByteColumns,
    columns: Range<usize>,
    product: &mut [i32],
    stride: usize,
) {
    products_with(Instructions::best(), x, rows, y, columns, (product, stride));
}

fn products_with(
    instructions: Instructions,
    x: &ByteRows,
    rows: Range<usize>,
    y: &ByteColumns,
    columns: Range<usize>,
    (product, stride): (&mut [i32], usize),
) {
    assert!(x.groups == y.groups, "rows and columns of one dimension");
    assert!(columns.start.is_multiple_of(PANEL) && columns.end <= y.columns, "whole panels of columns");
    let (first, panels) = (columns.start / PANEL, columns.len().div_ceil(PANEL));
    assert!(panels * PANEL <= stride && rows.len() * stride <= product.len(), "a tile within its buffer");
    let width = x.groups * GROUP;
    let tile = Tile { x: &x.values[rows.start * width..rows.end * width], rows: rows.len(), y, first, panels };
    match instructions {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: only made where the processor has these instructions; the product is large enough, as asserted above.
        Instructions::Avx512 => unsafe { avx512::multiply(tile, product, stride) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::Avx2 => unsafe { avx2::multiply(tile, product, stride) },
        Instructions::Portable => portable::multiply(tile, product, stride),
    }
}

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Instructions {
    /// What this processor has, best first.
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            if avx512 && is_x86_feature_detected!("avx512vnni") {
                all.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") {
                all.push(Self::Avx2);
            }
        }
        all.push(Self::Portable);
        all
    }

    fn best() -> Self {
        static BEST: std::sync::OnceLock<Instructions> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| Self::all()[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes up to a size that look random, the extremes among them.
    fn bytes(count: usize, largest: i64, mut state: u64) -> Vec<i8> {
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let value = ((state >> 40) % 300) as i64 - 150;
                value.clamp(-largest, largest) as i8
            })
            .collect()
    }

    #[test]
    fn every_set_of_instructions_gives_the_exact_products() {
        for dimension in [1, 3, 4, 16, 61, 384] {
            let (n, m) = (37, 83);
            let (x, y) = (bytes(n * dimension, 63, 1), bytes(m * dimension, 127, 2));
            let (rows, columns) = (ByteRows::new(&x, dimension), ByteColumns::new(&y, dimension));
            for instructions in Instructions::all() {
                for (some_rows, some_columns) in [(0..n, 0..m), (5..18, 16..80), (3..4, 32..33), (4..4, 0..m)] {
                    let stride = 96;
                    let mut product = vec![-1; some_rows.len() * stride];
                    let (first_row, first_column) = (some_rows.start, some_columns.start);
                    let (row_range, column_range) = (some_rows.clone(), some_columns.clone());
                    let out = (&mut product[..], stride);
                    products_with(instructions, &rows, row_range, &columns, column_range, out);
                    for i in some_rows {
                        for j in some_columns.clone() {
                            let pairs = x[i * dimension..][..dimension].iter().zip(&y[j * dimension..][..dimension]);
                            let expected: i32 = pairs.map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                            let got = product[(i - first_row) * stride + j - first_column];
                            assert_eq!(got, expected, "{instructions:?}, {dimension} dimensions: ({i}, {j})");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn gathered_rows_are_those_of_the_whole() {
        let dimension = 7;
        let (x, y) = (bytes(12 * dimension, 63, 3), bytes(16 * dimension, 127, 4));
        let (rows, columns) = (ByteRows::new(&x, dimension), ByteColumns::new(&y, dimension));
        let (mut whole, mut some) = ([0; 12 * 16], [0; 3 * 16]);
        products(&rows, 0..12, &columns, 0..16, &mut whole, 16);
        // What was there before goes.
        let mut gathered = ByteRows::new(&[5; 40], 4);
        for chosen in [[11, 0, 5], [2, 2, 7]] {
            rows.gather(chosen, &mut gathered);
            products(&gathered, 0..3, &columns, 0..16, &mut some, 16);
            for (row, products) in chosen.into_iter().zip(some.chunks_exact(16)) {
                assert_eq!(products, &whole[row * 16..row * 16 + 16]);
            }
        }
    }

    #[test]
    #[should_panic(expected = "a tile within its buffer")]
    fn a_product_that_is_too_small_is_refused() {
        let (x, y) = (ByteRows::new(&[1; 12], 3), ByteColumns::new(&[1; 60], 3));
        products(&x, 0..4, &y, 0..20, &mut [0; 100], 32);
    }
}
