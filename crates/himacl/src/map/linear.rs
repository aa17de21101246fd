//! Linear maps, and two that have a closed form: ridge regression and Procrustes.

use super::decomposition::{DecompositionError, orthogonal_factor, solve_positive_definite};
use candle_core::{DType, Device, Tensor};
use faer::Mat;

/// Rows multiplied at once; their products are summed in f64, so that a million rows lose no digits.
const CHUNK_ROWS: usize = 4096;

/// `T(x) = x W + b`.
#[derive(Debug, Clone)]
pub struct LinearMap {
    /// `(d, e)`.
    pub weight: Tensor,
    /// `(e,)`.
    pub bias: Tensor,
}

/// Why a map could not be fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The two sides, or the weights, are not of one length.
    #[error("`{name}` has {got} rows, expected {expected} (the rows of `x`)")]
    Rows {
        /// The input in question.
        name: &'static str,
        /// Rows found.
        got: usize,
        /// Rows of x.
        expected: usize,
    },
    /// No pair, or no weight on any.
    #[error(
        "a map needs pairs with finite weights, not negative, that sum to more than zero; got {pairs} pairs with total {total}"
    )]
    Weights {
        /// Number of pairs.
        pairs: usize,
        /// Sum of the weights.
        total: f64,
    },
    /// Sides that are not in one space.
    #[error("the source has {source_dimension} coordinates and the target {target_dimension}, expected as many")]
    Dimensions {
        /// Coordinates of the source.
        source_dimension: usize,
        /// Coordinates of the target.
        target_dimension: usize,
    },
    /// A penalty outside its range.
    #[error("the ridge penalty is {got}, expected a positive finite number")]
    Penalty {
        /// The penalty found.
        got: f64,
    },
    /// The observer asked to stop.
    #[error("interrupted before the map was fitted")]
    Interrupted,
    /// Values so large or broken that no factorisation exists.
    #[error(transparent)]
    Decomposition(#[from] DecompositionError),
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

impl LinearMap {
    /// Maps the rows of `x`, `(n, d)`, to `(n, e)`.
    ///
    /// # Errors
    /// Rows of another dimension than d.
    pub fn apply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        himacl_nn::linear(x, &self.weight, &self.bias) // (n, e)
    }

    /// The map times a number; differentiable.
    pub(super) fn scaled(&self, factor: f64) -> candle_core::Result<Self> {
        Ok(Self { weight: (&self.weight * factor)?, bias: (&self.bias * factor)? })
    }

    /// `T(x) = x` in d dimensions.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn identity(dimension: usize, device: &Device) -> candle_core::Result<Self> {
        let weight = Tensor::eye(dimension, DType::F32, device)?;
        Ok(Self { weight, bias: Tensor::zeros(dimension, DType::F32, device)? })
    }

    /// The ridge map: `argmin_W Σ_i w_i |x_i W - y_i|² + λ |W|²` with Σ w = 1 and `λ = penalty · mean_j Σ_i w_i x_ij²`.
    ///
    /// The penalty is relative to the mean square of the inputs' coordinates, so that one number suits every scale and
    /// dimension. There is no intercept: centre both sides first; the bias is zero.
    ///
    /// *Shapes*: `x (n, d)`, `y (n, e)`, `weights (n,)` or none for equal ones; the map goes from d to e.
    /// *Complexity*: O(n d (d + e) + d³ + d² e), or O(n² (d + e) + n³) where n < d; O(d² + d e) memory beside the input.
    /// *Determinism*: products in f32 over fixed chunks of rows, sums and factorisation in f64 on one thread.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use himacl::map::LinearMap;
    /// let x = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
    /// let y = Tensor::new(&[[4f32], [2.0]], &Device::Cpu)?;
    /// // The Gram matrix is I / 2 and its mean diagonal 1/2: with penalty 1 the solution halves.
    /// let map = LinearMap::ridge(&x, &y, None, 1.0)?;
    /// assert_eq!(map.weight.to_vec2::<f32>()?, [[2.0], [1.0]]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// References: \[HK70\] Hoerl, Kennard, "Ridge regression", Technometrics 12, 1970.
    ///
    /// # Errors
    /// Sides of different lengths, weights that are negative or all zero, a penalty that is not positive, values that
    /// are not finite.
    pub fn ridge(x: &Tensor, y: &Tensor, weights: Option<&[f32]>, penalty: f64) -> Result<Self, FitError> {
        if !(penalty > 0.0 && penalty.is_finite()) {
            return Err(FitError::Penalty { got: penalty });
        }
        let (x, y) = weighted(x, y, weights)?;
        let ((n, d), (_, e)) = (x.dims2()?, y.dims2()?);
        let weight = if n < d {
            // Xᵀ (X Xᵀ + λ I)⁻¹ Y, the same map by way of the smaller matrix.
            let mut gram = inner_products(&x.t()?.contiguous()?, &x.t()?.contiguous()?)?; // (n, n)
            let lambda = penalty * trace(&gram) / d as f64;
            (0..n).for_each(|i| gram[(i, i)] += lambda);
            let right = to_mat(&y)?; // (n, e)
            let dual = to_tensor(&solve_positive_definite(gram, right)?, x.device())?; // (n, e)
            x.t()?.matmul(&dual)? // (d, e)
        } else {
            let mut gram = inner_products(&x, &x)?; // (d, d)
            let lambda = penalty * trace(&gram) / d as f64;
            (0..d).for_each(|j| gram[(j, j)] += lambda);
            to_tensor(&solve_positive_definite(gram, inner_products(&x, &y)?)?, x.device())? // (d, e)
        };
        Ok(Self { weight, bias: Tensor::zeros(e, DType::F32, x.device())? })
    }

    /// The best orthogonal map: `argmin_W Σ_i w_i |x_i W - y_i|²` over W with orthonormal rows (d ≤ e) or columns.
    ///
    /// `W = U Vᵀ` for the singular value decomposition `U S Vᵀ` of `Σ_i w_i x_iᵀ y_i`. For d ≠ e this maximises the
    /// summed inner products, which is the same objective only where the rows of W are orthonormal. No intercept.
    ///
    /// *Shapes*: `x (n, d)`, `y (n, e)`, `weights (n,)` or none for equal ones. *Complexity*: O(n d e + d e min(d, e)).
    /// *Determinism*: as [`LinearMap::ridge`].
    ///
    /// References: \[Sch66\] Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31,
    /// 1966.
    ///
    /// # Errors
    /// Sides of different lengths, weights that are negative or all zero, values that are not finite.
    pub fn procrustes(x: &Tensor, y: &Tensor, weights: Option<&[f32]>) -> Result<Self, FitError> {
        let (x, y) = weighted(x, y, weights)?;
        let weight = to_tensor(&orthogonal_factor(&inner_products(&x, &y)?)?, x.device())?; // (d, e)
        let bias = Tensor::zeros(weight.dim(1)?, DType::F32, x.device())?;
        Ok(Self { weight, bias })
    }
}

/// Both sides as f32 with rows multiplied by the square root of their normalised weights.
pub(super) fn weighted(x: &Tensor, y: &Tensor, weights: Option<&[f32]>) -> Result<(Tensor, Tensor), FitError> {
    let (n, rows) = (x.dims2()?.0, y.dims2()?.0);
    if rows != n {
        return Err(FitError::Rows { name: "y", got: rows, expected: n });
    }
    let roots: Vec<f32> = if let Some(weights) = weights {
        if weights.len() != n {
            return Err(FitError::Rows { name: "weights", got: weights.len(), expected: n });
        }
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        if !(total > 0.0 && total.is_finite() && weights.iter().all(|&weight| weight >= 0.0)) {
            return Err(FitError::Weights { pairs: n, total });
        }
        weights.iter().map(|&weight| (f64::from(weight) / total).sqrt() as f32).collect()
    } else {
        if n == 0 {
            return Err(FitError::Weights { pairs: 0, total: 0.0 });
        }
        vec![(1.0 / n as f64).sqrt() as f32; n]
    };
    let roots = Tensor::from_vec(roots, (n, 1), x.device())?;
    let scale = |side: &Tensor| side.to_dtype(DType::F32)?.broadcast_mul(&roots);
    Ok((scale(x)?, scale(y)?))
}

/// `aᵀ b`, `(d, e)`, for `a (n, d)` and `b (n, e)`.
pub(crate) fn inner_products(a: &Tensor, b: &Tensor) -> candle_core::Result<Mat<f64>> {
    let ((n, d), (_, e)) = (a.dims2()?, b.dims2()?);
    let mut total = Mat::<f64>::zeros(d, e);
    for start in (0..n).step_by(CHUNK_ROWS) {
        let rows = CHUNK_ROWS.min(n - start);
        let part = a.narrow(0, start, rows)?.t()?.matmul(&b.narrow(0, start, rows)?)?; // (d, e)
        let part = part.flatten_all()?.to_vec1::<f32>()?;
        for (i, row) in part.chunks_exact(e).enumerate() {
            for (j, &value) in row.iter().enumerate() {
                total[(i, j)] += f64::from(value);
            }
        }
    }
    Ok(total)
}

fn trace(matrix: &Mat<f64>) -> f64 {
    (0..matrix.nrows()).map(|i| matrix[(i, i)]).sum()
}

pub(super) fn to_mat(tensor: &Tensor) -> candle_core::Result<Mat<f64>> {
    let (rows, columns) = tensor.dims2()?;
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    Ok(Mat::from_fn(rows, columns, |i, j| f64::from(values[i * columns + j])))
}

pub(crate) fn to_tensor(matrix: &Mat<f64>, device: &Device) -> candle_core::Result<Tensor> {
    let (rows, columns) = matrix.shape();
    let values = (0..rows).flat_map(|i| (0..columns).map(move |j| matrix[(i, j)] as f32)).collect();
    Tensor::from_vec(values, (rows, columns), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hiref_core::rng;
    use rand_distr::{Distribution, StandardNormal};

    fn normal(rows: usize, columns: usize, purpose: u64) -> Tensor {
        let mut generator = rng::stream(1, &[purpose]);
        let values: Vec<f32> = (0..rows * columns).map(|_| StandardNormal.sample(&mut generator)).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        let difference = (a - b).unwrap().abs().unwrap().flatten_all().unwrap();
        difference.max(0).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn ridge_solves_the_normal_equations_on_both_paths() {
        for (n, d) in [(60, 7), (5, 9)] {
            let (x, y) = (normal(n, d, 1), normal(n, 3, 2));
            let weights: Vec<f32> = (0..n).map(|i| 1.0 + (i % 4) as f32).collect();
            let map = LinearMap::ridge(&x, &y, Some(&weights), 0.3).unwrap();
            let total: f32 = weights.iter().sum();
            let weights = (Tensor::from_vec(weights, (n, 1), &Device::Cpu).unwrap() / f64::from(total)).unwrap();
            let residual = (x.matmul(&map.weight).unwrap() - &y).unwrap().broadcast_mul(&weights).unwrap();
            let gradient = x.t().unwrap().matmul(&residual).unwrap();
            let squares =
                x.sqr().unwrap().broadcast_mul(&weights).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            let lambda = 0.3 * f64::from(squares) / d as f64;
            let penalty = (&map.weight * lambda).unwrap();
            assert!(largest_difference(&gradient, &penalty.neg().unwrap()) < 2e-6, "{n} rows, {d} columns");
        }
    }

    #[test]
    fn doubling_a_weight_is_repeating_the_row() {
        let (x, y) = (normal(9, 3, 1), normal(9, 2, 2));
        let weights = [2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        let once = LinearMap::ridge(&x, &y, Some(&weights), 0.1).unwrap();
        let twice = |side: &Tensor| Tensor::cat(&[side, &side.narrow(0, 0, 1).unwrap()], 0).unwrap();
        let repeated = LinearMap::ridge(&twice(&x), &twice(&y), None, 0.1).unwrap();
        assert!(largest_difference(&once.weight, &repeated.weight) < 1e-5);
    }

    #[test]
    fn procrustes_recovers_a_planted_rotation() {
        let rotation = LinearMap::procrustes(&normal(40, 6, 3), &normal(40, 6, 4), None).unwrap();
        let identity = rotation.weight.matmul(&rotation.weight.t().unwrap()).unwrap();
        assert!(largest_difference(&identity, &Tensor::eye(6, DType::F32, &Device::Cpu).unwrap()) < 1e-5);
        let x = normal(12, 6, 5);
        let found = LinearMap::procrustes(&x, &rotation.apply(&x).unwrap(), None).unwrap();
        assert!(largest_difference(&found.weight, &rotation.weight) < 1e-5);
    }

    #[test]
    fn each_rule_has_its_error() {
        let (x, y) = (normal(3, 2, 1), normal(4, 2, 2));
        assert!(matches!(LinearMap::ridge(&x, &y, None, 1.0), Err(FitError::Rows { name: "y", got: 4, expected: 3 })));
        assert!(matches!(LinearMap::ridge(&x, &x, None, 0.0), Err(FitError::Penalty { got: 0.0 })));
        let short = LinearMap::ridge(&x, &x, Some(&[1.0]), 1.0);
        assert!(matches!(short, Err(FitError::Rows { name: "weights", got: 1, expected: 3 })));
        let none = LinearMap::procrustes(&x, &x, Some(&[0.0; 3]));
        assert!(matches!(none, Err(FitError::Weights { pairs: 3, .. })));
        let broken = (&x * f64::NAN).unwrap();
        assert!(matches!(LinearMap::ridge(&broken, &x, None, 1.0), Err(FitError::Decomposition(_))));
    }
}
