//! Products of bytes by AVX2.

use super::{GROUP, PANEL, Tile};
use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
};

/// Rows whose sums are in registers at once, and of the rest.
const ROWS: usize = 6;
const FEW_ROWS: usize = 2;
/// Vectors of a panel: 8 columns each.
const HALVES: usize = 2;

/// Writes the products of a tile.
///
/// # Safety
/// The processor has AVX2; `product` holds `rows` rows, `stride` apart, of `panels · 16` values each.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn multiply(tile: Tile<'_>, product: &mut [i32], stride: usize) {
    for panel in 0..tile.panels {
        let mut row = 0;
        while row < tile.rows {
            // SAFETY: the rows and the panel are those of the tile.
            unsafe {
                row += match tile.rows - row {
                    ROWS.. => block::<ROWS>(tile, row, panel, product, stride),
                    FEW_ROWS.. => block::<FEW_ROWS>(tile, row, panel, product, stride),
                    _ => block::<1>(tile, row, panel, product, stride),
                };
            }
        }
    }
}

/// The products of `R` rows from `row` on and a panel; returns `R`.
///
/// The instruction that multiplies unsigned bytes by signed ones adds two products in 16 bits: rows are small enough.
///
/// # Safety
/// As for [`multiply`]; the tile has these rows and this panel.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn block<const R: usize>(tile: Tile<'_>, row: usize, panel: usize, product: &mut [i32], stride: usize) -> usize {
    let groups = tile.y.groups;
    debug_assert!(row + R <= tile.rows && panel < tile.panels && product.len() >= (row + R) * stride);
    let ones = _mm256_set1_epi16(1);
    let mut sums = [[_mm256_setzero_si256(); HALVES]; R];
    // SAFETY: `x` holds `groups` groups of 4 bytes for each row of the tile, `y` holds as many groups of 64 bytes and 16 corrections for each panel; the
    // product is as large as the caller says.
    unsafe {
        let corrections = tile.y.corrections.as_ptr().add((tile.first + panel) * PANEL);
        for half in 0..HALVES {
            let start = _mm256_loadu_si256(corrections.add(half * 8).cast());
            for sums in &mut sums {
                sums[half] = start;
            }
        }
        let x: [*const u8; R] = std::array::from_fn(|r| tile.x.as_ptr().add((row + r) * groups * GROUP));
        let y = tile.y.values.as_ptr().add((tile.first + panel) * groups * PANEL * GROUP);
        for group in 0..groups {
            let y: [__m256i; HALVES] =
                std::array::from_fn(|half| _mm256_loadu_si256(y.add(group * PANEL * GROUP + half * 32).cast()));
            for (x, sums) in x.iter().zip(&mut sums) {
                let x = _mm256_set1_epi32(x.add(group * GROUP).cast::<i32>().read_unaligned());
                for (sum, &y) in sums.iter_mut().zip(&y) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), ones));
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (half, &sum) in sums.iter().enumerate() {
                let out = product.as_mut_ptr().add((row + r) * stride + panel * PANEL + half * 8);
                _mm256_storeu_si256(out.cast(), sum);
            }
        }
    }
    R
}
