//! The directions that carry a match.

use super::paired::Paired;
use super::words::{Vocabulary, Word};
use crate::align::AlignError;
use crate::error::Error;
use crate::map::{inner_products, orthogonal_factor, product, symmetric_eigen};
use candle_core::{Device, Tensor};
use faer::Mat;
use hiref_core::rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::Serialize;

/// Pairs that the rotation is found on; more change little.
const ROTATION_PAIRS: usize = 8192;
/// Steps of the rotation, at most.
const ROTATION_STEPS: usize = 60;
/// A step that gains less, relatively, is the last.
const LEAST_GAIN: f64 = 1e-6;
/// Names the stream of the pairs that the rotation is found on.
const SAMPLE: u64 = 0x6469_7265;
/// Items at an end of a direction whose words name it, at most; and the share of all items, at most.
const END_ITEMS: usize = 100;
const END_SHARE: usize = 10;
/// Words that name an end.
const END_WORDS: usize = 6;

/// Orthonormal directions, in which the score of a pair is a sum of contributions.
///
/// The score is the inner product of both items, each less its side's mean: what a pairing for the cosine, the inner product
/// or the squared distance makes large in the mean, the rest of those costs being the same for every pairing. The directions are
/// the first eigenvectors of the pairs' symmetrised cross-covariance, those in which the pairs agree most, then rotated
/// (varimax) so that each pair is carried by few of them.
///
/// References: \[Kai58\] Kaiser, "The varimax criterion for analytic rotation in factor analysis", Psychometrika 23, 1958.
#[derive(Debug, Clone)]
pub struct Directions {
    count: usize,
    /// Coordinates of the items along the directions, `(n, count)` and `(m, count)`.
    coordinates: [Vec<f32>; 2],
    /// Coordinates along the two directions of most agreement, before the rotation, `(n, 2)` and `(m, 2)`.
    plane: [Vec<f32>; 2],
    means: [Vec<f32>; 2],
    /// Mean contribution of each direction to the score of the pairs.
    mean_contributions: Vec<f64>,
    /// Directions as rows, `(count, d)`.
    axes: Vec<f32>,
}

/// One direction of a match, with what lies at its ends.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Direction {
    /// Its number.
    pub direction: usize,
    /// The words that set apart the items at its positive end, of both sides.
    pub positive_words: Vec<Word>,
    /// Those at its negative end.
    pub negative_words: Vec<Word>,
    /// The items of x and of y at its positive end, the farthest first.
    pub positive_items: [Vec<u32>; 2],
    /// Those at its negative end.
    pub negative_items: [Vec<u32>; 2],
}

impl Directions {
    /// Finds at most `count` directions; O((n + m) d²) for the covariance, O(d³) for its eigenvectors.
    ///
    /// *Determinism*: same bits for the same seed.
    ///
    /// # Errors
    /// Rows that are not finite; a failed tensor operation.
    pub fn find(paired: &Paired, count: usize, seed: u64) -> Result<Self, Error> {
        let ([x, y], [x_mean, y_mean]) = paired.centred()?;
        let d = paired.dimension();
        let pairs: Vec<(u32, u32)> = paired.pairs().iter().map(|&[i, j]| (i, j)).collect();
        let of = |side: &Tensor, rows: Vec<u32>| side.index_select(&Tensor::new(rows, &Device::Cpu)?, 0);
        let (rows, partners): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
        let cross = inner_products(&of(&x, rows)?, &of(&y, partners)?)?;
        let scale = 0.5 / pairs.len().max(1) as f64;
        let (_, vectors) =
            symmetric_eigen(&Mat::from_fn(d, d, |i, j| scale * (cross[(i, j)] + cross[(j, i)]))).map_err(failed)?;
        let count = count.clamp(1, d);
        let axes = vectors.get(.., ..count).to_owned();
        let project = |side: &Tensor, axes: &Mat<f64>| -> Result<Vec<f32>, Error> {
            let axes = crate::map::to_tensor(axes, &Device::Cpu)?;
            Ok(side.matmul(&axes)?.flatten_all()?.to_vec1()?)
        };
        let unrotated = [project(&x, &axes)?, project(&y, &axes)?];
        let plane = |values: &[f32]| -> Vec<f32> {
            values.chunks(count).flat_map(|row| [row[0], row.get(1).copied().unwrap_or_default()]).collect()
        };
        let plane = [plane(&unrotated[0]), plane(&unrotated[1])];
        let rotation = rotation(&unrotated, &pairs, count, seed)?;
        let rotated = product(&axes, &rotation);
        let all = [project(&x, &rotated)?, project(&y, &rotated)?];
        let mean_of = |k: usize| {
            let one = |&(i, j): &(u32, u32)| {
                f64::from(all[0][i as usize * count + k]) * f64::from(all[1][j as usize * count + k])
            };
            pairs.iter().map(one).sum::<f64>() / pairs.len().max(1) as f64
        };
        let mut order: Vec<(f64, usize)> = (0..count).map(|k| (mean_of(k), k)).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        // The farther end is the positive one: it is the end at which items have what the direction is about.
        let signs: Vec<f32> = order
            .iter()
            .map(|&(_, k)| {
                let cubes = all.iter().flat_map(|side| side.iter().skip(k).step_by(count));
                if cubes.map(|&value| f64::from(value).powi(3)).sum::<f64>() < 0.0 { -1.0 } else { 1.0 }
            })
            .collect();
        let arranged = |values: &[f32]| -> Vec<f32> {
            values.chunks(count).flat_map(|row| order.iter().zip(&signs).map(|(&(_, k), sign)| sign * row[k])).collect()
        };
        let axes = order.iter().zip(&signs);
        let axes = axes.flat_map(|(&(_, k), sign)| (0..d).map(|i| sign * rotated[(i, k)] as f32).collect::<Vec<_>>());
        let mean = |mean: &Tensor| mean.flatten_all()?.to_vec1::<f32>();
        Ok(Self {
            count,
            coordinates: [arranged(&all[0]), arranged(&all[1])],
            plane,
            means: [mean(&x_mean)?, mean(&y_mean)?],
            axes: axes.collect(),
            mean_contributions: order.into_iter().map(|(mean, _)| mean).collect(),
        })
    }

    /// Number of directions.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Never: there is at least one direction.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Coordinates along the directions, `(n, count)` of x or `(m, count)` of y, the side given by 0 or 1.
    ///
    /// # Panics
    /// For another side.
    pub fn coordinates(&self, side: usize) -> &[f32] {
        &self.coordinates[side]
    }

    /// Coordinates along the two directions in which the pairs agree most, `(n, 2)` or `(m, 2)`: the map.
    ///
    /// # Panics
    /// For another side than 0 or 1.
    pub fn plane(&self, side: usize) -> &[f32] {
        &self.plane[side]
    }

    /// A direction as a unit vector, `(d,)`.
    ///
    /// # Panics
    /// For a direction beyond the last.
    pub fn axis(&self, direction: usize) -> &[f32] {
        let d = self.axes.len() / self.count;
        &self.axes[direction * d..][..d]
    }

    /// The mean contribution of each direction to the score of a pair, falling, `(count,)`.
    pub fn mean_contributions(&self) -> &[f64] {
        &self.mean_contributions
    }

    /// The contribution of each direction to the score of i and j, `(count,)`.
    pub fn contributions(&self, i: u32, j: u32) -> Vec<f64> {
        let row = |side: usize, item: u32| &self.coordinates[side][item as usize * self.count..][..self.count];
        row(0, i).iter().zip(row(1, j)).map(|(&a, &b)| f64::from(a) * f64::from(b)).collect()
    }

    /// The whole score of i and j, which the contributions are parts of.
    pub fn score(&self, paired: &Paired, i: u32, j: u32) -> f64 {
        let centred = |row: &[f32], mean: &[f32]| -> Vec<f64> {
            row.iter().zip(mean).map(|(&value, &mean)| f64::from(value) - f64::from(mean)).collect()
        };
        let (x, y) = (centred(paired.x(i), &self.means[0]), centred(paired.y(j), &self.means[1]));
        x.iter().zip(&y).map(|(a, b)| a * b).sum()
    }

    /// What lies at the ends of a direction: `items` of each side, and the words of those and the next ones. `vocabulary`
    /// has the texts of x, then those of y.
    ///
    /// # Panics
    /// For a direction beyond the last.
    pub fn describe(&self, direction: usize, items: usize, vocabulary: &Vocabulary) -> Direction {
        let ends = |sign: f32| -> ([Vec<u32>; 2], Vec<Word>) {
            let mut texts = Vec::new();
            let mut first = 0;
            let sides = [0, 1].map(|side| {
                let values: Vec<f32> =
                    self.coordinates[side].iter().skip(direction).step_by(self.count).map(|v| sign * v).collect();
                let end = largest(&values, END_ITEMS.min(values.len().div_ceil(END_SHARE)).max(items));
                texts.extend(end.iter().map(|item| first + item));
                first += values.len() as u32;
                end[..items.min(end.len())].to_vec()
            });
            (sides, vocabulary.distinctive(&texts, None, END_WORDS))
        };
        let ((positive_items, positive_words), (negative_items, negative_words)) = (ends(1.0), ends(-1.0));
        Direction { direction, positive_words, negative_words, positive_items, negative_items }
    }

    /// [`Directions::describe`] of all.
    pub fn describe_all(&self, items: usize, vocabulary: &Vocabulary) -> Vec<Direction> {
        (0..self.count).into_par_iter().map(|direction| self.describe(direction, items, vocabulary)).collect()
    }
}

fn failed(error: crate::map::DecompositionError) -> Error {
    AlignError::from(crate::map::FitError::from(error)).into()
}

/// The indices of the `count` largest values, falling.
fn largest(values: &[f32], count: usize) -> Vec<u32> {
    let mut best = crate::eval::Best::new(count);
    values.iter().enumerate().for_each(|(at, &value)| best.offer(value, at as u32));
    best.sorted().into_iter().map(|(_, at)| at).collect()
}

/// The varimax rotation of the mean coordinates of the pairs, `(count, count)`.
fn rotation(sides: &[Vec<f32>; 2], pairs: &[(u32, u32)], count: usize, seed: u64) -> Result<Mat<f64>, Error> {
    let mut sample = pairs.to_vec();
    sample.shuffle(&mut rng::stream(seed, &[SAMPLE]));
    sample.truncate(ROTATION_PAIRS);
    let rows = sample.len();
    let value = |side: &[f32], item: u32, k: usize| f64::from(side[item as usize * count + k]);
    let loadings = Mat::from_fn(rows, count, |row, k| {
        let (i, j) = sample[row];
        0.5 * (value(&sides[0], i, k) + value(&sides[1], j, k))
    });
    let turned = loadings.transpose().to_owned();
    let mut rotation = Mat::<f64>::identity(count, count);
    let mut last = 0.0;
    for _ in 0..ROTATION_STEPS {
        let rotated = product(&loadings, &rotation);
        let squares: Vec<f64> = (0..count)
            .map(|k| (0..rows).map(|row| rotated[(row, k)].powi(2)).sum::<f64>() / rows.max(1) as f64)
            .collect();
        let fourths: f64 = rotated.col_iter().flat_map(faer::ColRef::iter).map(|value| value.powi(4)).sum();
        let criterion = fourths / rows.max(1) as f64 - squares.iter().map(|square| square * square).sum::<f64>();
        if criterion <= last * (1.0 + LEAST_GAIN) {
            break;
        }
        last = criterion;
        let gradient = Mat::from_fn(rows, count, |row, k| {
            let value = rotated[(row, k)];
            value.powi(3) - value * squares[k]
        });
        rotation = orthogonal_factor(&product(&turned, &gradient)).map_err(failed)?;
    }
    Ok(rotation)
}
