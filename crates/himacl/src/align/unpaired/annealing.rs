//! A soft matching under a map, the map again from the soft matching, and so on while the matching sharpens.

use crate::align::error::AlignError;
use crate::align::joint::{ReferenceItems, rows};
use crate::align::warm_coupling::announce;
use crate::map::orthogonal_factor;
use candle_core::Tensor;
use faer::Mat;
use hiref_core::math::exp_nonpositive;
use hiref_core::{AlignmentRound, Event, Observer, Phase};
use rayon::prelude::*;

/// Scalings of both sides in a round; prices are carried from round to round, so that few are enough.
const SCALINGS: usize = 5;
/// Scalings where a matching is looked at by itself.
const MORE_SCALINGS: usize = 20;
/// Rows whose contributions to the columns' sums are added up by one thread, whatever the number of threads.
const ROWS: usize = 256;
/// No mass is divided by less.
const LEAST_MASS: f32 = 1e-30;

/// How a matching sharpens. Temperatures are in standard deviations of the scores.
#[derive(Debug, Clone, Copy)]
pub(super) struct Annealing {
    pub(super) rounds: usize,
    pub(super) first_temperature: f64,
    pub(super) last_temperature: f64,
}

impl Annealing {
    /// It falls geometrically.
    fn temperature(&self, round: usize) -> f64 {
        let progress = round as f64 / self.rounds.saturating_sub(1).max(1) as f64;
        self.first_temperature * (self.last_temperature / self.first_temperature).powf(progress)
    }
}

/// The known pairs' cross-covariance and the share of the map that it makes up.
pub(super) struct Known {
    pub(super) covariance: Tensor,
    pub(super) share: f64,
}

/// Both sides, unit rows `(n, k)` and `(m, l)`, and the prices of y items that the last matching left.
struct SoftMatching<'a> {
    x: &'a Tensor,
    y: &'a Tensor,
    y_transposed: Tensor,
    /// In standard deviations of the scores.
    prices: Vec<f32>,
}

impl<'a> SoftMatching<'a> {
    fn new(x: &'a Tensor, y: &'a Tensor) -> candle_core::Result<Self> {
        let y_transposed = y.t()?.contiguous()?;
        Ok(Self { x, y, y_transposed, prices: vec![0.0; y.dim(0)?] })
    }

    /// `xᵀ P y`, `(k, l)`, where `P (n, m)` is the entropic matching of the scores `x map yᵀ`: of mass 1, uniform in both
    /// marginals as far as so many scalings reach.
    fn covariance(&mut self, map: &Tensor, temperature: f64, scalings: usize) -> candle_core::Result<Tensor> {
        let (n, m) = (self.x.dim(0)?, self.y.dim(0)?);
        let mut kernel: Vec<f32> = self.x.matmul(map)?.matmul(&self.y_transposed)?.flatten_all()?.to_vec1()?;
        let scale = standard_deviation(&kernel).max(f64::MIN_POSITIVE) as f32;
        let sharpness = (1.0 / temperature) as f32;
        // Each row by its largest entry, with the prices, so that nothing that matters vanishes.
        kernel.par_chunks_mut(m).for_each(|row| {
            row.iter_mut().zip(&self.prices).for_each(|(score, price)| *score = *score / scale + price);
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|score| *score = exp_nonpositive((*score - largest) * sharpness));
        });
        let (of_x, of_y) = scaled(&kernel, (n, m), scalings);
        for (price, &mass) in self.prices.iter_mut().zip(&of_y) {
            *price += temperature as f32 * (mass * m as f32).max(LEAST_MASS).ln();
        }
        let device = self.x.device();
        let weighted = self.y.broadcast_mul(&Tensor::from_vec(of_y, (m, 1), device)?)?;
        let images = Tensor::from_vec(kernel, (n, m), device)?.matmul(&weighted)?; // (n, l)
        let images = images.broadcast_mul(&Tensor::from_vec(of_x, (n, 1), device)?)?;
        self.x.t()?.contiguous()?.matmul(&images)
    }
}

/// Factors of rows and columns after so many scalings to uniform marginals; the columns' are met exactly.
fn scaled(kernel: &[f32], (n, m): (usize, usize), scalings: usize) -> (Vec<f32>, Vec<f32>) {
    let (row_mass, column_mass) = (1.0 / n as f32, 1.0 / m as f32);
    let (mut of_x, mut of_y) = (vec![0.0f32; n], vec![1.0f32; m]);
    for _ in 0..scalings {
        let columns = &of_y;
        let parts: Vec<Vec<f32>> = kernel
            .par_chunks(ROWS * m)
            .zip(of_x.par_chunks_mut(ROWS))
            .map(|(rows, factors)| {
                let mut sums = vec![0.0f32; m];
                for (row, factor) in rows.chunks(m).zip(factors) {
                    *factor = row_mass / dot(row, columns).max(LEAST_MASS);
                    sums.iter_mut().zip(row).for_each(|(sum, &entry)| *sum += *factor * entry);
                }
                sums
            })
            .collect();
        let mut sums = vec![0.0f32; m];
        parts.iter().for_each(|part| sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value));
        of_y.iter_mut().zip(&sums).for_each(|(factor, &sum)| *factor = column_mass / sum.max(LEAST_MASS));
    }
    (of_x, of_y)
}

/// In sixteen sums side by side, so that it becomes vector code.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (a_parts, b_parts) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a_parts.remainder().iter().zip(b_parts.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_parts.zip(b_parts) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += x * y);
    }
    sums.iter().sum::<f32>() + rest
}

fn standard_deviation(values: &[f32]) -> f64 {
    let sums = |part: &[f32]| {
        part.iter().fold((0.0, 0.0), |(sum, squares), &value| {
            let value = f64::from(value);
            (sum + value, squares + value * value)
        })
    };
    let parts: Vec<(f64, f64)> = values.par_chunks(1 << 16).map(sums).collect();
    let (sum, squares) = parts.iter().fold((0.0, 0.0), |total, part| (total.0 + part.0, total.1 + part.1));
    let count = values.len().max(1) as f64;
    (squares / count - (sum / count).powi(2)).max(0.0).sqrt()
}

/// `map` divided by its Frobenius norm, unless that is zero.
pub(super) fn normalised(map: &Tensor) -> candle_core::Result<Tensor> {
    let norm = f64::from(map.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt();
    if norm > 0.0 { map / norm } else { Ok(map.clone()) }
}

/// Where annealing from `map (k, l)` ends: the cross-covariance of the soft matching, of norm 1.
///
/// Each round matches all of x softly with all of y, by entropic optimal transport of the scores `x map yᵀ`, and takes the
/// cross-covariance of that matching for the next map. A direction of which the matching is not sure is averaged away and
/// weighs little in the next scores; what is sure pulls the rest along. That is expectation maximisation of a linear map,
/// annealed; with hard pairs in the place of the soft matching the same start ends in a local optimum far more often.
///
/// *Complexity*: `rounds` times O(n m (k + l)), and n m numbers in memory.
pub(super) fn anneal(
    (x, y): (&Tensor, &Tensor),
    map: &Tensor,
    annealing: Annealing,
    known: Option<&Known>,
    (stage, observer): (&str, &dyn Observer),
) -> Result<Tensor, AlignError> {
    let rounds = annealing.rounds;
    let items = [x.dim(0)?, y.dim(0)?];
    let dimension = x.dim(1)?;
    let mut matching = SoftMatching::new(x, y)?;
    let mut map = normalised(map)?;
    announce(observer, rounds);
    for round in 0..rounds {
        if observer.should_stop() {
            return Err(AlignError::Interrupted);
        }
        let found = matching.covariance(&map, annealing.temperature(round), SCALINGS)?;
        let matched_score = f64::from((&found * &map)?.sum_all()?.to_scalar::<f32>()?);
        map = with_known(normalised(&found)?, known)?;
        let stage = stage.to_owned();
        let told = AlignmentRound { stage, round: round + 1, rounds, items, dimension, matched_score };
        observer.on_event(&Event::AlignmentRound(told));
        observer.on_event(&Event::Advanced { phase: Phase::Align, work: 1 });
    }
    Ok(map)
}

/// How a map settles on ever new draws.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settling {
    pub(super) annealing: Annealing,
    /// What the map keeps of itself from round to round.
    pub(super) inertia: f64,
    /// Items of a side in a draw, and the first draw's seed.
    pub(super) draws: ReferenceItems,
}

/// Where soft matchings of ever new draws of both sides lead from `map (k, l)`: the mean of the last half of the rounds, of
/// norm 1.
///
/// Each round matches its own items softly and moves the map towards their cross-covariance. The map of [`anneal`] fits what
/// chance made of the items it sees, and matches them better than the true map does; what chance made of one draw is not
/// there in the next.
///
/// *Complexity*: `rounds` times O(i² (k + l)) for draws of i items.
pub(super) fn settle(
    (x, y): (&Tensor, &Tensor),
    map: &Tensor,
    settling: &Settling,
    known: Option<&Known>,
    (stage, observer): (&str, &dyn Observer),
) -> Result<Tensor, AlignError> {
    let &Settling { annealing, inertia, draws } = settling;
    let rounds = annealing.rounds;
    let dimension = x.dim(1)?;
    let mut map = normalised(map)?;
    let mut mean = map.zeros_like()?;
    announce(observer, rounds);
    for round in 0..rounds {
        if observer.should_stop() {
            return Err(AlignError::Interrupted);
        }
        let drawn = |side: &Tensor, stream: u64| -> candle_core::Result<Tensor> {
            rows(side, draws.of(side.dim(0)?, 2 * round as u64 + stream).as_deref())
        };
        let (x, y) = (drawn(x, 0)?, drawn(y, 1)?);
        let found = SoftMatching::new(&x, &y)?.covariance(&map, annealing.temperature(round), MORE_SCALINGS)?;
        let matched_score = f64::from((&found * &map)?.sum_all()?.to_scalar::<f32>()?);
        let found = with_known(normalised(&found)?, known)?;
        map = normalised(&((map * inertia)? + (&found * (1.0 - inertia))?)?)?;
        if 2 * round >= rounds {
            mean = (mean + found)?;
        }
        let (stage, items) = (stage.to_owned(), [x.dim(0)?, y.dim(0)?]);
        let told = AlignmentRound { stage, round: round + 1, rounds, items, dimension, matched_score };
        observer.on_event(&Event::AlignmentRound(told));
        observer.on_event(&Event::Advanced { phase: Phase::Align, work: 1 });
    }
    Ok(normalised(&mean)?)
}

/// `map` with what the known pairs say.
fn with_known(map: Tensor, known: Option<&Known>) -> candle_core::Result<Tensor> {
    let Some(Known { covariance, share }) = known else { return Ok(map) };
    normalised(&((map * (1.0 - share))? + (covariance * *share)?)?)
}

/// How well both sides match under the rotation nearest to `map`, at one `temperature` for all maps: the largest mean inner
/// product of softly matched items that a rotation reaches. Higher is better.
pub(super) fn rotation_score((x, y): (&Tensor, &Tensor), map: &Tensor, temperature: f64) -> Result<f64, AlignError> {
    let (k, l) = map.dims2()?;
    let matrix = |map: &Tensor| -> candle_core::Result<Mat<f64>> {
        let values: Vec<f32> = map.flatten_all()?.to_vec1()?;
        Ok(Mat::from_fn(k, l, |i, j| f64::from(values[i * l + j])))
    };
    let rotation = orthogonal_factor(&matrix(map)?)?;
    let values = (0..k).flat_map(|i| (0..l).map(move |j| (i, j))).map(|at| rotation[at] as f32).collect();
    let rotation = Tensor::from_vec(values, (k, l), map.device())?;
    let covariance = matrix(&SoftMatching::new(x, y)?.covariance(&rotation, temperature, MORE_SCALINGS)?)?;
    // The sum of its singular values.
    let nearest = orthogonal_factor(&covariance)?;
    Ok((0..l).map(|j| (0..k).map(|i| covariance[(i, j)] * nearest[(i, j)]).sum::<f64>()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use rand_distr::{Distribution, StandardNormal};

    fn normal(shape: (usize, usize), seed: u64) -> Tensor {
        let mut generator = hiref_core::rng::stream(seed, &[]);
        let values: Vec<f32> = (0..shape.0 * shape.1).map(|_| StandardNormal.sample(&mut generator)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn scalings_reach_uniform_marginals() {
        let (n, m) = (600, 40);
        let kernel: Vec<f32> =
            normal((n, m), 1).flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|v| v.exp()).collect();
        let (of_x, of_y) = scaled(&kernel, (n, m), 50);
        let mass = |i: usize, j: usize| f64::from(of_x[i] * kernel[i * m + j] * of_y[j]);
        for i in 0..n {
            let row: f64 = (0..m).map(|j| mass(i, j)).sum();
            assert!((row * n as f64 - 1.0).abs() < 1e-3, "row {i}: {row}");
        }
        for j in 0..m {
            let column: f64 = (0..n).map(|i| mass(i, j)).sum();
            assert!((column * m as f64 - 1.0).abs() < 1e-4, "column {j}: {column}");
        }
    }

    /// As a matching sharpens under a right map, its cross-covariance becomes that of the true pairs.
    #[test]
    fn a_sharp_matching_under_a_right_map_is_the_true_one() {
        let x = crate::map::unit_rows(&normal((300, 6), 2)).unwrap();
        let eye = Tensor::eye(6, DType::F32, &Device::Cpu).unwrap();
        let found = SoftMatching::new(&x, &x).unwrap().covariance(&eye, 1e-3, 20).unwrap();
        let expected = (x.t().unwrap().matmul(&x).unwrap() / 300.0).unwrap();
        let error = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(error < 1e-4, "{error}");
    }

    /// Independent draws of one distribution, one of them turned: no item of a side is on the other.
    #[test]
    fn a_map_settles_where_no_item_is_on_both_sides() {
        let centres = normal((12, 5), 5);
        let draw = |seed: u64| {
            let noise = (normal((600, 5), seed) * 0.3).unwrap();
            let of: Vec<u32> = (0..600).map(|item| item % 12).collect();
            let rows = (centres.index_select(&Tensor::new(of, &Device::Cpu).unwrap(), 0).unwrap() + noise).unwrap();
            crate::map::unit_rows(&rows).unwrap()
        };
        // A cyclic exchange of the axes.
        let turn = |rows: &Tensor| {
            rows.index_select(&Tensor::new(&[4u32, 0, 1, 2, 3], &Device::Cpu).unwrap(), 1)
                .unwrap()
                .contiguous()
                .unwrap()
        };
        let (x, y) = (draw(6), turn(&draw(7)));
        let truth = normalised(&x.t().unwrap().matmul(&turn(&x)).unwrap()).unwrap();
        let cosine = |map: &Tensor| (map * &truth).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        let start = normalised(&(&truth + (normal((5, 5), 8) * 0.25).unwrap()).unwrap()).unwrap();
        let settled = |rounds: usize| {
            let annealing = Annealing { rounds, first_temperature: 0.3, last_temperature: 0.15 };
            let draws = ReferenceItems { limit: 300, seed: 9 };
            settle((&x, &y), &start, &Settling { annealing, inertia: 0.7, draws }, None, ("test", &())).unwrap()
        };
        let (before, after) = (cosine(&start), cosine(&settled(40)));
        assert!(before < 0.9 && after > 0.97, "{before} before, {after} after");
        assert_eq!(cosine(&settled(40)).to_bits(), after.to_bits());
    }

    #[test]
    fn the_right_rotation_scores_highest() {
        let x = crate::map::unit_rows(&normal((400, 5), 3)).unwrap();
        let stretched = x.broadcast_mul(&Tensor::new(&[3f32, 2.0, 1.0, 0.5, 0.2], &Device::Cpu).unwrap()).unwrap();
        let x = crate::map::unit_rows(&stretched).unwrap();
        let eye = Tensor::eye(5, DType::F32, &Device::Cpu).unwrap();
        let score = |map: &Tensor| rotation_score((&x, &x), map, 0.1).unwrap();
        assert!(score(&eye) > score(&normal((5, 5), 4)) + 0.05);
    }
}
