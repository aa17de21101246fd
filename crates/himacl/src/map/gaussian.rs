//! The optimal transport map between two normal distributions.

use super::decomposition::{product, symmetric_eigen};
use super::linear::{FitError, LinearMap, inner_products, to_tensor};
use candle_core::{DType, Tensor};
use faer::Mat;

/// Eigenvalues of a covariance below this share of the largest count as zero.
const RANK_TOLERANCE: f64 = 1e-10;

impl LinearMap {
    /// The map that transports `N(μx, Σx)` to `N(μy, Σy)` at least squared distance, with the moments of two unpaired sets:
    /// `T(x) = μy + (x - μx) A`, `A = Σx^-½ (Σx^½ Σy Σx^½)^½ Σx^-½`, symmetric and positive semi-definite.
    ///
    /// Among maps between sets that are not normal it is the best guess from means and covariances alone. These converge
    /// as d / n, where pairs of an optimal assignment come close only as n^(-1/d): in many dimensions this map is nearer to
    /// the true one than what is fitted to pairs. Directions in which `x` does not vary are mapped to the mean.
    ///
    /// *Shapes*: `x (n, d)`, `y (m, d)`. *Complexity*: O((n + m) d² + d³); O(d²) memory beside the input.
    /// *Determinism*: as [`LinearMap::ridge`].
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use himacl::map::LinearMap;
    /// let x = Tensor::new(&[[1f32, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], &Device::Cpu)?;
    /// let y = Tensor::new(&[[1f32, 3.0], [1.0, -3.0], [3.0, 0.0], [-1.0, 0.0]], &Device::Cpu)?;
    /// let map = LinearMap::gaussian(&x, &y)?;
    /// let image = map.apply(&x.narrow(0, 0, 1)?)?.to_vec2::<f32>()?;
    /// assert!((image[0][0] - 3.0).abs() < 1e-5 && image[0][1].abs() < 1e-5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// References: \[DL82\] Dowson, Landau, "The Fréchet distance between multivariate normal distributions", Journal of
    /// Multivariate Analysis 12, 1982; \[FLF21\] Flamary, Lounici, Ferrari, 2021 (its convergence).
    ///
    /// # Errors
    /// Sides of different dimensions or without rows, values that are not finite.
    pub fn gaussian(x: &Tensor, y: &Tensor) -> Result<Self, FitError> {
        Gaussian::between(x, y)?.map()
    }
}

/// The map of [`LinearMap::gaussian`] with what it is made of.
pub(super) struct Gaussian {
    /// μx, `(1, d)`.
    pub(super) x_mean: Tensor,
    /// μy, `(1, d)`.
    pub(super) y_mean: Tensor,
    /// Σx.
    pub(super) x_covariance: Mat<f64>,
    /// A.
    pub(super) matrix: Mat<f64>,
}

impl Gaussian {
    pub(super) fn between(x: &Tensor, y: &Tensor) -> Result<Self, FitError> {
        let ((n, d), (m, e)) = (x.dims2()?, y.dims2()?);
        if d != e {
            return Err(FitError::Dimensions { source_dimension: d, target_dimension: e });
        }
        if n == 0 || m == 0 {
            return Err(FitError::Weights { pairs: 0, total: 0.0 });
        }
        let (x_mean, x_covariance) = moments(x)?;
        let (y_mean, y_covariance) = moments(y)?;
        let (root, inverse_root) = (power(&x_covariance, 0.5)?, power(&x_covariance, -0.5)?);
        let middle = power(&product(&product(&root, &y_covariance), &root), 0.5)?;
        let matrix = product(&product(&inverse_root, &middle), &inverse_root);
        Ok(Self { x_mean, y_mean, x_covariance, matrix })
    }

    pub(super) fn map(&self) -> Result<LinearMap, FitError> {
        let weight = to_tensor(&self.matrix, self.x_mean.device())?; // (d, d)
        let bias = (&self.y_mean - self.x_mean.matmul(&weight)?)?.squeeze(0)?;
        Ok(LinearMap { weight, bias })
    }
}

/// The mean, `(1, d)`, and the covariance, `(d, d)`.
fn moments(rows: &Tensor) -> Result<(Tensor, Mat<f64>), FitError> {
    let rows = rows.to_dtype(DType::F32)?;
    let count = rows.dim(0)? as f64;
    let mean = rows.mean_keepdim(0)?;
    let mut covariance = inner_products(&rows.broadcast_sub(&mean)?, &rows.broadcast_sub(&mean)?)?;
    covariance.col_iter_mut().flat_map(faer::ColMut::iter_mut).for_each(|value| *value /= count);
    Ok((mean, covariance))
}

/// A power of a positive semi-definite matrix, of its vanishing eigenvalues zero.
pub(super) fn power(matrix: &Mat<f64>, exponent: f64) -> Result<Mat<f64>, FitError> {
    let (values, vectors) = symmetric_eigen(matrix)?;
    let floor = RANK_TOLERANCE * values.first().copied().unwrap_or(0.0).max(0.0);
    let powers: Vec<f64> = values.iter().map(|&value| if value > floor { value.powf(exponent) } else { 0.0 }).collect();
    let scaled = Mat::from_fn(vectors.nrows(), vectors.ncols(), |i, k| vectors[(i, k)] * powers[k]);
    Ok(product(&scaled, &vectors.transpose().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hiref_core::rng;
    use rand_distr::{Distribution, StandardNormal};

    fn normal(rows: usize, columns: usize, purpose: u64) -> Tensor {
        let mut generator = rng::stream(1, &[purpose]);
        let values: Vec<f32> = (0..rows * columns).map(|_| StandardNormal.sample(&mut generator)).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    fn worst(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn an_affine_map_with_a_positive_definite_matrix_is_recovered() {
        let x = normal(200, 5, 1).matmul(&normal(5, 5, 2)).unwrap();
        let half = normal(5, 5, 3);
        let matrix = (half.matmul(&half.t().unwrap()).unwrap() + Tensor::eye(5, DType::F32, &Device::Cpu)).unwrap();
        let y = x.matmul(&matrix).unwrap().broadcast_add(&normal(1, 5, 4)).unwrap();
        let map = LinearMap::gaussian(&x, &y).unwrap();
        assert!(worst(&map.weight, &matrix) < 1e-2);
        assert!(worst(&map.apply(&x).unwrap(), &y) < 1e-2);
    }

    #[test]
    fn directions_without_variance_are_mapped_to_the_mean() {
        let x = Tensor::cat(&[normal(50, 2, 1), Tensor::zeros((50, 1), DType::F32, &Device::Cpu).unwrap()], 1).unwrap();
        let y = (&x * 2.0).unwrap();
        let image = LinearMap::gaussian(&x, &y).unwrap().apply(&x).unwrap();
        assert!(worst(&image, &y) < 1e-4);
    }

    #[test]
    fn bad_input_is_refused() {
        let x = normal(5, 3, 1);
        assert!(matches!(
            LinearMap::gaussian(&x, &normal(5, 2, 1)),
            Err(FitError::Dimensions { source_dimension: 3, target_dimension: 2 })
        ));
        assert!(LinearMap::gaussian(&x, &(&x * f64::NAN).unwrap()).is_err());
        assert!(LinearMap::gaussian(&x, &x.narrow(0, 0, 0).unwrap()).is_err());
    }
}
