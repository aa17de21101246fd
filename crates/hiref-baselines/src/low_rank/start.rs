//! Where the descent starts: co-clusters around spread-out points of y.

use super::cost::CostOperator;
use super::projection::{Factor, center_rows, step_size};
use crate::iterations::Stop;
use candle_core::{Device, Tensor};
use hiref_core::rng::stream;
use hiref_core::{CostKind, Error, Marginals, Problem};
use rand::Rng;
use rayon::prelude::*;

/// The step that turns costs into first factors.
const STEP: f64 = 5.0;
/// How far the first column sums may be from equal.
const TOLERANCE: f64 = 1e-3;

/// Factors of both sides with inner marginals near uniform.
///
/// `rank` points of y far from each other (\[AV07\]) make the first factor of x, `exp(-step c(x_i, y_k))` projected; what
/// it sends each y point's neighbours to makes that of y.
pub(super) fn factors(
    problem: &Problem<'_>,
    operator: &CostOperator,
    marginals: &Marginals,
    rank: usize,
    seed: u64,
    stop: Stop<'_>,
) -> Result<(Factor, Factor), Error> {
    let m = problem.y().num_points();
    let mut indicator = vec![0.0; m * rank];
    for (k, j) in spread_points(problem, rank, seed).into_iter().enumerate() {
        indicator[j * rank + k] = 1.0;
    }
    let uniform = vec![1.0 / rank as f64; rank];
    let first = |marginal: &[f64], gradient: Tensor| -> Result<Factor, Error> {
        let mut gradient = gradient.flatten_all()?.to_vec1::<f64>()?;
        let largest = center_rows(&mut gradient, rank);
        let mut factor = Factor::constant(marginal.to_vec(), rank);
        factor.step(&gradient, step_size(STEP, largest));
        factor.project(&uniform, 1.0, (TOLERANCE, 200), stop);
        Ok(factor)
    };
    let q = first(marginals.a(), operator.times(&Tensor::from_vec(indicator, (m, rank), &Device::Cpu)?, stop)?)?;
    let r = first(marginals.b(), operator.transposed_times(&q.tensor()?, stop)?)?;
    Ok((q, r))
}

/// Indices of y points, each drawn with probability in proportion to its squared distance from those before.
fn spread_points(problem: &Problem<'_>, count: usize, seed: u64) -> Vec<usize> {
    const CHUNK: usize = 4096;
    let d = problem.y().dimension();
    let rows = problem.y().rows();
    let rows = rows.view();
    let m = problem.y().num_points();
    let mut rng = stream(seed, &[]);
    let mut chosen = vec![rng.random_range(0..m)];
    let mut distances = vec![f64::INFINITY; m];
    let unit = problem.cost() == CostKind::Cosine;
    while chosen.len() < count {
        let newest = rows.row(chosen[chosen.len() - 1]);
        distances.par_chunks_mut(CHUNK).zip(rows.chunks(CHUNK)).for_each(|(nearest, rows)| {
            let kind = if unit { CostKind::Cosine } else { CostKind::SquaredEuclidean };
            for (nearest, row) in nearest.iter_mut().zip(rows.chunks_exact(d)) {
                *nearest = nearest.min(kind.between(row, &newest).max(0.0));
            }
        });
        for &taken in &chosen {
            distances[taken] = 0.0;
        }
        let sums: Vec<f64> = distances.par_chunks(CHUNK).map(|chunk| chunk.iter().sum()).collect();
        let mut left = rng.random::<f64>() * sums.iter().sum::<f64>();
        let chunk = sums
            .iter()
            .position(|sum| {
                let here = left < *sum;
                left -= if here { 0.0 } else { *sum };
                here
            })
            .unwrap_or(0);
        let next = distances[chunk * CHUNK..].iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // Points that coincide with those chosen are taken only when nothing else is left.
        let next = next.map(|offset| chunk * CHUNK + offset).filter(|index| distances[*index] > 0.0);
        let next = next.or_else(|| distances.iter().position(|&distance| distance > 0.0));
        chosen.push(next.or_else(|| (0..m).find(|index| !chosen.contains(index))).unwrap_or(0));
    }
    chosen
}
