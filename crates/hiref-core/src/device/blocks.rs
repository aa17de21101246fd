//! Blocks on a device: costs and an auction there; the choice of epsilon, prices and the exact change of the cost on the host.

use super::Accelerator;
use crate::cost::CostKind;
use crate::error::Error;
use crate::geometry::Supports;
use crate::refine::{BlockSolver, Pairing, SolvedBlock, SolvedPair, Workspace, mean};
use hiref_kernels::{
    Auction, BlockCosts, Blocks, Buffer, DeviceRows, NONE, Precision, Product, Queue, auction, block_means,
    block_products, column_terms, find_shadows, finish_costs, gather_centred, pair_costs,
};
use rayon::prelude::*;

/// Up to this many coordinates the project's own kernel multiplies; above, the vendor's library.
const FEW_DIMENSIONS: usize = 32;
/// Blocks of one launch: a grid's third coordinate ends there.
const MOST_BLOCKS: usize = 65_535;
/// The last epsilon, as a share of the difference that an ordinary row sees between its partner and the nearest alternative.
const LAST_EPSILON: f64 = 0.05;
/// The last epsilon is at least this many units in the last place of a block's largest entry.
const LEAST_ULPS: f64 = 16.0;
/// The first epsilon, as a share of a block's largest entry, from old prices and from none.
const FIRST_EPSILON: [f64; 2] = [1.0 / 64.0, 0.25];
/// The factor between one epsilon and the next.
const REDUCTION: f32 = 0.2;
/// Rounds of bids after which a block is left to the host.
const ROUND_LIMIT: u32 = 1 << 15;
/// As in `CostTile::fits_f32`.
const SHARE: f64 = 0.01;

/// As [`BlockSolver::solve`], on a device. After a failure, which the accelerator keeps, the rest of the blocks is left out.
pub(super) fn solve(
    accelerator: &Accelerator<'_>,
    solver: &BlockSolver<'_>,
    pairing: &Pairing,
    blocks: &[&[u32]],
    warm: bool,
) -> Vec<Option<SolvedBlock>> {
    let BlockSolver { supports, control, phase, .. } = *solver;
    let stride = blocks.iter().map(|block| block.len()).max().unwrap_or(0);
    let bytes = 4 * stride * (2 * supports.dimension() + stride + 16) + 32 * supports.dimension();
    let queues = accelerator.queues();
    let per_batch = (accelerator.batch_bytes as usize / queues.len() / bytes.max(1)).clamp(1, MOST_BLOCKS);
    let batches: Vec<&[&[u32]]> = blocks.chunks(per_batch).collect();
    // Every other batch, one after the other.
    let run = |lane: usize| {
        let mut done = Vec::new();
        for (at, &blocks) in batches.iter().enumerate().skip(lane).step_by(queues.len()) {
            if control.should_stop() || accelerator.has_failed() {
                break;
            }
            let batch = Batch { accelerator, queue: queues[lane], supports, pairing, blocks, stride, warm };
            match batch.solve() {
                Ok(found) => done.push((at, found)),
                Err(error) => accelerator.fail(error),
            }
            control.advance(phase, blocks.iter().map(|block| block.len() as u64).sum());
        }
        done
    };
    // Threads of their own: they wait for the device, which the pool's must not.
    let done: Vec<(usize, Vec<SolvedBlock>)> = std::thread::scope(|scope| {
        let run = &run;
        let others: Vec<_> = (1..queues.len()).map(|lane| scope.spawn(move || run(lane))).collect();
        let mut done = run(0);
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    let mut solved: Vec<Option<SolvedBlock>> = std::iter::repeat_with(|| None).take(blocks.len()).collect();
    for (at, found) in done {
        solved[at * per_batch..].iter_mut().zip(found).for_each(|(slot, found)| *slot = Some(found));
    }
    solved
}

/// Blocks that the device solves at once.
struct Batch<'a> {
    accelerator: &'a Accelerator<'a>,
    queue: &'a Queue,
    supports: Supports<'a>,
    pairing: &'a Pairing,
    blocks: &'a [&'a [u32]],
    /// Padded length of a block.
    stride: usize,
    warm: bool,
}

/// The prices that a block starts from, and how finely it is to be solved.
struct BlockStart {
    g: Vec<f32>,
    old_mean: f64,
    first_epsilon: f32,
    epsilon: f32,
    /// Whether f32 holds the block's differences.
    fits: bool,
}

/// What the device found for all blocks of a batch; `(B, stride)` each.
struct Found {
    columns: Vec<u32>,
    g: Vec<f32>,
    /// `(B,)`
    rounds: Vec<u32>,
    shadows: Option<Vec<u32>>,
}

impl Batch<'_> {
    fn partner(&self, x: u32) -> u32 {
        self.pairing.y_of_x[x as usize]
    }

    fn solve(&self) -> Result<Vec<SolvedBlock>, Error> {
        let Self { accelerator, queue, supports, blocks, stride, .. } = *self;
        let normalize = accelerator.kind == CostKind::Cosine;
        let (mut x_index, mut y_index) = (vec![NONE; blocks.len() * stride], vec![NONE; blocks.len() * stride]);
        for ((xs, ys), block) in x_index.chunks_exact_mut(stride).zip(y_index.chunks_exact_mut(stride)).zip(blocks) {
            xs[..block.len()].copy_from_slice(block);
            ys.iter_mut().zip(*block).for_each(|(y, &x)| *y = self.partner(x));
        }
        let x_picked = accelerator.x.pick(queue, x_index.clone(), normalize)?;
        let y_picked = accelerator.y.pick(queue, y_index.clone(), normalize)?;
        let sizes: Vec<u32> = blocks.iter().map(|block| block.len() as u32).collect();
        let sizes = queue.upload(&sizes)?;
        let (x_on, y_on) = (queue.upload(&x_picked.index)?, queue.upload(&y_picked.index)?);
        let x_blocks = Blocks { index: x_on.view(), sizes: sizes.view(), stride };
        let y_blocks = Blocks { index: y_on.view(), sizes: sizes.view(), stride };
        let (x, y) = (x_picked.rows(), y_picked.rows());

        let x_means = block_means(queue, &x, &x_blocks, false)?;
        let terms = column_terms(queue, accelerator.cost(), &y, &y_blocks, x_means.view())?;
        let products = self.products([&x, &y], [&x_blocks, &y_blocks], &x_means)?;
        let num_x = x.len();
        let BlockCosts { costs, extents, gaps } =
            finish_costs(queue, accelerator.cost(), products, terms.view(), &x_blocks, num_x)?;

        let (terms, extents, gaps) = (terms.to_vec()?, extents.to_vec()?, gaps.to_vec()?);
        let starts: Vec<BlockStart> = blocks
            .par_iter()
            .enumerate()
            .map(|(b, block)| {
                let range = b * stride..b * stride + block.len();
                self.start(block, &terms[range.clone()], &extents[range.clone()], &gaps[range])
            })
            .collect();
        let mut g = vec![0.0_f32; x_index.len()];
        g.chunks_exact_mut(stride).zip(&starts).for_each(|(g, start)| g[..start.g.len()].copy_from_slice(&start.g));
        let mut g = queue.upload(&g)?;
        let first: Vec<f32> = starts.iter().map(|start| start.first_epsilon).collect();
        let last: Vec<f32> = starts.iter().map(|start| start.epsilon).collect();
        let (first, last) = (queue.upload(&first)?, queue.upload(&last)?);
        let settings = Auction {
            first_epsilon: first.view(),
            epsilon: last.view(),
            reduction: REDUCTION,
            round_limit: ROUND_LIMIT,
        };
        let (columns, rounds) = auction(queue, costs.view(), &x_blocks, &settings, &mut g)?;
        let shadows = if supports.num_x() < supports.num_y() {
            let shadows = find_shadows(queue, costs.view(), &x_blocks, num_x, g.view(), columns.view())?.to_vec()?;
            Some(shadows.into_iter().map(|shadow| x_picked.original(shadow, &x_index)).collect())
        } else {
            None
        };
        let found = Found { columns: columns.to_vec()?, g: g.to_vec()?, rounds: rounds.to_vec()?, shadows };
        let usable: Vec<bool> =
            starts.iter().zip(&found.rounds).map(|(start, &rounds)| start.fits && rounds != NONE).collect();
        let changes = self.changes(&x_index, &y_index, &found.columns, &usable)?;
        let all = blocks.par_iter().enumerate().map(|(b, block)| {
            if usable[b] {
                let range = b * stride..b * stride + block.len();
                self.solved(block, &terms[range.clone()], starts[b].old_mean, &found, range.start, changes[b])
            } else {
                Workspace::default().solve(supports, self.pairing, block, self.warm)
            }
        });
        Ok(all.collect())
    }

    /// The products of each block's x and y, or their distances: `(B, stride, stride)`.
    fn products(
        &self,
        [x, y]: [&DeviceRows<'_>; 2],
        [x_blocks, y_blocks]: [&Blocks<'_>; 2],
        x_means: &Buffer<f64>,
    ) -> Result<Buffer<f32>, Error> {
        let Self { queue, stride, .. } = *self;
        let (d, blocks) = (self.supports.dimension(), self.blocks.len());
        let distance = self.accelerator.kind == CostKind::Euclidean;
        let mut centred = [queue.allocate(blocks * stride * d)?, queue.allocate(blocks * stride * d)?];
        gather_centred(queue, x, x_blocks, x_means.view(), false, &mut centred[0])?;
        // Distances need both sides as seen from one point; products are best with small factors.
        let y_means = if distance { None } else { Some(block_means(queue, y, y_blocks, false)?) };
        let y_means = y_means.as_ref().unwrap_or(x_means).view();
        gather_centred(queue, y, y_blocks, y_means, false, &mut centred[1])?;
        let mut products = queue.allocate(blocks * stride * stride)?;
        let [x, y] = [centred[0].view(), centred[1].view()];
        if distance || d <= FEW_DIMENSIONS {
            block_products(queue, [x, y], (blocks, stride, d), distance, &mut products)?;
        } else {
            let precision = Precision::Single;
            let product = Product { batch: blocks, rows: stride, columns: stride, inner: d, precision };
            queue.multiply(&product, x, y, &mut products)?;
        }
        Ok(products)
    }

    fn start(&self, block: &[u32], terms: &[f64], extents: &[f32], gaps: &[f32]) -> BlockStart {
        let extent = extents.iter().copied().fold(0.0, f32::max);
        let mut gaps = gaps.to_vec();
        let middle = gaps.len() / 2;
        let median = *gaps.select_nth_unstable_by(middle, f32::total_cmp).1;
        let ulp = f64::from(extent) * f64::from(f32::EPSILON);
        let old: Vec<f64> =
            block.iter().zip(terms).map(|(&x, term)| self.pairing.g[self.partner(x) as usize] - term).collect();
        let old_mean = mean(&old);
        // Prices of an optimal solution differ by no more than costs do.
        let limit = 2.0 * f64::from(extent);
        let g = old.iter().map(|g| if self.warm { (g - old_mean).clamp(-limit, limit) as f32 } else { 0.0 }).collect();
        let first = f64::from(extent) * FIRST_EPSILON[usize::from(!self.warm)];
        let epsilon = (LAST_EPSILON * f64::from(median)).max(LEAST_ULPS * ulp).max(f64::from(f32::MIN_POSITIVE));
        let fits = ulp <= SHARE * f64::from(median) && extent.is_finite();
        BlockStart { g, old_mean, first_epsilon: first as f32, epsilon: epsilon as f32, fits }
    }

    /// The change of each block's cost, in f64 from the points; 0 for blocks that are not usable.
    fn changes(&self, x: &[u32], y: &[u32], columns: &[u32], usable: &[bool]) -> Result<Vec<f64>, Error> {
        let Self { accelerator, queue, supports, blocks, stride, .. } = *self;
        // Rows that move: what they will pay, and what they pay.
        let (mut rows, mut new, mut old, mut of_block) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (b, block) in blocks.iter().enumerate().filter(|&(b, _)| usable[b]) {
            for i in 0..block.len() {
                let (at, column) = (b * stride + i, columns[b * stride + i] as usize);
                if column != i && supports.is_point(x[at]) {
                    rows.push(x[at]);
                    new.push(y[b * stride + column]);
                    old.push(y[at]);
                    of_block.push(b);
                }
            }
        }
        let differences: Vec<f64> = if accelerator.x.is_resident() && accelerator.y.is_resident() {
            let sides = (accelerator.x.pick(queue, Vec::new(), false)?, accelerator.y.pick(queue, Vec::new(), false)?);
            let on = queue.upload(&rows)?;
            let costs = |columns: &[u32]| -> Result<Vec<f64>, Error> {
                let columns = queue.upload(columns)?;
                let (x, y) = (sides.0.rows(), sides.1.rows());
                Ok(pair_costs(queue, accelerator.cost(), &x, &y, on.view(), columns.view())?.to_vec()?)
            };
            costs(&new)?.into_iter().zip(costs(&old)?).map(|(new, old)| new - old).collect()
        } else {
            let pairs = rows.par_iter().zip(&new).zip(&old);
            pairs.map(|((&x, &new), &old)| supports.between(x, new) - supports.between(x, old)).collect()
        };
        let mut changes = vec![0.0; blocks.len()];
        differences.into_iter().zip(of_block).for_each(|(difference, b)| changes[b] += difference);
        Ok(changes)
    }

    /// A block's result; what would raise its cost is not taken, but its prices are.
    fn solved(
        &self,
        block: &[u32],
        terms: &[f64],
        old_mean: f64,
        found: &Found,
        first: usize,
        change: f64,
    ) -> SolvedBlock {
        let better = change < 0.0;
        let g = &found.g[first..first + block.len()];
        // As on the host: prices are defined up to a constant, and keep their mean.
        let shift = old_mean - g.iter().map(|&g| f64::from(g)).sum::<f64>() / block.len() as f64;
        let pairs = block.iter().enumerate().map(|(i, &x)| {
            let column = if better { found.columns[first + i] as usize } else { i };
            let shadow = found.shadows.as_ref().map(|shadows| shadows[first + i]).filter(|&shadow| shadow != NONE);
            SolvedPair { x, y: self.partner(block[column]), g: f64::from(g[column]) + shift + terms[column], shadow }
        });
        SolvedBlock { pairs: pairs.collect(), change: if better { change } else { 0.0 } }
    }
}
