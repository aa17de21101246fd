//! A first map without any pair: centroids of both sides matched by their geometry, many times over.

use super::k_means::{Centroids, k_means};
use super::quadratic_assignment::{Symmetric, best_matching};
use crate::align::error::AlignError;
use crate::align::joint::{ReferenceItems, rows};
use crate::align::params::UnpairedParams;
use crate::align::refinement::select;
use crate::eval::with_host_values;
use crate::map::{LinearMap, Map, TwoWayMap, inner_products};
use candle_core::{Device, Tensor};
use hiref_core::Observer;
use rayon::prelude::*;

/// Steps of the power iteration that weighs the restarts; it converges in a few.
const CONSENSUS_STEPS: usize = 30;

/// A first map and what speaks for it.
pub(super) struct FirstMap {
    /// Cross-covariance of the views, `(k, l)`.
    pub(super) covariance: Tensor,
    /// Largest linear CKA of the matched centroids over the restarts.
    pub(super) alignment: f64,
    /// Cosine between the cross-covariances that the odd and the even restarts give.
    pub(super) agreement: f64,
}

/// One restart: the cross-covariance of the matched centroids, `(k · l,)`, of unit norm, and their alignment.
struct Restart {
    covariance: Vec<f64>,
    alignment: f64,
}

/// Averages the cross-covariances of matched centroids over restarts; `x (n, k)` and `y (m, l)` are unit rows.
///
/// A restart clusters both sides on their own and matches the centroids by the permutation that maximises the linear CKA
/// of their centred Gram matrices. Most restarts are wrong in part, each in its own way, and what is right repeats: they
/// are weighted by how far they agree with one another (the leading eigenvector of their inner products, from a start at
/// their alignments), at least zero. Known pairs join with their own cross-covariance and the weight `anchor_weight`
/// beside the whole of the restarts.
pub(super) fn first_map(
    (x, y): (&Tensor, &Tensor),
    anchors: &[(u32, u32)],
    params: &UnpairedParams,
    reference: ReferenceItems,
    path: &[u64],
    observer: &dyn Observer,
) -> Result<FirstMap, AlignError> {
    let ((n, k), (m, l)) = (x.dims2()?, y.dims2()?);
    let count = params.centroids.min(n).min(m).min(reference.limit);
    let one = |restart: usize| -> Result<Option<Restart>, AlignError> {
        if observer.should_stop() {
            return Err(AlignError::Interrupted);
        }
        let path = [path, &[restart as u64]].concat();
        let centroids = |side: &Tensor, number: u64| -> Result<Centroids, AlignError> {
            let path = [path.as_slice(), &[number]].concat();
            let own = ReferenceItems { seed: reference.seed.wrapping_add(restart as u64), ..reference };
            let chosen = own.of(side.dim(0)?, 10 + number);
            let (side, width) = (rows(side, chosen.as_deref())?, side.dim(1)?);
            Ok(with_host_values(&side, |points| k_means(points, width, count, reference.seed, &path))?)
        };
        let (from, to) = (Centred::new(&centroids(x, 0)?, k), Centred::new(&centroids(y, 1)?, l));
        let matching = best_matching(&from.gram(), &to.gram(), params.matching_starts, reference.seed, &path);
        let mut covariance = vec![0.0; k * l];
        for (c, &p) in matching.partner.iter().enumerate() {
            let weight = (from.sizes[c] * to.sizes[p]).sqrt();
            for (a, out) in from.row(c).iter().zip(covariance.chunks_mut(l)) {
                out.iter_mut().zip(to.row(p)).for_each(|(sum, b)| *sum += weight * a * b);
            }
        }
        Ok(normalised(covariance).map(|covariance| Restart { covariance, alignment: matching.alignment }))
    };
    let restarts: Vec<Option<Restart>> =
        (0..params.restarts).into_par_iter().map(one).collect::<Result<_, AlignError>>()?;
    let restarts: Vec<Restart> = restarts.into_iter().flatten().collect();
    let half = |parity: usize| consensus(&restarts.iter().skip(parity).step_by(2).collect::<Vec<_>>(), k * l);
    let agreement = inner(&half(0), &half(1));
    let mut mean = consensus(&restarts.iter().collect::<Vec<_>>(), k * l);
    if !anchors.is_empty() {
        let known = covariance_of((x, y), anchors)?;
        mean.iter_mut().zip(&known).for_each(|(sum, value)| *sum += params.anchor_weight * value);
    }
    let alignment = restarts.iter().map(|restart| restart.alignment).fold(0.0, f64::max);
    Ok(FirstMap { covariance: as_tensor(&mean, (k, l), x.device())?, alignment, agreement })
}

/// The cross-covariance of the known pairs, of norm 1, if there are any.
pub(super) fn known((x, y): (&Tensor, &Tensor), anchors: &[(u32, u32)]) -> Result<Option<Tensor>, AlignError> {
    if anchors.is_empty() {
        return Ok(None);
    }
    let values = covariance_of((x, y), anchors)?;
    Ok(Some(as_tensor(&values, (x.dim(1)?, y.dim(1)?), x.device())?))
}

/// The consensus of cross-covariances of several starts, weighted as restarts are.
pub(super) fn consensus_of(covariances: &[&Tensor]) -> Result<Tensor, AlignError> {
    let (k, l) = covariances[0].dims2()?;
    let restart = |covariance: &&Tensor| -> candle_core::Result<Option<Restart>> {
        let values: Vec<f32> = covariance.flatten_all()?.to_vec1()?;
        let values = normalised(values.into_iter().map(f64::from).collect());
        Ok(values.map(|covariance| Restart { covariance, alignment: 1.0 }))
    };
    let restarts: Vec<Option<Restart>> = covariances.iter().map(restart).collect::<candle_core::Result<_>>()?;
    let restarts: Vec<&Restart> = restarts.iter().flatten().collect();
    Ok(as_tensor(&consensus(&restarts, k * l), (k, l), covariances[0].device())?)
}

/// Linear maps of both directions whose scores are those of a cross-covariance.
pub(super) fn as_map(covariance: &Tensor) -> candle_core::Result<TwoWayMap> {
    let linear = |weight: Tensor| -> candle_core::Result<Map> {
        let bias = Tensor::zeros(weight.dim(1)?, weight.dtype(), weight.device())?;
        Ok(Map::Linear(LinearMap { weight, bias }))
    };
    let backward = linear(covariance.t()?.contiguous()?)?;
    Ok(TwoWayMap::new(linear(covariance.clone())?, Some(backward)))
}

fn as_tensor(values: &[f64], shape: (usize, usize), device: &Device) -> candle_core::Result<Tensor> {
    Tensor::from_vec(values.iter().map(|&value| value as f32).collect(), shape, device)
}

/// The weighted mean of the restarts' cross-covariances, of unit norm; zeros where there are none.
fn consensus(restarts: &[&Restart], length: usize) -> Vec<f64> {
    let mut weights: Vec<f64> = restarts.iter().map(|restart| restart.alignment.max(0.0)).collect();
    let mean = |weights: &[f64]| {
        let mut mean = vec![0.0; length];
        for (restart, weight) in restarts.iter().zip(weights) {
            mean.iter_mut().zip(&restart.covariance).for_each(|(sum, value)| *sum += weight * value);
        }
        normalised(mean).unwrap_or_else(|| vec![0.0; length])
    };
    for _ in 0..CONSENSUS_STEPS {
        let center = mean(&weights);
        for (weight, restart) in weights.iter_mut().zip(restarts) {
            *weight = inner(&restart.covariance, &center).max(0.0);
        }
    }
    mean(&weights)
}

/// `Σ x_iᵀ y_j` over pairs, `(k · l,)`, of unit norm.
fn covariance_of((x, y): (&Tensor, &Tensor), pairs: &[(u32, u32)]) -> Result<Vec<f64>, AlignError> {
    let (i, j): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
    let product = inner_products(&select(x, &i)?, &select(y, &j)?)?; // (k, l)
    let values: Vec<f64> =
        (0..product.nrows()).flat_map(|a| (0..product.ncols()).map(move |b| (a, b))).map(|at| product[at]).collect();
    let length = values.len();
    Ok(normalised(values).unwrap_or_else(|| vec![0.0; length]))
}

/// Centroids about their mean, in f64.
struct Centred {
    points: Vec<f64>,
    sizes: Vec<f64>,
    width: usize,
}

impl Centred {
    fn new(centroids: &Centroids, width: usize) -> Self {
        let count = centroids.sizes.len();
        let mut mean = vec![0.0; width];
        for row in centroids.points.chunks(width) {
            mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) / count as f64);
        }
        let points = centroids.points.chunks(width);
        let points =
            points.flat_map(|row| row.iter().zip(&mean).map(|(&value, mean)| f64::from(value) - mean)).collect();
        Self { points, sizes: centroids.sizes.iter().map(|&size| size as f64).collect(), width }
    }

    fn row(&self, at: usize) -> &[f64] {
        &self.points[at * self.width..][..self.width]
    }

    fn gram(&self) -> Symmetric {
        Symmetric::from_fn(self.sizes.len(), |i, j| inner(self.row(i), self.row(j)))
    }
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// The vector divided by its length, unless that is zero.
fn normalised(mut values: Vec<f64>) -> Option<Vec<f64>> {
    let length = inner(&values, &values).sqrt();
    if length.is_nan() || length <= 0.0 {
        return None;
    }
    values.iter_mut().for_each(|value| *value /= length);
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_outweighs_what_does_not() {
        // Three restarts say the first entry, each also something of its own; two say something else altogether.
        let restart = |entries: &[(usize, f64)]| {
            let mut covariance = vec![0.0; 8];
            entries.iter().for_each(|&(at, value)| covariance[at] = value);
            Restart { covariance: normalised(covariance).unwrap(), alignment: 0.5 }
        };
        let restarts = [
            restart(&[(0, 1.0), (1, 1.0)]),
            restart(&[(0, 1.0), (2, 1.0)]),
            restart(&[(0, 1.0), (3, 1.0)]),
            restart(&[(4, 1.0)]),
            restart(&[(5, -1.0)]),
        ];
        let mean = consensus(&restarts.iter().collect::<Vec<_>>(), 8);
        // The block of the three has eigenvalue 2 and the others 1: what is alone vanishes.
        let expected = [3f64.sqrt() / 2.0, 3f64.sqrt() / 6.0];
        assert!((mean[0] - expected[0]).abs() < 1e-6 && (mean[1] - expected[1]).abs() < 1e-6, "{mean:?}");
        assert!(mean[4].abs() < 1e-6 && mean[5].abs() < 1e-6);
    }

    #[test]
    fn centroids_are_centred_without_weights() {
        let centroids = Centroids { points: vec![0.0, 0.0, 2.0, 4.0], sizes: vec![1, 9] };
        let centred = Centred::new(&centroids, 2);
        assert_eq!(centred.points, [-1.0, -2.0, 1.0, 2.0]);
        assert_eq!(centred.gram().values, [5.0, -5.0, -5.0, 5.0]);
    }
}
