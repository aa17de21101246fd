//! Exact assignment inside many blocks at once: the leaves, and every sweep.

use super::pairing::Pairing;
use crate::assignment::{AssignmentSolver, CostMatrix, Scalar};
use crate::control::Control;
use crate::cost::CostTile;
use crate::error::Error;
use crate::geometry::{FeatureTensors, Supports};
use crate::pricing::{DevicePricer, shifts};
use crate::report::Phase;
use rayon::prelude::*;

/// What refinement asks of a device that has the points of a problem. After a failure, which it keeps, a device does nothing more.
pub(crate) trait OnDevice: DevicePricer {
    /// Solves some blocks of x indices, as [`BlockSolver::solve`] does; `None` for those left out because of a stop or a failure.
    fn solve_blocks(
        &self,
        solver: &BlockSolver<'_>,
        pairing: &Pairing,
        blocks: &[&[u32]],
        warm: bool,
    ) -> Vec<Option<SolvedBlock>>;

    /// The features for the splits, where they are on the device, and the bytes that a batch may take there.
    fn features(&self) -> Option<(&FeatureTensors, u64)>;

    /// The coordinates among the features times a matrix, `(coordinates, width)`: x `(n, width)` and y `(m, width)`. `None` where the features
    /// are on the host, or after a failure.
    fn project(&self, matrix: &[f32], width: usize) -> Option<[Vec<f32>; 2]>;

    /// The first failure, if there was one.
    fn take_failure(&self) -> Option<Error>;
}

/// Where one pair in so many has no x point, a block is solved faster from nothing, by its x points alone, than from earlier prices.
const STAND_INS_AT_LEAST: usize = 8;
/// Smaller blocks are soon solved in any case, and see so little of the whole that earlier prices are worth more.
const PAIRS_AT_LEAST: usize = 128;
/// A block of fewer pairs is done within a fraction of a second.
const PAIRS_TO_ASK: usize = 2048;

/// What solving one block found, for each of its pairs.
pub(crate) struct SolvedBlock {
    pub(crate) pairs: Vec<SolvedPair>,
    /// Change of the block's total cost, at most 0.
    pub(crate) change: f64,
}

pub(crate) struct SolvedPair {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) g: f64,
    /// For a stand-in, the real x point that comes closest to taking its y.
    pub(crate) shadow: Option<u32>,
}

/// What a round over all blocks found; not in force until applied.
pub(crate) struct SolvedBlocks {
    /// `None` where the observer asked to stop first.
    blocks: Vec<Option<SolvedBlock>>,
}

/// Re-pairs the points of blocks in one phase, on the host or a device.
#[derive(Clone, Copy)]
pub(crate) struct BlockSolver<'a> {
    pub(crate) supports: Supports<'a>,
    pub(crate) device: Option<&'a dyn OnDevice>,
    pub(crate) control: Control<'a>,
    pub(crate) phase: Phase,
}

impl BlockSolver<'_> {
    /// Re-pairs the x points of each block among the block's own partners, exactly, and finds their prices. `order` lists x indices,
    /// block b being `order[offsets[b]..offsets[b + 1]]`. With `warm`, the present prices are the start and the present pairing is
    /// kept where it is optimal. Blocks are independent and run in parallel; stops early when asked to.
    pub(crate) fn solve(&self, pairing: &Pairing, order: &[u32], offsets: &[usize], warm: bool) -> SolvedBlocks {
        let Self { supports, device, control, phase } = *self;
        let blocks: Vec<&[u32]> = offsets.windows(2).map(|w| &order[w[0]..w[1]]).collect();
        // A single block is a problem that is solved exactly, and no work for a device.
        if let Some(device) = device.filter(|_| blocks.len() > 1) {
            return SolvedBlocks { blocks: device.solve_blocks(self, pairing, &blocks, warm) };
        }
        let blocks = blocks
            .par_iter()
            .map_init(Workspace::default, |workspace, &x| {
                if control.should_stop() {
                    return None;
                }
                let solved = workspace.solve_until(supports, pairing, x, warm, &|| control.should_stop())?;
                control.advance(phase, x.len() as u64);
                Some(solved)
            })
            .collect();
        SolvedBlocks { blocks }
    }
}

impl SolvedBlocks {
    /// Whether every block was solved.
    pub(crate) fn complete(&self) -> bool {
        self.blocks.iter().all(Option::is_some)
    }

    /// The change of the total cost, at most 0.
    pub(crate) fn change(&self) -> f64 {
        self.blocks.iter().flatten().map(|solved| solved.change).fold(0.0, |sum, change| sum + change)
    }

    /// Puts the blocks that were solved into force; returns the change of the total cost, at most 0.
    pub(crate) fn apply(self, pairing: &mut Pairing, num_x: usize) -> f64 {
        let change = self.change();
        // Where blocks of the round before stay, ours must not be taken for theirs.
        let first = if self.complete() { 0 } else { pairing.block.iter().max().map_or(0, |last| last + 1) };
        for (block, solved) in (first..).zip(self.blocks) {
            let Some(solved) = solved else { continue };
            for SolvedPair { x, y, g, shadow } in solved.pairs {
                pairing.y_of_x[x as usize] = y;
                pairing.g[y as usize] = g;
                pairing.block[y as usize] = block;
                if let Some(shadow) = shadow {
                    pairing.shadow[x as usize - num_x] = shadow;
                }
            }
        }
        change
    }
}

/// The pairs of a block, sorted by the block of their last solve.
struct SortedBlock {
    x: Vec<u32>,
    y: Vec<u32>,
    /// Where pairs of one earlier block begin, and the end.
    parts: Vec<usize>,
}

impl SortedBlock {
    fn new(pairing: &Pairing, x: &[u32]) -> Self {
        let partner = |i: u32| pairing.y_of_x[i as usize];
        let part = |i: u32| pairing.block[partner(i) as usize];
        let mut x = x.to_vec();
        x.sort_by_key(|&i| part(i));
        let y: Vec<u32> = x.iter().map(|&i| partner(i)).collect();
        let mut parts: Vec<usize> = (0..x.len()).filter(|&k| k == 0 || part(x[k]) != part(x[k - 1])).collect();
        parts.push(x.len());
        Self { x, y, parts }
    }
}

/// Memory that one thread uses again for each block.
#[derive(Default)]
pub(crate) struct Workspace {
    /// The block's points, `(s, d)` each.
    x: Vec<f32>,
    y: Vec<f32>,
    tile: CostTile,
    single: Precision<f32>,
    double: Precision<f64>,
}

impl Workspace {
    /// As [`Self::solve_until`], whatever happens.
    pub(crate) fn solve(&mut self, supports: Supports<'_>, pairing: &Pairing, x: &[u32], warm: bool) -> SolvedBlock {
        self.solve_until(supports, pairing, x, warm, &|| false).expect("nobody stops it")
    }

    /// Re-pairs the x points of a block; `None` once `stop` says so, which blocks that are soon done do not ask.
    pub(crate) fn solve_until(
        &mut self,
        supports: Supports<'_>,
        pairing: &Pairing,
        x: &[u32],
        warm: bool,
        stop: &dyn Fn() -> bool,
    ) -> Option<SolvedBlock> {
        let stop = || x.len() >= PAIRS_TO_ASK && stop();
        let SortedBlock { x, y, parts } = SortedBlock::new(pairing, x);
        let d = supports.dimension();
        self.x.resize(x.len() * d, 0.0);
        self.y.resize(y.len() * d, 0.0);
        for (out, &i) in self.x.chunks_exact_mut(d).zip(&x).filter(|(_, i)| supports.is_point(**i)) {
            supports.x.copy_row(i as usize, out);
        }
        for (out, &j) in self.y.chunks_exact_mut(d).zip(&y) {
            supports.y.copy_row(j as usize, out);
        }
        self.tile.compute(
            supports.cost,
            d,
            x.iter().zip(self.x.chunks_exact(d)).map(|(&i, row)| supports.is_point(i).then_some(row)),
            self.y.chunks_exact(d),
        );
        if supports.restrictions.is_some() {
            let (x_rows, y_rows) = (&self.x, &self.y);
            let own = |k: usize| supports.cost.between(&x_rows[k * d..][..d], &y_rows[k * d..][..d]);
            self.tile.restrict(
                |k| supports.is_point(x[k]).then(|| own(k)),
                |i, j, cost| supports.restricted(x[i], y[j], cost),
            );
        }
        let terms = self.tile.column_terms();
        let old_g: Vec<f64> = y.iter().zip(terms).map(|(&j, term)| pairing.g[j as usize] - term).collect();
        let old_mean = mean(&old_g);
        let start: Vec<f64> = old_g.iter().map(|g| g - old_mean).collect();
        let real: Vec<u32> = (0..x.len() as u32).filter(|&row| supports.is_point(x[row as usize])).collect();
        let many_stand_ins = x.len() - real.len() >= x.len().div_ceil(STAND_INS_AT_LEAST);
        let start = match () {
            () if many_stand_ins && x.len() >= PAIRS_AT_LEAST => Start::Unmatched(&real),
            () if warm => Start::Warm(start, &parts),
            () => Start::Cold,
        };
        let (mut columns, mut g) = if self.tile.fits_f32() {
            self.single.assign(&self.tile, start, &stop)?
        } else {
            self.double.assign(&self.tile, start, &stop)?
        };
        let mut change = self.tile.change(&columns);
        if change > 0.0 {
            // The rounding of the solve chose between candidates that it cannot tell apart: keep what there is.
            change = 0.0;
            columns = (0..x.len() as u32).collect();
        }
        // Prices are defined up to a constant; keeping the mean keeps neighbouring blocks close to each other.
        let shift = old_mean - mean(&g);
        g.iter_mut().for_each(|g| *g += shift);
        let pairs = x.iter().zip(&columns).map(|(&x_index, &column)| {
            let column = column as usize;
            let shadow = (!supports.is_point(x_index)).then(|| self.shadow(supports, &x, &columns, &g, column));
            SolvedPair {
                x: x_index,
                y: y[column],
                g: g[column] + self.tile.column_terms()[column],
                shadow: shadow.flatten(),
            }
        });
        Some(SolvedBlock { pairs: pairs.collect(), change })
    }

    /// The real x point of the block that has the least reduced cost with `column`.
    fn shadow(&self, supports: Supports<'_>, x: &[u32], columns: &[u32], g: &[f64], column: usize) -> Option<u32> {
        let slack = |row: usize| {
            let own = columns[row] as usize;
            self.tile.at(row, column) - self.tile.at(row, own) + g[own]
        };
        let real = (0..x.len()).filter(|&row| supports.is_point(x[row]));
        real.map(|row| (slack(row), x[row])).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, x)| x)
    }
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The assignment of a tile rounded to one floating type.
#[derive(Default)]
struct Precision<T> {
    matrix: CostMatrix<T>,
    solver: AssignmentSolver<T>,
}

/// What the assignment of a block starts from.
enum Start<'a> {
    Cold,
    /// Prices, and where the pairs of one earlier block begin.
    Warm(Vec<f64>, &'a [usize]),
    /// All y points unmatched, and so all of one price, which those that stay so keep: only the real x points, these rows, seek partners.
    Unmatched(&'a [u32]),
}

impl<T: Scalar> Precision<T> {
    /// The column of each row and the column potentials; `None` once `stop` says so.
    fn assign(&mut self, tile: &CostTile, start: Start<'_>, stop: &dyn Fn() -> bool) -> Option<(Vec<u32>, Vec<f64>)> {
        if stop() {
            return None;
        }
        self.matrix.fill_from(tile);
        let solution = match start {
            Start::Cold => self.solver.solve_until(&self.matrix, stop)?,
            Start::Warm(mut g, parts) => {
                align_parts(tile, &mut g, parts);
                // Prices of an optimal solution differ by no more than costs do; what is further apart is left over from
                // another block's outlier, and would cost the others their digits.
                let extent = 2.0 * tile.extent();
                g.iter_mut().for_each(|g| *g = g.clamp(-extent, extent));
                self.solver.solve_warm(&self.matrix, g.iter().map(|&g| T::from_f64(g)))
            }
            Start::Unmatched(rows) => {
                let g = tile.column_terms().iter().map(|&term| T::from_f64(-term));
                self.solver.solve_rows_until(&self.matrix, g, rows.iter().copied(), stop)?
            }
        };
        Some((solution.column_of_row.to_vec(), solution.g.iter().map(|g| g.to_f64()).collect()))
    }
}

/// More parts than this are left alone: the constraints between them would take more memory than a large block.
const MAX_PARTS: usize = 256;
/// Shifts the prices of each part by a constant such that, where possible, the present pairing is optimal across parts.
///
/// Part b may rise against part a by `w_ab`, the least reduced cost of an x of a with a y of b. O(s² + parts³). Measured at 2^20 points
/// in the plane: sweeps take a fifth of the time.
fn align_parts(tile: &CostTile, g: &mut [f64], parts: &[usize]) {
    let count = parts.len() - 1;
    if !(2..=MAX_PARTS).contains(&count) {
        return;
    }
    let mut slack = vec![f64::INFINITY; count * count];
    for a in 0..count {
        for (i, own) in (parts[a]..).zip(&g[parts[a]..parts[a + 1]]) {
            for b in 0..count {
                let least = tile.least_reduced_cost(i, g, parts[b]..parts[b + 1]);
                // The diagonal of the tile is zero, so f_i = -g_i.
                slack[a * count + b] = slack[a * count + b].min(least + own);
            }
        }
    }
    for (part, shift) in shifts(&slack, count).into_iter().enumerate() {
        g[parts[part]..parts[part + 1]].iter_mut().for_each(|g| *g += shift);
    }
}
