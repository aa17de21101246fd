//! Products of bytes in plain Rust.

use super::{GROUP, PANEL, Tile};

/// Writes the products of a tile.
pub(super) fn multiply(tile: Tile<'_>, product: &mut [i32], stride: usize) {
    let groups = tile.y.groups;
    for panel in 0..tile.panels {
        let corrections = &tile.y.corrections[(tile.first + panel) * PANEL..][..PANEL];
        let columns = tile.y.panel(tile.first + panel);
        for (row, out) in tile.x.chunks_exact(groups * GROUP).zip(product.chunks_exact_mut(stride)) {
            let out = &mut out[panel * PANEL..][..PANEL];
            out.copy_from_slice(corrections);
            for (x, y) in row.as_chunks::<GROUP>().0.iter().zip(columns.as_chunks::<{ PANEL * GROUP }>().0) {
                for (sum, y) in out.iter_mut().zip(y.as_chunks::<GROUP>().0) {
                    let products = x.iter().zip(y).map(|(&x, &y)| i32::from(x) * i32::from(y));
                    *sum = sum.wrapping_add(products.sum());
                }
            }
        }
    }
}
