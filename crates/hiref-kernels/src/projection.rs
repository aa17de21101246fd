//! The mirror-descent step and its projection.

use crate::error::Error;
use crate::queue::{Buffer, Kernel, Launch, Queue, View, kernel, launch};

/// The most clusters that the kernels take: their sums must fit shared memory.
pub const MAX_RANK: usize = 32;
/// Points that a thread block handles at once.
const TILE: usize = 256;
/// Chunks of points whose sums are added up at the end, at most, for each block.
const MAX_CHUNKS: usize = 512;
/// Blocks of one launch: the second coordinate of a grid ends there.
const BLOCKS: usize = 65_535;

/// The shape and the stopping rules of a step.
#[derive(Debug, Clone, Copy)]
pub struct Projection {
    /// Blocks, B.
    pub batch: usize,
    /// Clusters, r, at most [`MAX_RANK`].
    pub rank: usize,
    /// Points of a block, s.
    pub size: usize,
    /// The step, in units of the largest gain.
    pub step: f32,
    /// Relative error of a column sum at which Newton's method stops.
    pub tolerance: f64,
    /// Newton passes, at most.
    pub passes: usize,
}

const fn of_file(name: &'static str) -> Kernel {
    kernel("balanced_projection", name)
}

/// `logits = log_q + step · gain / max|gain|`, projected: writes logits and factor, `(2, B, r, s)`, given `log_q` and `gain`, `(B, r, s)`.
/// O(B s r²) a pass; nothing is sent to or from the host.
///
/// # Safety
/// `out` is memory of the queue's device that nobody else uses, so long as the view says.
///
/// # Errors
/// No memory, or a failed launch.
///
/// # Panics
/// Views that do not fit the shape, or more than [`MAX_RANK`] clusters.
pub unsafe fn mirror_step(
    queue: &Queue,
    shape: &Projection,
    log_q: View<'_, f32>,
    gain: View<'_, f32>,
    out: View<'_, f32>,
) -> Result<(), Error> {
    let Projection { batch, rank, size, step, .. } = *shape;
    let len = batch * rank * size;
    assert!(rank <= MAX_RANK, "rank {rank}, at most {MAX_RANK}");
    assert!(log_q.len() == len && gain.len() == len && out.len() == 2 * len, "views of a mirror step");
    let (logits, factor) = (out.range(0..len), out.range(len..2 * len));
    for first in (0..batch).step_by(BLOCKS) {
        let blocks = (batch - first).min(BLOCKS);
        let part = first * rank * size..(first + blocks) * rank * size;
        let [log_q, gain, logits, factor] = [log_q, gain, logits, factor].map(|view| view.range(part.clone()));
        let (length, count) = ((rank * size) as u64, blocks as u32);
        let mut largest = queue.allocate::<f32>(blocks)?;
        let over_length = (length.div_ceil(1024).min(4096)) as u32;
        // SAFETY: the views were cut to these blocks, the workspace is made for them, and the caller vouches for `out`.
        unsafe {
            launch!(
                queue,
                of_file("largest_gain"),
                Launch { grid: [count, 1, 1], threads: 1024, shared_bytes: 32 * 4 },
                gain,
                length,
                &mut largest
            )?;
            launch!(
                queue,
                of_file("add_scaled"),
                Launch { grid: [over_length, count, 1], threads: 256, shared_bytes: 0 },
                log_q,
                gain,
                largest.view(),
                step,
                length,
                logits
            )?;
        }
        let prices = cluster_prices(queue, &Projection { batch: blocks, ..*shape }, logits)?;
        // SAFETY: as above; the prices are those of these blocks.
        unsafe {
            launch!(
                queue,
                of_file("write_factor"),
                Launch { grid: [size.div_ceil(256) as u32, count, 1], threads: 256, shared_bytes: 0 },
                logits,
                prices.view(),
                rank as u32,
                size as u64,
                factor
            )?;
        }
    }
    Ok(())
}

/// The price of each cluster, `(B, r)`, that makes column sums equal, for logits `(B, r, s)`: Newton's method.
fn cluster_prices(queue: &Queue, shape: &Projection, logits: View<'_, f32>) -> Result<Buffer<f64>, Error> {
    let Projection { batch, rank, size, tolerance, passes, .. } = *shape;
    let tiles = size.div_ceil(TILE);
    let tiles_per_chunk = tiles.div_ceil(MAX_CHUNKS);
    let chunks = tiles.div_ceil(tiles_per_chunk);
    let entries = rank * (rank + 1) / 2 + rank;
    let (moments_bytes, update_bytes) = (entries * 8 + rank * (TILE + 1) * 4, (entries + rank * rank + rank) * 8);
    let mut prices = queue.zeros::<f64>(batch * rank)?;
    let mut done = queue.zeros::<u32>(batch)?;
    let mut partial = queue.allocate::<f64>(batch * chunks * entries)?;
    for _ in 0..passes {
        // SAFETY: the logits are those of these blocks, as the caller has checked, and the workspace is made for them.
        unsafe {
            launch!(
                queue,
                of_file("newton_moments"),
                Launch { grid: [chunks as u32, batch as u32, 1], threads: TILE as u32, shared_bytes: moments_bytes },
                logits,
                prices.view(),
                done.view(),
                rank as u32,
                size as u64,
                tiles_per_chunk as u32,
                &mut partial
            )?;
            launch!(
                queue,
                of_file("newton_update"),
                Launch { grid: [batch as u32, 1, 1], threads: 128, shared_bytes: update_bytes },
                partial.view(),
                chunks as u32,
                rank as u32,
                size as u64,
                tolerance,
                &mut prices,
                &mut done
            )?;
        }
    }
    Ok(prices)
}
