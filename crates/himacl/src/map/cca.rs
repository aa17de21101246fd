//! Canonical correlation analysis: projections of both sides in which pairs correlate most.

use super::decomposition::{product, symmetric_eigen};
use super::linear::{FitError, inner_products, to_tensor, weighted};
use candle_core::{Result, Tensor};
use faer::Mat;

/// Projections of both sides to common coordinates.
#[derive(Debug, Clone)]
pub struct CanonicalMap {
    /// `(d, c)`.
    pub source: Tensor,
    /// `(e, c)`.
    pub target: Tensor,
    /// Regularised correlations, falling, in [0, 1], `(c,)`.
    pub correlations: Vec<f64>,
}

impl CanonicalMap {
    /// Regularised canonical correlation analysis of paired rows, centred beforehand: the singular vectors of
    /// `(Cxx + λx I)^-1/2 Cxy (Cyy + λy I)^-1/2`, with λ `penalty` times the mean diagonal of its covariance. Each pair
    /// of columns is multiplied by the square root of its correlation, so that inner products weigh directions by it.
    ///
    /// *Shapes*: `x (n, d)`, `y (n, e)`; c is at most `dimension`, d and e. *Complexity*: O(n (d + e)² + (d + e)³).
    /// *Determinism*: as [`LinearMap::ridge`](super::LinearMap::ridge).
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use himacl::map::CanonicalMap;
    /// let x = Tensor::new(&[[1f32, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], &Device::Cpu)?;
    /// let map = CanonicalMap::fit(&x, &(&x * 3.0)?, 2, 1e-9)?;
    /// assert!(map.correlations.iter().all(|correlation| (correlation - 1.0).abs() < 1e-6));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// References: \[H36\] Hotelling, "Relations between two sets of variates", Biometrika 28, 1936; \[V76\] Vinod,
    /// "Canonical ridge and econometrics of joint production", Journal of Econometrics 4, 1976 (the penalty).
    ///
    /// # Errors
    /// Sides of different lengths or without pairs, a penalty that is not positive, values that are not finite.
    pub fn fit(x: &Tensor, y: &Tensor, dimension: usize, penalty: f64) -> std::result::Result<Self, FitError> {
        if !(penalty > 0.0 && penalty.is_finite()) {
            return Err(FitError::Penalty { got: penalty });
        }
        let (x, y) = weighted(x, y, None)?;
        let (x_root, y_root) =
            (inverse_root(&inner_products(&x, &x)?, penalty)?, inverse_root(&inner_products(&y, &y)?, penalty)?);
        let whitened = product(&product(&x_root, &inner_products(&x, &y)?), &y_root); // (d, e)
        // Left singular vectors by the symmetric product; the right ones follow from them.
        let (squares, left) = symmetric_eigen(&product(&whitened, &whitened.transpose().to_owned()))?;
        let largest = squares.first().copied().unwrap_or(0.0);
        let kept = squares.iter().take(dimension.min(whitened.ncols())).take_while(|&&s| s > 1e-12 * largest).count();
        let correlations: Vec<f64> = squares[..kept].iter().map(|square| square.sqrt()).collect();
        let left = Mat::from_fn(left.nrows(), kept, |i, c| left[(i, c)] * correlations[c].sqrt());
        // Vᵀ = S⁻¹ Uᵀ W, and the columns carry the square roots already.
        let right = product(&whitened.transpose().to_owned(), &left); // (e, c)
        let right = Mat::from_fn(right.nrows(), kept, |j, c| right[(j, c)] / correlations[c]);
        let device = x.device();
        Ok(Self {
            source: to_tensor(&product(&x_root, &left), device)?,
            target: to_tensor(&product(&y_root, &right), device)?,
            correlations,
        })
    }

    /// Both sides, `(n, d)` and `(m, e)`, in unit rows of the common coordinates.
    ///
    /// # Errors
    /// Rows of other dimensions than those fitted on.
    pub fn joint(&self, x: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((super::unit_rows(&x.matmul(&self.source)?)?, super::unit_rows(&y.matmul(&self.target)?)?))
    }
}

/// `(C + λ I)^-1/2`.
fn inverse_root(covariance: &Mat<f64>, penalty: f64) -> std::result::Result<Mat<f64>, FitError> {
    let size = covariance.nrows();
    let mean = (0..size).map(|i| covariance[(i, i)]).sum::<f64>() / size.max(1) as f64;
    let (values, vectors) = symmetric_eigen(covariance)?;
    let lambda = (penalty * mean).max(f64::MIN_POSITIVE);
    let scaled = Mat::from_fn(size, size, |i, j| vectors[(i, j)] / (values[j].max(0.0) + lambda).sqrt());
    Ok(product(&scaled, &vectors.transpose().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use hiref_core::rng;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn a_shared_direction_is_found_with_its_correlation() {
        // y_0 = 0.8 x_1 + 0.6 noise: correlation 0.8 between x_1 and y_0, none elsewhere.
        let n = 20_000;
        let mut generator = rng::stream(3, &[]);
        let mut normal = || -> f32 { StandardNormal.sample(&mut generator) };
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let (a, b) = (normal(), normal());
            x.extend([a, 5.0 * b, normal()]);
            y.extend([0.8 * b + 0.6 * normal(), 2.0 * normal()]);
        }
        let x = Tensor::from_vec(x, (n, 3), &Device::Cpu).unwrap();
        let y = Tensor::from_vec(y, (n, 2), &Device::Cpu).unwrap();
        let map = CanonicalMap::fit(&x, &y, 2, 1e-6).unwrap();
        assert!((map.correlations[0] - 0.8).abs() < 0.02 && map.correlations[1] < 0.03, "{:?}", map.correlations);
        let column = map.source.to_vec2::<f32>().unwrap().iter().map(|row| row[0]).collect::<Vec<_>>();
        assert!((5.0 * column[1]).abs() > 20.0 * column[0].abs().max(column[2].abs()), "{column:?}");
        // The projected pairs correlate as the singular value says.
        let (a, b) = (x.matmul(&map.source).unwrap(), y.matmul(&map.target).unwrap());
        let first = |side: &Tensor| side.narrow(1, 0, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (a, b) = (first(&a), first(&b));
        let inner = |p: &[f32], q: &[f32]| p.iter().zip(q).map(|(p, q)| f64::from(p * q)).sum::<f64>();
        let correlation = inner(&a, &b) / (inner(&a, &a) * inner(&b, &b)).sqrt();
        assert!((correlation - map.correlations[0]).abs() < 1e-3, "{correlation}");
    }

    #[test]
    fn bad_input_is_refused() {
        let x = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap();
        assert!(matches!(CanonicalMap::fit(&x, &x, 2, 0.0), Err(FitError::Penalty { .. })));
        assert!(CanonicalMap::fit(&x, &x.narrow(0, 0, 1).unwrap(), 2, 1.0).is_err());
    }
}
