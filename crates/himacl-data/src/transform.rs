//! Centring and normalising rows before they are compared.

use super::embeddings::Embeddings;
use crate::error::Error;
use rayon::prelude::*;

/// Rows that one partial sum covers: fixed, so that the bits do not depend on the number of threads.
const CHUNK_ROWS: usize = 1024;

impl Embeddings {
    /// All values as f32 less the mean row, `(n * d,)`: what f32 cannot hold is brought near to zero before it is rounded.
    ///
    /// # Errors
    /// As [`Embeddings::to_vec`].
    pub fn to_centered_vec(&self) -> Result<Vec<f32>, Error> {
        let mut values = self.to_vec_from_middle()?;
        center(&mut values, self.dimension());
        Ok(values)
    }
}

/// Subtracts the mean row from all rows of `values`, `(n, d)`, in place; returns the mean, `(d,)`.
///
/// The mean is accumulated in f64. O(n d).
pub fn center(values: &mut [f32], dimension: usize) -> Vec<f32> {
    let rows = values.len() / dimension;
    let partial: Vec<Vec<f64>> = values
        .par_chunks(CHUNK_ROWS * dimension)
        .map(|chunk| {
            let mut sum = vec![0.0; dimension];
            for row in chunk.chunks_exact(dimension) {
                sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            sum
        })
        .collect();
    let mut total = vec![0.0; dimension];
    for sum in &partial {
        total.iter_mut().zip(sum).for_each(|(total, value)| *total += value);
    }
    let mean: Vec<f32> = total.iter().map(|total| (total / rows as f64) as f32).collect();
    values.par_chunks_mut(dimension).for_each(|row| row.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean));
    mean
}

/// Divides every row of `values`, `(n, d)`, by its Euclidean norm, in place. O(n d).
///
/// # Errors
/// All rows whose norm is zero; they are left as they are.
pub fn normalize_rows(values: &mut [f32], dimension: usize) -> Result<(), Vec<usize>> {
    let zero = values.par_chunks_mut(dimension).enumerate().filter_map(|(index, row)| {
        let norm = row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
        if norm == 0.0 {
            return Some(index);
        }
        for value in row.iter_mut() {
            *value = (f64::from(*value) / norm) as f32;
        }
        None
    });
    let zero: Vec<usize> = zero.collect();
    if zero.is_empty() { Ok(()) } else { Err(zero) }
}

/// The rows of `values`, `(n, d)`, that are zero. O(n d).
pub fn zero_rows<T: Copy + Into<f32> + Sync>(values: &[T], dimension: usize) -> Vec<usize> {
    let rows = values.par_chunks(dimension).enumerate();
    rows.filter_map(|(index, row)| row.iter().all(|&value| value.into() == 0.0).then_some(index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_goes_and_the_norms_become_one() {
        let mut values = vec![1.0, 0.0, 7.0, 8.0];
        assert_eq!(center(&mut values, 2), [4.0, 4.0]);
        assert_eq!(values, [-3.0, -4.0, 3.0, 4.0]);
        normalize_rows(&mut values, 2).unwrap();
        assert_eq!(values, [-0.6, -0.8, 0.6, 0.8]);
        assert_eq!(normalize_rows(&mut [1.0, 0.0, 0.0, 0.0, 2.0, 0.0, -0.0, 0.0], 2), Err(vec![1, 3]));
        assert_eq!(zero_rows(&[1.0_f32, 0.0, 0.0, -0.0], 2), [1]);
    }
}
