//! Products of bytes by AVX-512 VNNI: 64 multiplications an instruction.

use super::{GROUP, PANEL, Tile};
use std::arch::x86_64::{
    __m512i, _mm512_dpbusd_epi32, _mm512_loadu_epi8, _mm512_loadu_epi32, _mm512_set1_epi32, _mm512_setzero_si512,
    _mm512_storeu_epi32,
};

/// Rows and panels whose sums are in registers at once: 16 sums hide the latency of the instruction.
const ROWS: usize = 8;
const PANELS: usize = 2;

/// Writes the products of a tile.
///
/// # Safety
/// The processor has AVX-512 F, BW and VNNI; `product` holds `rows` rows, `stride` apart, of `panels · 16` values each.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn multiply(tile: Tile<'_>, product: &mut [i32], stride: usize) {
    let mut panel = 0;
    while panel < tile.panels {
        let wide = panel + PANELS <= tile.panels;
        let mut row = 0;
        while row < tile.rows {
            let tall = row + ROWS <= tile.rows;
            // SAFETY: the rows and panels are those of the tile.
            unsafe {
                match (tall, wide) {
                    (true, true) => block::<ROWS, PANELS>(tile, row, panel, product, stride),
                    (true, false) => block::<ROWS, 1>(tile, row, panel, product, stride),
                    (false, true) => block::<1, PANELS>(tile, row, panel, product, stride),
                    (false, false) => block::<1, 1>(tile, row, panel, product, stride),
                }
            }
            row += if tall { ROWS } else { 1 };
        }
        panel += if wide { PANELS } else { 1 };
    }
}

/// The products of `R` rows from `row` on and `P` panels from `panel` on.
///
/// # Safety
/// As for [`multiply`]; the tile has these rows and panels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn block<const R: usize, const P: usize>(
    tile: Tile<'_>,
    row: usize,
    panel: usize,
    product: &mut [i32],
    stride: usize,
) {
    let groups = tile.y.groups;
    debug_assert!(row + R <= tile.rows && panel + P <= tile.panels && product.len() >= (row + R) * stride);
    let mut sums = [[_mm512_setzero_si512(); P]; R];
    // SAFETY: `x` holds `groups` groups of 4 bytes for each row of the tile, `y` holds as many groups of 64 bytes and 16 corrections for
    // each panel; the product is as large as the caller says.
    unsafe {
        for p in 0..P {
            let corrections = tile.y.corrections.as_ptr().add((tile.first + panel + p) * PANEL);
            let start = _mm512_loadu_epi32(corrections);
            for sums in &mut sums {
                sums[p] = start;
            }
        }
        let x: [*const u8; R] = std::array::from_fn(|r| tile.x.as_ptr().add((row + r) * groups * GROUP));
        let y: [*const i8; P] =
            std::array::from_fn(|p| tile.y.values.as_ptr().add((tile.first + panel + p) * groups * PANEL * GROUP));
        for group in 0..groups {
            let y: [__m512i; P] = std::array::from_fn(|p| _mm512_loadu_epi8(y[p].add(group * PANEL * GROUP)));
            for r in 0..R {
                let x = _mm512_set1_epi32(x[r].add(group * GROUP).cast::<i32>().read_unaligned());
                for p in 0..P {
                    sums[r][p] = _mm512_dpbusd_epi32(sums[r][p], x, y[p]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (p, &sum) in sums.iter().enumerate() {
                let out = product.as_mut_ptr().add((row + r) * stride + (panel + p) * PANEL);
                _mm512_storeu_epi32(out, sum);
            }
        }
    }
}
