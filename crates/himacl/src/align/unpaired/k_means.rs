//! Centroids of one side.

use hiref_core::rng;
use rand::Rng;

/// Lloyd iterations; more change little, and the centroids are averaged over many restarts anyway.
const MOST_ITERATIONS: usize = 25;
/// Names the streams of the first centroids.
const CENTROIDS: u64 = 0x6b6d_6561;

/// Means of clusters.
#[derive(Debug, Clone)]
pub(crate) struct Centroids {
    /// `(count, width)` by rows.
    pub(crate) points: Vec<f32>,
    /// Items of each cluster, `(count,)`.
    pub(crate) sizes: Vec<usize>,
}

/// K-means of `points (n, width)`: centroids drawn far apart (k-means++), then Lloyd iterations until nothing moves.
///
/// A cluster that loses all items is put on the item farthest from its centroid. *Complexity*: O(25 n c width) for c
/// centroids. *Determinism*: a function of the arguments, on one thread: callers run restarts side by side.
///
/// References: \[AV07\] Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
///
/// # Panics
/// If there are fewer points than centroids.
pub(crate) fn k_means(points: &[f32], width: usize, count: usize, seed: u64, path: &[u64]) -> Centroids {
    let n = points.len() / width;
    assert!(count >= 1 && count <= n, "between one centroid and one for each point");
    let mut generator = rng::stream(seed, &[&[CENTROIDS], path].concat());
    let row = |i: usize| &points[i * width..][..width];
    let mut centroids: Vec<f32> = row(generator.random_range(0..n)).to_vec();
    let mut nearest = vec![f32::INFINITY; n];
    for k in 1..count {
        let last = &centroids[(k - 1) * width..][..width];
        for (i, nearest) in nearest.iter_mut().enumerate() {
            *nearest = nearest.min(squared_distance(row(i), last));
        }
        let total: f64 = nearest.iter().map(|&distance| f64::from(distance)).sum();
        let mut rest = generator.random::<f64>() * total;
        let drawn = nearest.iter().position(|&distance| {
            rest -= f64::from(distance);
            rest < 0.0
        });
        centroids.extend_from_slice(row(drawn.unwrap_or(n - 1)));
    }

    let mut cluster = vec![usize::MAX; n];
    let mut sizes = vec![0; count];
    for _ in 0..MOST_ITERATIONS {
        let mut moved = false;
        let norms: Vec<f32> = centroids.chunks(width).map(|c| 0.5 * dot(c, c)).collect();
        let mut farthest = (f32::NEG_INFINITY, 0);
        for (i, cluster) in cluster.iter_mut().enumerate() {
            let point = row(i);
            let mut best = (f32::INFINITY, 0);
            for (k, centroid) in centroids.chunks(width).enumerate() {
                let distance = norms[k] - dot(point, centroid);
                if distance < best.0 {
                    best = (distance, k);
                }
            }
            moved |= *cluster != best.1;
            *cluster = best.1;
            let distance = best.0 + 0.5 * dot(point, point);
            if distance > farthest.0 {
                farthest = (distance, i);
            }
        }
        let mut sums = vec![0.0f64; count * width];
        sizes.iter_mut().for_each(|size| *size = 0);
        for (i, &k) in cluster.iter().enumerate() {
            sizes[k] += 1;
            sums[k * width..][..width].iter_mut().zip(row(i)).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        for (k, &size) in sizes.iter().enumerate() {
            let centroid = &mut centroids[k * width..][..width];
            if size == 0 {
                centroid.copy_from_slice(row(farthest.1));
                moved = true;
            } else {
                let sum = &sums[k * width..][..width];
                centroid.iter_mut().zip(sum).for_each(|(value, sum)| *value = (sum / size as f64) as f32);
            }
        }
        if !moved {
            break;
        }
    }
    Centroids { points: centroids, sizes }
}

/// Inner product in eight lanes, so that it vectorises and its order is fixed.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    rest + lanes.iter().sum::<f32>()
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn well_separated_groups_are_found() {
        let mut generator = rng::stream(8, &[]);
        let centre = |group: usize| [[0.0f32, 0.0, 9.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]][group];
        let points: Vec<f32> = (0..90)
            .flat_map(|i| {
                centre(i % 3).map(|value| {
                    value
                        + 0.1 * {
                            let z: f32 = StandardNormal.sample(&mut generator);
                            z
                        }
                })
            })
            .collect();
        let found = k_means(&points, 3, 3, 5, &[1]);
        assert_eq!(found.sizes, [30; 3]);
        for group in 0..3 {
            let near = |c: &[f32]| squared_distance(c, &centre(group)) < 0.05;
            assert_eq!(found.points.chunks(3).filter(|c| near(c)).count(), 1, "group {group}");
        }
    }

    #[test]
    fn as_many_centroids_as_points_are_the_points() {
        let points = [0.0f32, 0.0, 1.0, 0.0, 0.0, 5.0, 7.0, 7.0];
        let found = k_means(&points, 2, 4, 0, &[]);
        assert_eq!(found.sizes, [1; 4]);
        assert!(points.chunks(2).all(|point| found.points.chunks(2).any(|centroid| centroid == point)));
    }

    #[test]
    fn inner_products_of_any_length() {
        let values: Vec<f32> = (1..=11).map(|value| value as f32).collect();
        assert_eq!(dot(&values, &values), 506.0);
    }
}
