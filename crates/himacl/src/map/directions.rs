//! Directions in which rows are least normal.

use super::decomposition::{orthogonal_factor, product};
use super::gaussian::power;
use super::linear::{FitError, inner_products, to_tensor};
use candle_core::{DType, Tensor};
use faer::Mat;
use hiref_core::rng;
use rand_distr::{Distribution, StandardNormal};

/// Iterations at most.
const ITERATIONS: usize = 60;
/// The mean of `1 - |cos|` between a direction and the one before at which they have settled.
const SETTLED: f64 = 1e-3;
/// Iterations after which directions that still turn as random ones do are given up, and what they turn by.
const PATIENCE: usize = 12;
const RESTLESS: f64 = 0.8;
/// Rows for each square of the dimension below which what is found is in the samples alone.
const FEWEST_ROWS: f64 = 0.5;
/// Rows of a product at a time.
const CHUNK_ROWS: usize = 32768;
/// Names the stream of the first directions.
const DIRECTIONS: u64 = 0x6469_7265;

/// The columns `Σ^½ θ_k`, `(d, d)`, that rows with independent components would be mixed from: in coordinates of unit
/// covariance the `θ_k` are orthonormal, and the fourth moments of the rows along them are least like a normal
/// distribution's. `None` where there are too few rows to tell.
///
/// All at once by a fixed point (\[Hyv99\]): `θ ← E z (θ · z)³ - 3 θ`, then the nearest orthogonal matrix. It settles fast
/// once a direction stands out from what the moments of the samples are off by: from random ones in d dimensions that takes
/// some 4 d² rows.
///
/// *Complexity*: O(n d² + d³) an iteration.
///
/// References: \[Hyv99\] Hyvärinen, "Fast and robust fixed-point algorithms for independent component analysis", IEEE
/// Transactions on Neural Networks 10, 1999.
pub(super) fn least_normal(rows: &Tensor, seed: u64) -> Result<Option<Mat<f64>>, FitError> {
    let (n, d) = rows.dims2()?;
    if (n as f64) < FEWEST_ROWS * (d * d) as f64 {
        return Ok(None);
    }
    let centred = rows.to_dtype(DType::F32)?.broadcast_sub(&rows.mean_keepdim(0)?)?;
    let covariance = inner_products(&centred, &centred)?;
    let covariance = Mat::from_fn(d, d, |i, j| covariance[(i, j)] / n as f64);
    let white = centred.matmul(&to_tensor(&power(&covariance, -0.5)?, rows.device())?)?;
    let mut generator = rng::stream(seed, &[DIRECTIONS]);
    let mut directions = orthogonal_factor(&Mat::from_fn(d, d, |_, _| StandardNormal.sample(&mut generator)))?;
    for iteration in 0..ITERATIONS {
        let next = orthogonal_factor(&fixed_point(&white, &directions)?)?;
        let turned = (0..d).map(|k| 1.0 - (0..d).map(|i| next[(i, k)] * directions[(i, k)]).sum::<f64>().abs());
        let turned = turned.sum::<f64>() / d as f64;
        directions = next;
        if turned < SETTLED {
            break;
        }
        if iteration >= PATIENCE && turned > RESTLESS {
            return Ok(None);
        }
    }
    Ok(Some(product(&power(&covariance, 0.5)?, &directions)))
}

/// `E z (θ_k · z)³ - 3 θ_k` as columns, `(d, d)`, for white rows z.
fn fixed_point(white: &Tensor, directions: &Mat<f64>) -> Result<Mat<f64>, FitError> {
    let (n, d) = white.dims2()?;
    let at = to_tensor(directions, white.device())?;
    let mut sum = Mat::<f64>::zeros(d, d);
    for start in (0..n).step_by(CHUNK_ROWS) {
        let rows = white.narrow(0, start, CHUNK_ROWS.min(n - start))?;
        let along = rows.matmul(&at)?; // (rows, d)
        let cubes = (along.sqr()? * along)?;
        sum += inner_products(&rows, &cubes)?;
    }
    Ok(Mat::from_fn(d, d, |i, k| sum[(i, k)] / n as f64 - 3.0 * directions[(i, k)]))
}

#[cfg(test)]
mod tests {
    use super::super::convex_gradient::tests::normal;
    use super::*;
    use candle_core::Device;

    /// Independent coordinates with values -1 and 1, mixed.
    #[test]
    fn mixed_coordinates_are_told_apart() {
        let (n, d) = (4000, 5);
        let signs = normal(n, d, 90).ge(0.0).unwrap().to_dtype(DType::F32).unwrap();
        let mixing = normal(d, d, 91);
        let rows = ((signs * 2.0).unwrap() - 1.0).unwrap().matmul(&mixing).unwrap();
        let found = least_normal(&rows, 1).unwrap().unwrap();
        let mixing = mixing.to_vec2::<f32>().unwrap();
        for column in mixing {
            let cosine = |k: usize| {
                let product: f64 = (0..d).map(|i| f64::from(column[i]) * found[(i, k)]).sum();
                let length =
                    |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
                let lengths = length(&mut column.iter().map(|&value| f64::from(value)));
                product.abs() / (lengths * length(&mut (0..d).map(|i| found[(i, k)])))
            };
            assert!((0..d).map(cosine).fold(0.0, f64::max) > 0.99);
        }
    }

    #[test]
    fn few_rows_have_none() {
        let rows = normal(600, 40, 92);
        assert!(least_normal(&rows, 1).unwrap().is_none());
        assert!(least_normal(&Tensor::zeros((9, 3), DType::F32, &Device::Cpu).unwrap(), 1).is_ok());
    }
}
