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
        Self { y_of_x, g: vec![0.0; len], shadow: vec![UNMATCHED; len - num_x] }
    }

    /// The pairs of the real x points.
    pub(crate) fn to_permutation(&self, num_x: usize) -> Permutation {
        Permutation::of_distinct(self.y_of_x[..num_x].to_vec(), self.y_of_x.len())
    }
}

/// What solving one block found.
struct Solved {
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
    for (x, solved) in blocks.into_iter().zip(solved) {
        let Some(solved) = solved else { continue };
        change += solved.change;
        let mut shadows = solved.shadow.into_iter();
        for ((&i, j), g) in x.iter().zip(solved.y_of_x).zip(solved.g) {
            pairing.y_of_x[i as usize] = j;
            pairing.g[j as usize] = g;
            if i as usize >= n {
                if let Some(shadow) = shadows.next() {
                    pairing.shadow[i as usize - n] = shadow;
                }
            }
        }
    }
    change
}

#[derive(Default)]
struct Workspace {
    tile: CostTile,
    matrix_f32: CostMatrix<f32>,
    matrix_f64: CostMatrix<f64>,
    solver_f32: AssignmentSolver<f32>,
    solver_f64: AssignmentSolver<f64>,
}

impl Workspace {
    fn solve(&mut self, supports: Supports<'_>, pairing: &Pairing, x: &[u32], warm: bool) -> Solved {
        let y: Vec<u32> = x.iter().map(|&i| pairing.y_of_x[i as usize]).collect();
        self.tile.compute(
            supports.cost,
            supports.dimension,
            x.iter().map(|&i| supports.x_row(i)),
            y.iter().map(|&j| supports.y_row(j)),
        );
        if self.tile.fits_f32() {
            self.tile.write(&mut self.matrix_f32);
            assign(&mut self.solver_f32, &self.matrix_f32, supports, pairing, x, &y, warm)
        } else {
            self.tile.write(&mut self.matrix_f64);
            assign(&mut self.solver_f64, &self.matrix_f64, supports, pairing, x, &y, warm)
        }
    }
}

fn assign<T: Scalar>(
    solver: &mut AssignmentSolver<T>,
    matrix: &CostMatrix<T>,
    supports: Supports<'_>,
    pairing: &Pairing,
    x: &[u32],
    y: &[u32],
    warm: bool,
) -> Solved {
    let old_g = || y.iter().map(|&j| pairing.g[j as usize]);
    // Prices are defined up to a constant; the block's mean is removed before rounding and put back after.
    let mean = old_g().sum::<f64>() / y.len() as f64;
    let solution = if warm {
        solver.solve_warm(matrix, old_g().map(|g| T::from_f64(g - mean)))
    } else {
        solver.solve(matrix)
    };
    let columns = solution.column_of_row;
    let new_mean = solution.g.iter().map(|g| g.to_f64()).sum::<f64>() / y.len() as f64;
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
    Solved {
        y_of_x: columns.iter().map(|&column| y[column as usize]).collect(),
        g: columns.iter().map(|&column| solution.g[column as usize].to_f64() - new_mean + mean).collect(),
        shadow,
        change,
    }
}
