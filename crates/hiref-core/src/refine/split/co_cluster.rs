//! Low-rank optimal transport of a batch of blocks: soft co-clusters by mirror descent, then exact sizes.

use crate::math::assign_to_capacities;
use crate::ops::mirror_step;
use crate::refine::partition::child_sizes;
use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

/// Mirror-descent iterations; both factors move in each.
const ITERATIONS: usize = 12;
/// First and last step, in units of the largest gain: soft at first, near a hard assignment at the end.
const STEPS: (f64, f64) = (2.0, 8.0);
/// Alternations of exact assignment after the soft phase.
const HARD_ALTERNATIONS: usize = 2;
/// The step that turns gains into all but hard assignments while the projection finds their prices.
const HARD_STEP: f64 = 200.0;

/// Cluster labels of both sides, each `(B, s)`.
pub(crate) struct CoClusters {
    pub(crate) x: Vec<Vec<u32>>,
    pub(crate) y: Vec<Vec<u32>>,
}

/// Co-clusters each block of a batch into `rank` clusters of equal size (to within one).
///
/// Maximises `Σ_k <Σ_i q_ki x_i, Σ_j r_kj y_j>` over `Q, R` in the transport polytopes with uniform marginals: low-rank
/// optimal transport with uniform inner marginal for the cost `-<x, y>`. Mirror descent: each factor is multiplied by
/// `exp(step · gain)` and projected back, in turn. Shapes: `x`, `y` `(B, s, k)`, each block centred; `seeds` `(B, rank)`,
/// rows of y whose points start the clusters. O(B s k r) an iteration.
///
/// References: \[H25\] Algorithm 1; \[S21\] for the mirror descent, from which we differ by the fixed inner marginal, by
/// updating the factors in turn, and by the projection's Newton solver.
pub(crate) fn co_cluster(x: &Tensor, y: &Tensor, rank: usize, seeds: &Tensor) -> Result<CoClusters> {
    let (batch, size, _) = x.dims3()?;
    let (x_columns, y_columns) = (x.transpose(1, 2)?, y.transpose(1, 2)?);
    let zeros = Tensor::zeros((batch, rank, size), DType::F32, x.device())?;
    let mut gain = seeds.matmul(&x_columns)?;
    let (mut log_q, mut log_r) = (zeros.clone(), zeros.clone());
    for iteration in 0..ITERATIONS {
        let progress = iteration as f64 / (ITERATIONS - 1) as f64;
        let step = STEPS.0 * (STEPS.1 / STEPS.0).powf(progress);
        let stepped = mirror_step(&log_q, &gain, step)?; // (2, B, r, s)
        log_q = stepped.get(0)?;
        gain = stepped.get(1)?.matmul(x)?.matmul(&y_columns)?; // (B, r, s)
        let stepped = mirror_step(&log_r, &gain, step)?;
        log_r = stepped.get(0)?;
        gain = stepped.get(1)?.matmul(y)?.matmul(&x_columns)?;
    }
    let capacities = child_sizes(size, rank);
    let mut labels_x = labels(&log_q, &capacities)?;
    let mut labels_y = labels(&log_r, &capacities)?;
    for _ in 0..HARD_ALTERNATIONS {
        let gain = indicator(&labels_x, rank, x)?.matmul(x)?.matmul(&y_columns)?;
        labels_y = labels(&mirror_step(&zeros, &gain, HARD_STEP)?.get(0)?, &capacities)?;
        let gain = indicator(&labels_y, rank, y)?.matmul(y)?.matmul(&x_columns)?;
        labels_x = labels(&mirror_step(&zeros, &gain, HARD_STEP)?.get(0)?, &capacities)?;
    }
    Ok(CoClusters { x: labels_x, y: labels_y })
}

/// The best labels of exact sizes for each block under `scores`, `(B, r, s)`.
fn labels(scores: &Tensor, capacities: &[usize]) -> Result<Vec<Vec<u32>>> {
    let (_, rank, size) = scores.dims3()?;
    let scores = scores.flatten_all()?.to_vec1::<f32>()?;
    Ok(scores.par_chunks_exact(rank * size).map(|block| assign_to_capacities(block, capacities)).collect())
}

/// The hard factor of some labels, `(B, r, s)`, on the device of `like`.
fn indicator(labels: &[Vec<u32>], rank: usize, like: &Tensor) -> Result<Tensor> {
    let size = labels.first().map_or(0, Vec::len);
    let mut values = vec![0.0_f32; labels.len() * rank * size];
    for (block, labels) in values.chunks_exact_mut((rank * size).max(1)).zip(labels) {
        for (i, &label) in labels.iter().enumerate() {
            block[label as usize * size + i] = 1.0;
        }
    }
    Tensor::from_vec(values, (labels.len(), rank, size), like.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use candle_core::Device;
    use rand::Rng;

    /// Two sides made of the same well-separated groups: the groups are the co-clusters.
    #[test]
    fn finds_planted_groups() -> Result<()> {
        let (rank, size, k) = (3, 60, 4);
        let mut rng = stream(6, &[]);
        let mut side = |offset: usize| -> Vec<f32> {
            (0..size)
                .flat_map(|i| {
                    let group = (i + offset) % rank;
                    (0..k).map(move |c| if c == group { 10.0 } else { 0.0 })
                })
                .map(|centre: f32| centre + rng.random_range(-0.5..0.5))
                .collect()
        };
        let centred = |values: Vec<f32>| {
            let points = Tensor::from_vec(values, (1, size, k), &Device::Cpu)?;
            points.broadcast_sub(&points.mean_keepdim(1)?)
        };
        let (x, y) = (centred(side(0))?, centred(side(1))?);
        let found = co_cluster(&x, &y, rank, &y.narrow(1, 0, rank)?)?;
        for i in 0..size {
            for j in 0..size {
                let same_group = i % rank == (j + 1) % rank;
                assert_eq!(found.x[0][i] == found.y[0][j], same_group, "points {i} and {j}");
            }
        }
        Ok(())
    }
}
