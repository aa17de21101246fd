//! An exact reference: the Hungarian algorithm with potentials, O(n² m), on a full f64 matrix.

use crate::UNMATCHED;
use crate::cost::Cost;

/// An optimal pairing of a small problem.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// `(n,)`: the y partner of each x point, [`UNMATCHED`] where there is none.
    pub y_of_x: Vec<u32>,
    /// Mean cost over the min(n, m) pairs.
    pub mean_cost: f64,
}

/// Pairs x `(n, d)` with y `(m, d)` optimally: every point of the smaller side exactly once. Meant for up to about 1000 points.
///
/// ```
/// use hiref_testkit::{Cost, exact_assignment};
/// let found = exact_assignment(&[0.0, 1.0], &[1.5, 9.0, 0.0], 1, Cost::SquaredEuclidean);
/// assert_eq!((found.y_of_x, found.mean_cost), (vec![2, 0], 0.125));
/// ```
///
/// # Panics
/// If the slices do not hold whole rows.
pub fn exact_assignment(x: &[f32], y: &[f32], dimension: usize, cost: Cost) -> Assignment {
    assert!(x.len().is_multiple_of(dimension) && y.len().is_multiple_of(dimension), "partial rows");
    let (n, m) = (x.len() / dimension, y.len() / dimension);
    let between = |i: usize, j: usize| cost.between(&x[i * dimension..][..dimension], &y[j * dimension..][..dimension]);
    let mut y_of_x = vec![UNMATCHED; n];
    if n <= m {
        let matrix: Vec<f64> = (0..n * m).map(|at| between(at / m, at % m)).collect();
        for (i, j) in exact_of_matrix(&matrix, n, m).into_iter().enumerate() {
            y_of_x[i] = j as u32;
        }
    } else {
        let matrix: Vec<f64> = (0..n * m).map(|at| between(at % n, at / n)).collect();
        for (j, i) in exact_of_matrix(&matrix, m, n).into_iter().enumerate() {
            y_of_x[i] = j as u32;
        }
    }
    let pairs = y_of_x.iter().enumerate().filter(|&(_, &j)| j != UNMATCHED);
    let mean_cost = pairs.map(|(i, &j)| between(i, j as usize)).sum::<f64>() / n.min(m) as f64;
    Assignment { y_of_x, mean_cost }
}

/// The column of each row in an optimal assignment of all `rows <= columns` rows; `matrix` is `(rows, columns)`, finite.
///
/// Rows enter one by one; each lengthens the matching along a shortest path in reduced costs. Index 0 of the working
/// arrays is a virtual column that holds the entering row.
pub fn exact_of_matrix(matrix: &[f64], rows: usize, columns: usize) -> Vec<usize> {
    let mut row_price = vec![0.0_f64; rows + 1];
    let mut column_price = vec![0.0_f64; columns + 1];
    let mut row_at = vec![0_usize; columns + 1];
    let mut previous = vec![0_usize; columns + 1];
    for entering in 1..=rows {
        row_at[0] = entering;
        let mut distance = vec![f64::INFINITY; columns + 1];
        let mut done = vec![false; columns + 1];
        let mut column = 0;
        while row_at[column] != 0 {
            done[column] = true;
            let row = row_at[column];
            let (mut step, mut nearest) = (f64::INFINITY, 0);
            for j in 1..=columns {
                if done[j] {
                    continue;
                }
                let reduced = matrix[(row - 1) * columns + j - 1] - row_price[row] - column_price[j];
                if reduced < distance[j] {
                    distance[j] = reduced;
                    previous[j] = column;
                }
                if distance[j] < step {
                    step = distance[j];
                    nearest = j;
                }
            }
            for j in 0..=columns {
                if done[j] {
                    row_price[row_at[j]] += step;
                    column_price[j] -= step;
                } else {
                    distance[j] -= step;
                }
            }
            column = nearest;
        }
        while column != 0 {
            row_at[column] = row_at[previous[column]];
            column = previous[column];
        }
    }
    let mut column_of = vec![0; rows];
    for j in 1..=columns {
        if row_at[j] != 0 {
            column_of[row_at[j] - 1] = j - 1;
        }
    }
    column_of
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// The least total over all ways to give each row its own column.
    fn brute_force(matrix: &[f64], rows: usize, columns: usize, row: usize, used: u32) -> f64 {
        if row == rows {
            return 0.0;
        }
        (0..columns)
            .filter(|j| used & (1 << j) == 0)
            .map(|j| matrix[row * columns + j] + brute_force(matrix, rows, columns, row + 1, used | (1 << j)))
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn equals_trying_everything() {
        let mut rng = StdRng::seed_from_u64(1);
        for case in 0..200 {
            let rows = rng.random_range(1..6);
            let columns = rng.random_range(rows..8);
            // Every other case on small integers, for ties.
            let matrix: Vec<f64> = (0..rows * columns)
                .map(|_| if case % 2 == 0 { rng.random_range(-1.0..1.0) } else { f64::from(rng.random_range(0..4)) })
                .collect();
            let found = exact_of_matrix(&matrix, rows, columns);
            let mut distinct = found.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), rows);
            let total: f64 = found.iter().enumerate().map(|(i, &j)| matrix[i * columns + j]).sum();
            assert!((total - brute_force(&matrix, rows, columns, 0, 0)).abs() < 1e-12);
        }
    }

    #[test]
    fn turning_the_sides_keeps_the_cost() {
        let mut rng = StdRng::seed_from_u64(2);
        let x: Vec<f32> = (0..3 * 40).map(|_| rng.random()).collect();
        let y: Vec<f32> = (0..3 * 55).map(|_| rng.random()).collect();
        for cost in Cost::ALL {
            let (one, other) = (exact_assignment(&x, &y, 3, cost), exact_assignment(&y, &x, 3, cost));
            assert!((one.mean_cost - other.mean_cost).abs() < 1e-12);
            assert_eq!(other.y_of_x.iter().filter(|&&j| j != UNMATCHED).count(), 40);
        }
    }
}
