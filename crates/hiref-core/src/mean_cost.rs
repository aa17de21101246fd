//! The cost of a coupling, recomputed independently of any solver.

use crate::permutation::Permutation;
use crate::problem::Problem;
use rayon::prelude::*;

/// Mean cost over the pairs of `permutation`, in f64, from the points alone.
///
/// `(1/k) Σ c(x_i, y_π(i))` over the k = min(n, m) pairs. O(k d) time. Summed in fixed chunks, so the bits do not depend
/// on the number of threads.
///
/// # Panics
/// If the permutation's sizes are not those of the problem.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hiref_core::{CostKind, Permutation, Problem, mean_cost};
/// let x = Tensor::new(&[[0f32], [1.0]], &Device::Cpu)?;
/// let y = Tensor::new(&[[3f32], [0.0]], &Device::Cpu)?;
/// let problem = Problem::new(&x, &y, CostKind::SquaredEuclidean)?;
/// assert_eq!(mean_cost(&problem, &Permutation::new(vec![1, 0], 2)?), 2.0);
/// # Ok::<(), hiref_core::Error>(())
/// ```
pub fn mean_cost(problem: &Problem<'_>, permutation: &Permutation) -> f64 {
    const CHUNK: usize = 4096;
    let (n, m) = (problem.x().num_points(), problem.y().num_points());
    assert_eq!((permutation.num_x(), permutation.num_y()), (n, m), "the permutation belongs to another problem");
    let (x, y) = (problem.x().rows(), problem.y().rows());
    let (x, y) = (x.view(), y.view());
    let pairs: Vec<(usize, usize)> = permutation.pairs().collect();
    let partial: Vec<f64> = pairs
        .par_chunks(CHUNK)
        .map(|chunk| {
            let between = |&(i, j): &(usize, usize)| {
                let cost = problem.cost().between(&x.row(i), &y.row(j));
                problem.restrictions().map_or(cost, |limits| limits.apply(i as u32, j as u32, cost))
            };
            chunk.iter().map(between).sum()
        })
        .collect();
    partial.iter().sum::<f64>() / pairs.len() as f64
}
