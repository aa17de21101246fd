//! The pairing that a solve works on.

use super::partition::Partition;
use crate::permutation::{Permutation, UNMATCHED};
use crate::problem::Problem;

/// No price is larger than the largest cost times this: prices along a path of exchanges add up, but hardly ever over more than some pairs.
const PRICE_IN_COSTS: f64 = 1e6;

/// A pairing of all y points with x points and stand-ins, with prices. It is handed on and never copied: it fills much of a solve's memory.
#[derive(Debug)]
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
        Self::priced(y_of_x, vec![0.0; len], num_x)
    }

    /// A pairing with prices that are consistent throughout.
    pub(crate) fn priced(y_of_x: Vec<u32>, g: Vec<f64>, num_x: usize) -> Self {
        let len = y_of_x.len();
        Self { y_of_x, g, block: vec![0; len], shadow: vec![UNMATCHED; len - num_x] }
    }

    /// Whether it can be gone on from, as far as can be seen without computing costs: it may come from a file.
    pub(crate) fn is_sound(&self, problem: &Problem<'_>) -> bool {
        let (n, m) = (problem.x().num_points(), problem.y().num_points());
        self.y_of_x.len() == m
            && is_order(&self.y_of_x)
            && are_prices(&self.g, &self.block, m)
            && self.has_prices_of(problem)
            && self.shadow.len() == m - n
            && self.shadow.iter().all(|&x| x == UNMATCHED || (x as usize) < n)
    }

    /// Whether costs of these points could have led to its prices. In sums with far larger ones the costs would be lost to rounding,
    /// and searches among them need not end.
    pub(crate) fn has_prices_of(&self, problem: &Problem<'_>) -> bool {
        let limit = PRICE_IN_COSTS * problem.largest_cost();
        self.g.iter().all(|g| g.abs() <= limit)
    }

    /// The same pairing, without prices.
    pub(crate) fn without_prices(self, num_x: usize) -> Self {
        Self::new(self.y_of_x, num_x)
    }

    /// A copy to work on, where what it started from must stay.
    pub(crate) fn fork(&self) -> Self {
        let Self { y_of_x, g, block, shadow } = self;
        Self { y_of_x: y_of_x.clone(), g: g.clone(), block: block.clone(), shadow: shadow.clone() }
    }

    /// Whether an earlier solve has left prices.
    pub(crate) fn is_priced(&self) -> bool {
        self.g.iter().any(|&g| g != 0.0)
    }

    /// The same pairs under prices that are consistent throughout.
    pub(crate) fn with_prices(self, g: Vec<f64>) -> Self {
        let block = vec![0; g.len()];
        Self { g, block, ..self }
    }

    /// Whether its prices are consistent throughout: all of one exact solve.
    pub(crate) fn is_consistent(&self) -> bool {
        self.is_priced() && self.block.iter().all(|&block| block == self.block[0])
    }

    /// The pairs of the real x points.
    pub(crate) fn to_permutation(&self, num_x: usize) -> Permutation {
        Permutation::of_distinct(self.y_of_x[..num_x].to_vec(), self.y_of_x.len())
    }
}

/// Whether indices are those of `0..len`, each once.
pub(crate) fn is_order(indices: &[u32]) -> bool {
    let mut seen = vec![false; indices.len()];
    indices.iter().all(|&i| seen.get_mut(i as usize).is_some_and(|seen| !std::mem::replace(seen, true)))
}

/// Whether there is a finite price and a block for each of `len` points.
pub(crate) fn are_prices(g: &[f64], block: &[u32], len: usize) -> bool {
    g.len() == len
        && block.len() == len
        && g.iter().all(|g| g.is_finite())
        && block.iter().all(|&block| (block as usize) < len)
}
