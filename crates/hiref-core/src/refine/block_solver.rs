//! Exact assignment inside many blocks at once: the leaves, and every polish sweep.

use super::partition::Partition;
use crate::cost::{CostKind, CostTile};
use crate::coupling::{Permutation, UNMATCHED};
use crate::progress::{Event, Observer, Phase};
use crate::solver::assignment::{AssignmentSolver, CostMatrix, Scalar};
use rayon::prelude::*;

/// The points of a problem with n <= m, as the exact solves see them; x indices from n on stand for "no partner".
#[derive(Clone, Copy)]
pub(crate) struct Supports<'a> {
    /// `(n, d)`
    pub(crate) x: &'a [f32],
    /// `(m, d)`
    pub(crate) y: &'a [f32],
    pub(crate) dimension: usize,
    pub(crate) cost: CostKind,
}

impl<'a> Supports<'a> {
    pub(crate) fn num_x(&self) -> usize {
        self.x.len() / self.dimension
    }

    pub(crate) fn num_y(&self) -> usize {
        self.y.len() / self.dimension
    }

    fn x_row(&self, i: u32) -> Option<&'a [f32]> {
        self.x.get(i as usize * self.dimension..).and_then(|rest| rest.get(..self.dimension))
    }

    fn y_row(&self, j: u32) -> &'a [f32] {
        &self.y[j as usize * self.dimension..][..self.dimension]
    }
}

/// A pairing of all y points with x points and stand-ins, with prices.
#[derive(Debug, Clone)]
pub(crate) struct Pairing {
    /// `(m,)`: the y partner of each x index, stand-ins included.
    pub(crate) y_of_x: Vec<u32>,
    /// `(m,)`: the price of each y point, as left by the last exact solve that it was part of.
    pub(crate) g: Vec<f64>,
    /// `(m,)`: the block of that solve; prices of one block are consistent, those of different blocks differ by a constant.
    pub(crate) block: Vec<u32>,
    /// `(m - n,)`: for each stand-in, the real x point that came closest to its y partner; where it is looked for.
    pub(crate) shadow: Vec<u32>,
}

impl Pairing {
    /// Pairs the points of each block of a partition in the order they stand in.
    pub(crate) fn from_partition(partition: &Partition, num_x: usize) -> Self {
        let mut y_of_x = vec![0; partition.y_order.len()];
        for (&x, &y) in partition.x_order.iter().zip(&partition.y_order) {
            y_of_x[x as usize] = y;
        }
        Self::new(y_of_x, num_x)
    }

    /// Takes a finished pairing with n <= m; its unmatched y points go to the stand-ins.
    pub(crate) fn from_permutation(permutation: &Permutation) -> Self {
        let unmatched = permutation.x_of_y().into_iter().enumerate().filter(|&(_, x)| x == UNMATCHED);
        let mut y_of_x = permutation.y_of_x().to_vec();
        y_of_x.extend(unmatched.map(|(y, _)| y as u32));
        Self::new(y_of_x, permutation.num_x())
    }

    fn new(y_of_x: Vec<u32>, num_x: usize) -> Self {
        let len = y_of_x.len();
        Self { y_of_x, g: vec![0.0; len], block: vec![0; len], shadow: vec![UNMATCHED; len - num_x] }
    }

    /// The pairs of the real x points.
    pub(crate) fn to_permutation(&self, num_x: usize) -> Permutation {
        Permutation::of_distinct(self.y_of_x[..num_x].to_vec(), self.y_of_x.len())
    }
}

/// What solving one block found.
struct Solved {
    x: Vec<u32>,
    y_of_x: Vec<u32>,
    g: Vec<f64>,
    shadow: Vec<u32>,
    /// Change of the block's total cost, at most 0.
    change: f64,
}

/// Re-pairs the x points of each block among the block's own partners, exactly, and updates prices. `order` lists x indices, block b
/// being `order[offsets[b]..offsets[b + 1]]`. With `warm`, the present prices are the start and the present pairing is kept where
/// it is optimal. Returns the change of the total cost, at most 0. Blocks are independent and run in parallel; stops early, with
/// the blocks done so far applied, when the observer asks.
pub(crate) fn solve_blocks(
    supports: Supports<'_>,
    pairing: &mut Pairing,
    order: &[u32],
    offsets: &[usize],
    warm: bool,
    phase: Phase,
    observer: &dyn Observer,
) -> f64 {
    let blocks: Vec<&[u32]> = offsets.windows(2).map(|w| &order[w[0]..w[1]]).collect();
    let present = &*pairing;
    let solved: Vec<Option<Solved>> = blocks
        .par_iter()
        .map_init(Workspace::default, |workspace, &x| {
            if observer.should_stop() {
                return None;
            }
            let solved = workspace.solve(supports, present, x, warm);
            observer.on_event(&Event::Advanced { phase, work: x.len() as u64 });
            Some(solved)
        })
        .collect();
    let n = supports.num_x();
    let mut change = 0.0;
    for (block, solved) in solved.into_iter().enumerate() {
        let Some(solved) = solved else { continue };
        change += solved.change;
        let mut shadows = solved.shadow.into_iter();
        for ((&i, j), g) in solved.x.iter().zip(solved.y_of_x).zip(solved.g) {
            pairing.y_of_x[i as usize] = j;
            pairing.g[j as usize] = g;
            pairing.block[j as usize] = block as u32;
            if i as usize >= n
                && let Some(shadow) = shadows.next()
            {
                pairing.shadow[i as usize - n] = shadow;
            }
        }
    }
    change
}

#[derive(Default)]
struct Workspace {
    tile: CostTile,
    single: Precision<f32>,
    double: Precision<f64>,
}

#[derive(Default)]
struct Precision<T> {
    matrix: CostMatrix<T>,
    solver: AssignmentSolver<T>,
}

impl Workspace {
    fn solve(&mut self, supports: Supports<'_>, pairing: &Pairing, x: &[u32], warm: bool) -> Solved {
        let mut block = Block::new(pairing, x);
        self.tile.compute(
            supports.cost,
            supports.dimension,
            block.x.iter().map(|&i| supports.x_row(i)),
            block.y.iter().map(|&j| supports.y_row(j)),
        );
        for (g, term) in block.g.iter_mut().zip(self.tile.column_terms()) {
            *g -= term;
        }
        let mut solved = if self.tile.fits_f32() {
            self.tile.write(&mut self.single.matrix);
            self.single.assign(supports, pairing, block, warm)
        } else {
            self.tile.write(&mut self.double.matrix);
            self.double.assign(supports, pairing, block, warm)
        };
        for (g, term) in solved.g.iter_mut().zip(self.tile.column_terms()) {
            *g += term;
        }
        solved
    }
}

/// The pairs of a block, sorted by the block of their last solve.
struct Block {
    x: Vec<u32>,
    y: Vec<u32>,
    /// Prices of the y points, `(s,)`.
    g: Vec<f64>,
    /// Where pairs of one earlier block begin, and the end.
    parts: Vec<usize>,
}

impl Block {
    fn new(pairing: &Pairing, x: &[u32]) -> Self {
        let partner = |i: u32| pairing.y_of_x[i as usize];
        let part = |i: u32| pairing.block[partner(i) as usize];
        let mut x = x.to_vec();
        x.sort_by_key(|&i| part(i));
        let y: Vec<u32> = x.iter().map(|&i| partner(i)).collect();
        let g = y.iter().map(|&j| pairing.g[j as usize]).collect();
        let mut parts: Vec<usize> = (0..x.len()).filter(|&k| k == 0 || part(x[k]) != part(x[k - 1])).collect();
        parts.push(x.len());
        Self { x, y, g, parts }
    }
}

impl<T: Scalar> Precision<T> {
    fn assign(&mut self, supports: Supports<'_>, pairing: &Pairing, block: Block, warm: bool) -> Solved {
        let Block { x, y, mut g, parts } = block;
        let mean = |g: &mut dyn Iterator<Item = f64>| g.sum::<f64>() / y.len() as f64;
        let old_mean = mean(&mut g.iter().copied());
        g.iter_mut().for_each(|g| *g -= old_mean);
        let matrix = &self.matrix;
        let solution = if warm {
            align_parts(matrix, &mut g, &parts);
            self.solver.solve_warm(matrix, g.iter().map(|&g| T::from_f64(g)))
        } else {
            self.solver.solve(matrix)
        };
        let columns = solution.column_of_row;
        // Prices are defined up to a constant; keeping the mean keeps neighbouring blocks close to each other.
        let shift = old_mean - mean(&mut solution.g.iter().map(|g| g.to_f64()));
        let n = supports.num_x() as u32;
        let mut change = 0.0;
        let mut shadow = Vec::new();
        for (row, (&i, &column)) in x.iter().zip(columns).enumerate() {
            change += matrix.at(row, column as usize).to_f64();
            if i >= n {
                let closest = (0..x.len())
                    .filter(|&other| x[other] < n)
                    .map(|other| {
                        let own = columns[other] as usize;
                        let slack = matrix.at(other, column as usize).to_f64() - matrix.at(other, own).to_f64()
                            + solution.g[own].to_f64();
                        (slack, x[other])
                    })
                    .min_by(|a, b| a.0.total_cmp(&b.0));
                shadow.push(closest.map_or(pairing.shadow[(i - n) as usize], |(_, x)| x));
            }
        }
        // Prices stay in the order of the tile's columns; partners are listed in the same order.
        let mut row_of_column = vec![0_u32; y.len()];
        for (row, &column) in columns.iter().enumerate() {
            row_of_column[column as usize] = row as u32;
        }
        Solved {
            g: solution.g.iter().map(|g| g.to_f64() + shift).collect(),
            x: row_of_column.iter().map(|&row| x[row as usize]).collect(),
            y_of_x: y,
            shadow,
            change,
        }
    }
}

/// More parts than this are left alone: their constants have been averaged over so many blocks that they agree.
const MAX_PARTS: usize = 32;

/// Shifts the prices of each part by a constant such that, where possible, the present pairing is optimal across parts.
///
/// Part b may rise against part a by `w_ab`, the least reduced cost of an x of a with a y of b. The shifts are the mean of the
/// two extreme solutions of those difference constraints (shortest paths into and out of the first part). O(s²) and O(parts³).
fn align_parts<T: Scalar>(matrix: &CostMatrix<T>, g: &mut [f64], parts: &[usize]) {
    let count = parts.len() - 1;
    if !(2..=MAX_PARTS).contains(&count) {
        return;
    }
    let mut slack = vec![f64::INFINITY; count * count];
    let rounded: Vec<T> = g.iter().map(|&g| T::from_f64(g)).collect();
    for a in 0..count {
        for (i, own) in (parts[a]..).zip(&g[parts[a]..parts[a + 1]]) {
            for b in 0..count {
                let least = matrix.least_reduced_cost(i, &rounded, parts[b]..parts[b + 1]);
                // The diagonal of the tile is zero, so f_i = -g_i.
                slack[a * count + b] = slack[a * count + b].min(least.to_f64() + own);
            }
        }
    }
    let shortest = |edge: &dyn Fn(usize, usize) -> f64| {
        let mut distance = vec![f64::INFINITY; count];
        distance[0] = 0.0;
        for _ in 1..count {
            for a in 0..count {
                for b in 1..count {
                    distance[b] = distance[b].min(distance[a] + edge(a, b));
                }
            }
        }
        distance
    };
    let upper = shortest(&|a, b| slack[a * count + b]);
    let lower = shortest(&|a, b| slack[b * count + a]);
    for part in 0..count {
        let shift = 0.5 * (upper[part] - lower[part]);
        g[parts[part]..parts[part + 1]].iter_mut().for_each(|g| *g += shift);
    }
}
