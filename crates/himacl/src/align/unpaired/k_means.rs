//! Centroids of one side.

use candle_core::{Result, Tensor};
use hiref_core::rng;
use rand::Rng;

/// Lloyd iterations; more change little, and the centroids are averaged over many restarts anyway.
const MOST_ITERATIONS: usize = 25;
/// Names the streams of the first centroids.
const CENTROIDS: u64 = 0x6b6d_6561;

/// Means of clusters.
#[derive(Debug, Clone)]
pub(super) struct Centroids {
    /// `(count, width)` by rows.
    pub(super) points: Vec<f32>,
    /// Items of each cluster, `(count,)`.
    pub(super) sizes: Vec<usize>,
}

/// K-means of `points (n, width)`: centroids drawn far apart (k-means++), then Lloyd iterations until nothing moves.
///
/// A cluster that loses all items is put on the item farthest from its centroid. *Complexity*: O(25 n c width) for c
/// centroids. *Determinism*: a function of the arguments, on one thread: callers run restarts side by side.
///
/// # Errors
/// A failed tensor operation.
///
/// References: \[AV07\] Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
///
/// # Panics
/// If there are fewer points than centroids.
pub(super) fn k_means(points: &Tensor, count: usize, seed: u64, path: &[u64]) -> Result<Centroids> {
    let (n, width) = points.dims2()?;
    assert!(count >= 1 && count <= n, "between one centroid and one for each point");
    let mut generator = rng::stream(seed, &[&[CENTROIDS], path].concat());
    let values: Vec<f32> = points.flatten_all()?.to_vec1()?;
    let row = |i: usize| &values[i * width..][..width];
    let half_norms: Vec<f32> = values.chunks(width).map(half_norm).collect();
    // Inner products of all points with some centroids, (n, number of them) by rows.
    let products = |centroids: &[f32]| -> Result<Vec<f32>> {
        let centroids = Tensor::from_slice(centroids, (centroids.len() / width, width), points.device())?;
        points.matmul(&centroids.t()?)?.flatten_all()?.to_vec1()
    };
    let mut centroids: Vec<f32> = row(generator.random_range(0..n)).to_vec();
    let mut nearest = vec![f32::INFINITY; n];
    for k in 1..count {
        let last = &centroids[(k - 1) * width..][..width];
        let (products, last) = (products(last)?, half_norm(last));
        for (i, nearest) in nearest.iter_mut().enumerate() {
            *nearest = nearest.min((half_norms[i] + last - products[i]).max(0.0));
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
        let norms: Vec<f32> = centroids.chunks(width).map(half_norm).collect();
        let mut farthest = (f32::NEG_INFINITY, 0);
        for (i, (cluster, products)) in cluster.iter_mut().zip(products(&centroids)?.chunks(count)).enumerate() {
            let distances = norms.iter().zip(products).map(|(norm, product)| norm - product);
            let (best, distance) =
                distances.enumerate().fold((0, f32::INFINITY), |best, (k, d)| if d < best.1 { (k, d) } else { best });
            moved |= *cluster != best;
            *cluster = best;
            if distance + half_norms[i] > farthest.0 {
                farthest = (distance + half_norms[i], i);
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
    Ok(Centroids { points: centroids, sizes })
}

fn half_norm(row: &[f32]) -> f32 {
    0.5 * row.iter().map(|value| value * value).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
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
        let points = Tensor::from_vec(points, (90, 3), &Device::Cpu).unwrap();
        let found = k_means(&points, 3, 5, &[1]).unwrap();
        assert_eq!(found.sizes, [30; 3]);
        for group in 0..3 {
            let near = |c: &[f32]| c.iter().zip(centre(group)).map(|(a, b)| (a - b) * (a - b)).sum::<f32>() < 0.05;
            assert_eq!(found.points.chunks(3).filter(|c| near(c)).count(), 1, "group {group}");
        }
    }

    #[test]
    fn as_many_centroids_as_points_are_the_points() {
        let points = [0.0f32, 0.0, 1.0, 0.0, 0.0, 5.0, 7.0, 7.0];
        let found = k_means(&Tensor::from_slice(&points, (4, 2), &Device::Cpu).unwrap(), 4, 0, &[]).unwrap();
        assert_eq!(found.sizes, [1; 4]);
        assert!(points.chunks(2).all(|point| found.points.chunks(2).any(|centroid| centroid == point)));
    }
}
