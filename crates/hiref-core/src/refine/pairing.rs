//! The pairing that a solve works on.

use super::partition::Partition;
use crate::permutation::{Permutation, UNMATCHED};

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

    /// Whether an earlier solve has left prices.
    pub(crate) fn is_priced(&self) -> bool {
        self.g.iter().any(|&g| g != 0.0)
    }

    /// The pairs of the real x points.
    pub(crate) fn to_permutation(&self, num_x: usize) -> Permutation {
        Permutation::of_distinct(self.y_of_x[..num_x].to_vec(), self.y_of_x.len())
    }
}
