//! Assignment inside blocks by auction.

use crate::error::Error;
use crate::gather::Blocks;
use crate::queue::{Buffer, Kernel, Launch, Queue, View, kernel, launch};

/// How finely and how long an auction goes on.
#[derive(Debug, Clone, Copy)]
pub struct Auction<'a> {
    /// `(B,)`: the bids' least increment at first, in units of the cost.
    pub first_epsilon: View<'a, f32>,
    /// `(B,)`: and at last; a block ends within its size times this of its optimum.
    pub epsilon: View<'a, f32>,
    /// The factor from one to the next, below 1.
    pub reduction: f32,
    /// Rounds of bids, at most.
    pub round_limit: u32,
}

const fn of_file(name: &'static str) -> Kernel {
    kernel("block_assignment", name)
}

/// Threads for blocks of so many rows: a warp looks through a row at a time.
fn threads(stride: usize) -> u32 {
    (stride.next_multiple_of(32) as u32).min(256)
}

/// Assigns the rows of each block of `costs`, `(B, stride, stride)`, to its columns, from the prices `g`, `(B, stride)`, which become those
/// found, and from the pairing of row i with column i. Returns the column of each row, `(B, stride)`, and the rounds taken, `(B,)`:
/// [`crate::NONE`] where they did not suffice and the columns are of no use.
///
/// The result does not depend on timing. *Complexity*: O(stride) a bid; rounds grow with extent / epsilon only in logarithm, as a rule.
/// Reference: Bertsekas, "The auction algorithm", Annals of Operations Research 14, 1988, with all unassigned rows bidding at once and
/// epsilon scaling.
///
/// # Errors
/// No memory, or a failed launch: blocks above about 8,000 rows do not fit a multiprocessor's memory.
///
/// # Panics
/// Buffers that are too small.
pub fn auction(
    queue: &Queue,
    costs: View<'_, f32>,
    blocks: &Blocks<'_>,
    settings: &Auction<'_>,
    g: &mut Buffer<f32>,
) -> Result<(Buffer<u32>, Buffer<u32>), Error> {
    let (count, stride) = (blocks.len(), blocks.stride);
    assert!(costs.len() >= count * stride * stride && g.len() >= count * stride, "blocks of an auction");
    assert!(settings.epsilon.len() >= count && settings.first_epsilon.len() >= count, "an epsilon for each block");
    let (mut columns, mut rounds) = (queue.allocate(count * stride)?, queue.allocate(count)?);
    let launch =
        Launch { grid: [count as u32, 1, 1], threads: threads(stride), shared_bytes: stride * (8 + 6 * 4) + 8 };
    // SAFETY: lengths asserted above; the shared memory holds the kernel's seven arrays.
    unsafe {
        launch!(
            queue,
            of_file("auction"),
            launch,
            costs,
            blocks.sizes,
            stride as u32,
            settings.first_epsilon,
            settings.epsilon,
            settings.reduction,
            settings.round_limit,
            g,
            &mut columns,
            &mut rounds
        )?;
    }
    Ok((columns, rounds))
}

/// For each row of a block without a point (its x index is `num_x` or above), the x index of the row with one that comes closest to taking its
/// column, `(B, stride)`; [`crate::NONE`] for the others. O(stride²) for each such row's block.
///
/// # Errors
/// No memory, or a failed launch.
///
/// # Panics
/// Buffers that are too small.
pub fn find_shadows(
    queue: &Queue,
    costs: View<'_, f32>,
    x: &Blocks<'_>,
    num_x: usize,
    g: View<'_, f32>,
    columns: View<'_, u32>,
) -> Result<Buffer<u32>, Error> {
    x.check();
    let count = x.len() * x.stride;
    assert!(costs.len() >= count * x.stride && g.len() >= count && columns.len() >= count, "blocks of an assignment");
    let mut shadows = queue.allocate(count)?;
    let launch = Launch { grid: [(x.stride as u32).div_ceil(128), x.len() as u32, 1], threads: 128, shared_bytes: 0 };
    // SAFETY: lengths asserted above.
    unsafe {
        launch!(
            queue,
            of_file("find_shadows"),
            launch,
            costs,
            x.sizes,
            x.stride as u32,
            g,
            columns,
            x.index,
            num_x as u32,
            &mut shadows
        )?;
    }
    Ok(shadows)
}

#[cfg(all(test, feature = "emulation"))]
mod tests {
    use super::*;
    use crate::{NONE, Schedule};
    use hiref_testkit::{Cost, exact_assignment};

    /// Two blocks of different sizes, padded; their costs are those of points on a line and in the plane, with ties.
    #[test]
    fn an_auction_ends_near_the_optimum_with_prices_that_prove_it() {
        let stride = 40;
        let coordinate = |i: usize, step: usize| ((i * step) % 61) as f32 / 7.0;
        let points = |size: usize, step: usize| -> Vec<f32> {
            (0..size).flat_map(|i| [coordinate(i, step), coordinate(i, step + 4)]).collect()
        };
        let sizes = [40_usize, 33];
        let (x, y): (Vec<_>, Vec<_>) = sizes.iter().map(|&size| (points(size, 13), points(size, 29))).unzip();
        let mut costs = vec![f32::NAN; 2 * stride * stride];
        for (b, &size) in sizes.iter().enumerate() {
            for i in 0..size {
                for j in 0..size {
                    let c = Cost::SquaredEuclidean.between(&x[b][2 * i..][..2], &y[b][2 * j..][..2]);
                    costs[(b * stride + i) * stride + j] = c as f32;
                }
            }
        }
        let epsilon = 1e-3_f32;
        let results = Schedule::ALL.map(|schedule| {
            let queue = Queue::emulated(schedule);
            let on = queue.upload(&costs).unwrap();
            let sizes = queue.upload(&sizes.map(|size| size as u32)).unwrap();
            let index = queue.zeros(2 * stride).unwrap();
            let blocks = Blocks { index: index.view(), sizes: sizes.view(), stride };
            let first = queue.upload(&[20.0_f32; 2]).unwrap();
            let last = queue.upload(&[epsilon; 2]).unwrap();
            let auction_settings =
                Auction { first_epsilon: first.view(), epsilon: last.view(), reduction: 0.2, round_limit: 100_000 };
            let mut g = queue.zeros(2 * stride).unwrap();
            let (columns, rounds) = auction(&queue, on.view(), &blocks, &auction_settings, &mut g).unwrap();
            assert!(rounds.to_vec().unwrap().iter().all(|&rounds| rounds > 0 && rounds != NONE));
            (columns.to_vec().unwrap(), g.to_vec().unwrap())
        });
        assert!(results.windows(2).all(|pair| pair[0].0 == pair[1].0), "the order of threads matters");
        let (columns, g) = &results[0];
        for (b, &size) in sizes.iter().enumerate() {
            let cost = |i: usize, j: usize| costs[(b * stride + i) * stride + j];
            let columns = &columns[b * stride..][..size];
            let mut taken = vec![false; size];
            columns.iter().for_each(|&j| assert!(!std::mem::replace(&mut taken[j as usize], true), "twice {j}"));
            let got: f64 = columns.iter().enumerate().map(|(i, &j)| f64::from(cost(i, j as usize))).sum();
            let optimum = exact_assignment(&x[b], &y[b], 2, Cost::SquaredEuclidean).mean_cost * size as f64;
            assert!(
                got >= optimum - 1e-3 && got <= optimum + size as f64 * f64::from(epsilon) + 1e-3,
                "{got}, {optimum}"
            );
            // No row would be better off elsewhere by more than epsilon (and rounding).
            for (i, &own) in columns.iter().enumerate() {
                let own = cost(i, own as usize) - g[b * stride + own as usize];
                assert!((0..size).all(|j| cost(i, j) - g[b * stride + j] >= own - 1.1 * epsilon));
            }
        }
    }

    #[test]
    fn an_auction_that_takes_too_long_says_so() {
        let queue = Queue::emulated(Schedule::Rising);
        // Both rows want column 0 by far more than they bid.
        let costs = queue.upload(&[0.0_f32, 100.0, 0.0, 100.0]).unwrap();
        let (sizes, index) = (queue.upload(&[2_u32]).unwrap(), queue.zeros(2).unwrap());
        let blocks = Blocks { index: index.view(), sizes: sizes.view(), stride: 2 };
        let epsilon = queue.upload(&[1e-3_f32]).unwrap();
        let settings =
            Auction { first_epsilon: epsilon.view(), epsilon: epsilon.view(), reduction: 0.2, round_limit: 0 };
        let (_, rounds) = auction(&queue, costs.view(), &blocks, &settings, &mut queue.zeros(2).unwrap()).unwrap();
        assert_eq!(rounds.to_vec().unwrap(), [NONE]);
    }
}
