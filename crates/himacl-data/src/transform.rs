//! Centring and normalising rows before they are compared.

use rayon::prelude::*;

/// Rows that one partial sum covers: fixed, so that the bits do not depend on the number of threads.
const CHUNK_ROWS: usize = 1024;

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
/// The first row whose norm is zero.
pub fn normalize_rows(values: &mut [f32], dimension: usize) -> Result<(), usize> {
    let zero = values.par_chunks_mut(dimension).enumerate().filter_map(|(index, row)| {
        let norm = row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
        for value in row.iter_mut() {
            *value = (f64::from(*value) / norm) as f32;
        }
        (norm == 0.0).then_some(index)
    });
    zero.min().map_or(Ok(()), Err)
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
        assert_eq!(normalize_rows(&mut [1.0, 0.0, 0.0, 0.0], 2), Err(1));
    }
}
