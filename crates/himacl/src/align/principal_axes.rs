//! Principal axes of one side's embeddings.

use super::error::AlignError;
use crate::map::{inner_products, product, symmetric_eigen, to_tensor, unit_rows};
use candle_core::{DType, Result, Tensor};
use faer::Mat;
use hiref_core::rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Largest dimension whose covariance is decomposed as a whole.
const WHOLE_LIMIT: usize = 512;
/// Axes carried beside those wanted, which makes the last of those converge.
const SPARE_AXES: usize = 32;
/// Products with the covariance; each squares away what is not among the leading axes.
const POWER_STEPS: usize = 6;
/// Columns of one product on one thread.
const COLUMNS: usize = 32;
/// Axes with a smaller share of the first one's variance are noise of the arithmetic.
const LEAST_VARIANCE: f64 = 1e-9;
/// Names the stream of the starting axes.
const START: u64 = 0x0061_7865;

/// The leading principal axes of one set of embeddings, after each row was made a unit vector, centred, made a unit
/// vector again and centred again.
#[derive(Debug, Clone)]
pub struct PrincipalAxes {
    /// Mean of the unit rows, `(1, d)`.
    pub(crate) mean: Tensor,
    /// Mean of the rows as centred and normalised, `(1, d)`.
    pub(crate) second_mean: Tensor,
    /// Orthonormal axes as columns, of falling variance, `(d, k)`.
    pub(crate) axes: Tensor,
    /// Standard deviation along each axis, `(k,)`.
    pub(crate) deviations: Vec<f64>,
    /// Root mean square length of the rows once centred the first time.
    pub(crate) radius: f64,
}

impl PrincipalAxes {
    /// The first `num_axes` axes of `embeddings`, `(n, d)`, or fewer where the data span fewer dimensions.
    ///
    /// *Complexity*: O(n d²) for the covariance, then O(d³) for d ≤ 512, O(d² k) beyond (randomised subspace iteration,
    /// 6 steps with 32 spare axes); O(n d + d²) memory. *Determinism*: same bits for the same seed, whatever the number
    /// of threads; the sign of each axis makes its largest entry positive.
    ///
    /// References: \[HMT11\] Halko, Martinsson, Tropp, "Finding structure with randomness", SIAM Review 53, 2011.
    ///
    /// # Errors
    /// Embeddings that are empty, not finite or all equal.
    pub fn fit(
        embeddings: &Tensor,
        num_axes: usize,
        seed: u64,
        side: &'static str,
    ) -> std::result::Result<Self, AlignError> {
        let unit = checked_unit_rows(embeddings, side)?; // (n, d)
        let (n, d) = unit.dims2()?;
        let mean = mean_row(&unit)?;
        let centred = unit.broadcast_sub(&mean)?;
        let radius = (mean_square(&centred)? * d as f64).sqrt();
        let rows = unit_rows(&centred)?;
        let second_mean = mean_row(&rows)?;
        let rows = rows.broadcast_sub(&second_mean)?;
        let mut covariance = inner_products(&rows, &rows)?; // (d, d)
        for value in covariance.col_iter_mut().flat_map(faer::ColMut::iter_mut) {
            *value /= n as f64;
        }
        let wanted = num_axes.min(d).min(n.saturating_sub(1)).max(1);
        let (variances, axes) = if d <= WHOLE_LIMIT || wanted + SPARE_AXES >= d {
            symmetric_eigen(&covariance)?
        } else {
            leading_axes(&covariance, wanted + SPARE_AXES, seed)?
        };
        let kept = variances.iter().take(wanted).take_while(|&&v| v > LEAST_VARIANCE * variances[0]).count();
        if kept == 0 {
            return Err(AlignError::Embeddings {
                side,
                shape: embeddings.dims().to_vec(),
                mean_square: radius * radius,
            });
        }
        let axes = Mat::from_fn(d, kept, |i, j| axes[(i, j)]);
        let deviations = variances[..kept].iter().map(|variance| variance.sqrt()).collect();
        Ok(Self { mean, second_mean, axes: to_tensor(&axes, embeddings.device())?, deviations, radius })
    }

    /// The same without one axis, counted from 0; as it is where there is no such axis, or no other.
    pub(crate) fn without(&self, axis: usize) -> Result<Self> {
        let kept: Vec<u32> = (0..self.len() as u32).filter(|&at| at as usize != axis).collect();
        if kept.is_empty() {
            return Ok(self.clone());
        }
        let axes = self.axes.index_select(&Tensor::new(kept.as_slice(), self.axes.device())?, 1)?;
        let deviations = kept.iter().map(|&at| self.deviations[at as usize]).collect();
        Ok(Self { axes, deviations, ..self.clone() })
    }

    /// Number of axes, k.
    pub fn len(&self) -> usize {
        self.deviations.len()
    }

    /// Never: a fit has at least one axis.
    pub fn is_empty(&self) -> bool {
        self.deviations.is_empty()
    }

    /// `(s_j / s_1)^-power` for each axis: what partial whitening multiplies its coordinate by.
    pub(crate) fn whitening_scales(&self, power: f64) -> Vec<f64> {
        self.deviations.iter().map(|deviation| (deviation / self.deviations[0]).powf(-power)).collect()
    }
}

/// The rows as f32 unit vectors, checked.
pub(crate) fn checked_unit_rows(embeddings: &Tensor, side: &'static str) -> std::result::Result<Tensor, AlignError> {
    let shape = embeddings.dims().to_vec();
    if shape.len() != 2 || shape.contains(&0) {
        return Err(AlignError::Embeddings { side, shape, mean_square: 0.0 });
    }
    let rows = embeddings.to_dtype(DType::F32)?;
    let mean_square = mean_square(&rows)?;
    if !(mean_square > 0.0 && mean_square.is_finite()) {
        return Err(AlignError::Embeddings { side, shape, mean_square });
    }
    Ok(unit_rows(&rows)?)
}

/// Mean of the rows, `(1, d)`, through fixed chunks so that many rows lose no digits.
pub(crate) fn mean_row(rows: &Tensor) -> Result<Tensor> {
    let ones = Tensor::ones((rows.dim(0)?, 1), DType::F32, rows.device())?;
    let sums = inner_products(&ones, rows)?; // (1, d)
    let n = rows.dim(0)? as f64;
    to_tensor(&Mat::from_fn(1, sums.ncols(), |_, j| sums[(0, j)] / n), rows.device())
}

/// Mean square of all entries.
pub(crate) fn mean_square(rows: &Tensor) -> Result<f64> {
    let squares = rows.sqr()?.sum(1)?.to_dtype(DType::F64)?; // (n,)
    Ok(squares.to_vec1::<f64>()?.iter().sum::<f64>() / rows.elem_count() as f64)
}

/// The `count` leading eigenpairs of a covariance by subspace iteration.
fn leading_axes(
    covariance: &Mat<f64>,
    count: usize,
    seed: u64,
) -> std::result::Result<(Vec<f64>, Mat<f64>), AlignError> {
    let d = covariance.nrows();
    let mut generator = rng::stream(seed, &[START]);
    let mut basis = Mat::from_fn(d, count, |_, _| StandardNormal.sample(&mut generator));
    for _ in 0..POWER_STEPS {
        basis = orthonormal(&wide_product(covariance, &basis))?;
    }
    let image = wide_product(covariance, &basis);
    let (variances, rotation) = symmetric_eigen(&product(&basis.transpose().to_owned(), &image))?;
    Ok((variances, wide_product(&basis, &rotation)))
}

/// Orthonormal columns with the same span, by way of the eigenvectors of the Gram matrix; directions below the
/// precision of the arithmetic are dropped.
fn orthonormal(columns: &Mat<f64>) -> std::result::Result<Mat<f64>, AlignError> {
    let gram = wide_product(&columns.transpose().to_owned(), columns);
    let (squares, rotation) = symmetric_eigen(&gram)?;
    let kept = squares.iter().take_while(|&&square| square > 1e-14 * squares[0]).count();
    let scaled = Mat::from_fn(rotation.nrows(), kept, |i, j| rotation[(i, j)] / squares[j].sqrt());
    Ok(wide_product(columns, &scaled))
}

/// `a b`, in parallel over fixed groups of columns of `b`.
fn wide_product(a: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
    let starts: Vec<usize> = (0..b.ncols()).step_by(COLUMNS).collect();
    let parts: Vec<Mat<f64>> = starts
        .into_par_iter()
        .map(|start| product(a, &b.subcols(start, COLUMNS.min(b.ncols() - start)).to_owned()))
        .collect();
    Mat::from_fn(a.nrows(), b.ncols(), |i, j| parts[j / COLUMNS][(i, j % COLUMNS)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn subspace_iteration_finds_the_leading_axes() {
        // Orthonormal axes from a Householder reflection I - 2 v vᵀ; variances fall by a fifth each.
        let d = 90;
        let length: f64 = (1..=d).map(|i| (i * i) as f64).sum::<f64>().sqrt();
        let reflection = |i: usize, j: usize| {
            f64::from(u8::from(i == j)) - 2.0 * ((i + 1) as f64 / length) * ((j + 1) as f64 / length)
        };
        let variance = |j: usize| 0.8f64.powi(j as i32);
        let covariance =
            Mat::from_fn(d, d, |i, j| (0..d).map(|l| reflection(i, l) * variance(l) * reflection(j, l)).sum::<f64>());
        let (values, axes) = leading_axes(&covariance, 40, 3).unwrap();
        for j in 0..10 {
            assert!((values[j] / variance(j) - 1.0).abs() < 1e-9, "variance {j}: {}", values[j]);
            let cosine: f64 = (0..d).map(|i| axes[(i, j)] * reflection(i, j)).sum();
            assert!((cosine.abs() - 1.0).abs() < 1e-9, "axis {j}: {cosine}");
        }
    }

    #[test]
    fn flat_data_have_few_axes() {
        let rows = Tensor::new(&[[1f32, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.5, 0.0], [0.3, -1.0, 0.0]], &Device::Cpu);
        let axes = PrincipalAxes::fit(&rows.unwrap(), 3, 0, "source").unwrap();
        assert_eq!((axes.len(), axes.is_empty()), (2, false));
        let equal = Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(
            PrincipalAxes::fit(&equal, 3, 0, "target"),
            Err(AlignError::Embeddings { side: "target", .. })
        ));
        let broken = (equal * f64::NAN).unwrap();
        assert!(PrincipalAxes::fit(&broken, 3, 0, "source").is_err());
    }
}
