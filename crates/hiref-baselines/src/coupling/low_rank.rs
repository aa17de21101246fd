//! Couplings of low rank: what the low-rank solvers find, in memory linear in the number of points.

use super::one_to_one;
use candle_core::{D, Tensor};
use hiref_core::math::assign_to_capacities;
use hiref_core::rng::stream;
use hiref_core::{Error, Permutation, UNMATCHED};
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// A coupling `P = Q diag(1 / g) Rᵀ` of rank r: every unit of mass passes through one of r co-clusters.
///
/// *Shapes*: `q (n, r)`, `r (m, r)`, f64, and the inner marginal g `(r,)`; the rows of q sum to a, those of r to b, the
/// columns of both to g.
#[derive(Debug, Clone)]
pub struct LowRankCoupling {
    q: Tensor,
    r: Tensor,
    inner_marginal: Vec<f64>,
}

impl LowRankCoupling {
    pub(crate) fn new(q: Tensor, r: Tensor, inner_marginal: Vec<f64>) -> Self {
        Self { q, r, inner_marginal }
    }

    /// The factor of x, `(n, rank)`, f64.
    pub fn q(&self) -> &Tensor {
        &self.q
    }

    /// The factor of y, `(m, rank)`, f64.
    pub fn r(&self) -> &Tensor {
        &self.r
    }

    /// The mass of each co-cluster, `(rank,)`.
    pub fn inner_marginal(&self) -> &[f64] {
        &self.inner_marginal
    }

    /// Number of co-clusters.
    pub fn rank(&self) -> usize {
        self.inner_marginal.len()
    }

    /// The coupling as a matrix, `(n, m)`, f64: for small problems.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn to_matrix(&self) -> Result<Tensor, Error> {
        Ok(self.scaled_q()?.matmul(&self.r.t()?)?)
    }

    /// Where each x point is sent on average, `(n, d)`, f64, for targets `points`, `(m, d)`: `Σ_j P_ij y_j / Σ_j P_ij`.
    ///
    /// # Errors
    /// Points that are not a matrix of m rows; a failed tensor operation.
    pub fn barycentric_projection(&self, points: &Tensor) -> Result<Tensor, Error> {
        let points = points.to_dtype(candle_core::DType::F64)?;
        let scaled = self.scaled_q()?;
        let sums = scaled.matmul(&self.r.t()?.matmul(&points)?)?; // (n, d)
        let masses = scaled.matmul(&self.r.sum_keepdim(0)?.t()?)?; // (n, 1)
        Ok(sums.broadcast_div(&masses)?)
    }

    /// The co-cluster that most of each x point's mass passes through, `(n,)`.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn labels(&self) -> Result<Vec<u32>, Error> {
        Ok(self.q.argmax(D::Minus1)?.to_vec1()?)
    }

    /// Rounds the coupling to a one-to-one pairing.
    ///
    /// The points of each side go to co-clusters of whole sizes (those of g, by largest remainder; the larger side's at
    /// least as large as the smaller's) such that the sum of the logarithms of their factor entries is largest. Inside a
    /// co-cluster the coupling is a product and knows no more, so its points are paired in an order drawn from `seed`.
    ///
    /// *Complexity*: O((n + m) r), and O(r³ + r log n) for each point that is not in its most probable co-cluster.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn round(&self, seed: u64) -> Result<Permutation, Error> {
        let (n, m) = (self.q.dim(0)?, self.r.dim(0)?);
        let smaller = apportion(&self.inner_marginal, n.min(m));
        let rest = apportion(&self.inner_marginal, n.max(m) - n.min(m));
        let larger: Vec<usize> = smaller.iter().zip(rest).map(|(a, b)| a + b).collect();
        let (sizes_x, sizes_y) = if n <= m { (&smaller, &larger) } else { (&larger, &smaller) };
        let mut clusters_x = clusters(&log_entries(&self.q)?, sizes_x);
        let mut clusters_y = clusters(&log_entries(&self.r)?, sizes_y);
        let mut y_of_x = vec![UNMATCHED; n];
        for (k, (x, y)) in clusters_x.iter_mut().zip(&mut clusters_y).enumerate() {
            x.shuffle(&mut stream(seed, &[k as u64, 0]));
            y.shuffle(&mut stream(seed, &[k as u64, 1]));
            for (&i, &j) in x.iter().zip(y.iter()) {
                y_of_x[i as usize] = j;
            }
        }
        Ok(one_to_one(y_of_x, m))
    }

    /// `Q diag(1 / g)`, `(n, r)`.
    fn scaled_q(&self) -> Result<Tensor, Error> {
        let inverse: Vec<f64> = self.inner_marginal.iter().map(|mass| mass.recip()).collect();
        Ok(self.q.broadcast_mul(&Tensor::from_vec(inverse, (1, self.rank()), self.q.device())?)?)
    }
}

/// Whole numbers of sum `total` in proportion to `shares`, by largest remainder; ties go to the lowest index.
fn apportion(shares: &[f64], total: usize) -> Vec<usize> {
    let sum: f64 = shares.iter().sum();
    let exact: Vec<f64> = shares.iter().map(|share| share / sum * total as f64).collect();
    let mut whole: Vec<usize> = exact.iter().map(|value| value.floor() as usize).collect();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    let remainder = |k: usize| exact[k] - exact[k].floor();
    order.sort_by(|&i, &j| remainder(j).total_cmp(&remainder(i)).then(i.cmp(&j)));
    let missing = total.saturating_sub(whole.iter().sum());
    for &k in order.iter().cycle().take(missing) {
        whole[k] += 1;
    }
    whole
}

/// Logarithms of a factor's entries less those of the row's largest, `(rank, n)`, in f32.
fn log_entries(factor: &Tensor) -> Result<Vec<f32>, Error> {
    let (n, rank) = factor.dims2()?;
    let values = factor.flatten_all()?.to_vec1::<f64>()?;
    let mut scores = vec![0.0_f32; n * rank];
    scores.par_chunks_mut(n).enumerate().for_each(|(k, scores)| {
        for (score, row) in scores.iter_mut().zip(values.chunks_exact(rank)) {
            let largest = row.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
            // A floor keeps differences of impossible entries out of the sum's rounding.
            *score = (row[k].max(f64::MIN_POSITIVE) / largest).ln().max(-80.0) as f32;
        }
    });
    Ok(scores)
}

/// The points of each co-cluster, by index.
fn clusters(scores: &[f32], sizes: &[usize]) -> Vec<Vec<u32>> {
    let mut clusters = vec![Vec::new(); sizes.len()];
    for (point, label) in assign_to_capacities(scores, sizes).into_iter().enumerate() {
        clusters[label as usize].push(point as u32);
    }
    clusters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_their_total() {
        assert_eq!(apportion(&[0.5, 0.25, 0.25], 4), [2, 1, 1]);
        assert_eq!(apportion(&[0.4, 0.3, 0.3], 5), [2, 2, 1]);
        assert_eq!(apportion(&[1.0 / 3.0; 3], 0), [0, 0, 0]);
        assert_eq!(apportion(&[1e-9, 1.0], 3), [0, 3]);
    }
}
