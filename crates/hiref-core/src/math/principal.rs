//! The directions in which points vary most.

use crate::rng::stream;
use candle_core::{Device, Result, Tensor};
use rand::Rng;
use rand_distr::StandardNormal;

/// Rounds of subspace iteration.
const ITERATIONS: usize = 3;

/// Nearly the `k` leading principal directions of the rows of `points`, `(s, d)`, as orthonormal rows, `(k, d)`; k <= min(s, d).
///
/// Randomised subspace iteration (Halko, Martinsson, Tropp 2011, SIAM Review 53). O(s d k) time.
/// `None` if `should_stop` said so.
pub(crate) fn principal_directions(
    points: &Tensor,
    k: usize,
    seed: u64,
    should_stop: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Tensor>> {
    let d = points.dim(1)?;
    let mut rng = stream(seed, &[]);
    let mut directions: Vec<f64> = (0..k * d).map(|_| rng.sample(StandardNormal)).collect();
    let tensor = |values: &[f64]| {
        Tensor::from_iter(values.iter().map(|&v| v as f32), &Device::Cpu)?.reshape((values.len() / d, d))
    };
    for _ in 0..ITERATIONS {
        if should_stop() {
            return Ok(None);
        }
        orthonormalize(&mut directions, d);
        let along = points.matmul(&tensor(&directions)?.t()?)?; // (s, k)
        if should_stop() {
            return Ok(None);
        }
        let next = along.t()?.matmul(points)?; // (k, d)
        directions = next.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f64::from).collect();
    }
    orthonormalize(&mut directions, d);
    tensor(&directions).map(Some)
}

/// Makes rows of `d` values orthonormal; a row that depends on those before it becomes zero. O(k² d).
fn orthonormalize(rows: &mut [f64], d: usize) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for k in 0..rows.len() / d {
        let (done, rest) = rows.split_at_mut(k * d);
        let row = &mut rest[..d];
        let before = dot(row, row).sqrt();
        // Once more for what rounding has left.
        for _ in 0..2 {
            for other in done.chunks_exact(d) {
                let along = dot(row, other);
                row.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
            }
        }
        let norm = dot(row, row).sqrt();
        let scale = if norm > 1e-9 * before { norm.recip() } else { 0.0 };
        row.iter_mut().for_each(|v| *v *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points that vary by 5, 3 and 0.1 along three known directions of ten.
    #[test]
    fn finds_the_directions_of_most_variance() -> Result<()> {
        let (s, d) = (400, 10);
        let mut rng = stream(5, &[]);
        let mut basis: Vec<f64> = (0..3 * d).map(|_| rng.sample(StandardNormal)).collect();
        orthonormalize(&mut basis, d);
        let mut points = vec![0.0_f32; s * d];
        for row in points.chunks_exact_mut(d) {
            for (direction, scale) in basis.chunks_exact(d).zip([5.0, 3.0, 0.1]) {
                let along: f64 = rng.sample(StandardNormal);
                row.iter_mut().zip(direction).for_each(|(v, b)| *v += (scale * along * b) as f32);
            }
        }
        let found = principal_directions(&Tensor::from_vec(points, (s, d), &Device::Cpu)?, 2, 1, &|| false)?.unwrap();
        let found = found.to_vec2::<f32>()?;
        for (i, a) in found.iter().enumerate() {
            for (j, b) in found.iter().enumerate() {
                let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                assert!((dot - f32::from(u8::from(i == j))).abs() < 1e-5, "directions {i} and {j}: {dot}");
            }
        }
        // Each of the two leading directions lies within the plane that was found.
        for direction in basis.chunks_exact(d).take(2) {
            let within: f64 = found
                .iter()
                .map(|row| row.iter().zip(direction).map(|(a, b)| f64::from(*a) * b).sum::<f64>().powi(2))
                .sum();
            assert!(within > 0.999, "{within}");
        }
        Ok(())
    }

    #[test]
    fn fewer_distinct_directions_than_asked_for_give_zero_rows() -> Result<()> {
        let points = Tensor::from_vec(vec![1.0_f32, 0.0, 2.0, 0.0, -1.0, 0.0], (3, 2), &Device::Cpu)?;
        let found = principal_directions(&points, 2, 1, &|| false)?.unwrap().to_vec2::<f32>()?;
        assert!((found[0][0].abs() - 1.0).abs() < 1e-6 && found.iter().flatten().all(|v| v.is_finite()), "{found:?}");
        Ok(())
    }
}
