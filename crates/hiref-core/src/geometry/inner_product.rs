//! Every cost's co-clusters come from one bilinear form.

use crate::cost::CostKind;
use crate::problem::Problem;
use rayon::prelude::*;

/// Features in which pairing well means a large sum of inner products: `x (n, k)`, `y (m, k)`, f32, row-major.
///
/// Up to terms that depend on one point alone, the mean cost of a coupling is `separable - factor * mean <x̃_i, ỹ_π(i)>`:
///
/// - n = m: every bijection has the same separable terms, so the features are the points (normalised for the cosine),
///   each side centred by its own mean, k = d.
/// - n < m: the points of y that stay unmatched pay nothing. Stand-ins for "no partner" are zero vectors on the x side,
///   and the features of y must carry its separable term: for the squared Euclidean cost `x̃ = (x, -1/2)`,
///   `ỹ = (y, |y|²)`, both centred at the mean of x, k = d + 1; the points themselves for cosine and inner product.
///
/// The Euclidean cost has no finite factorisation: it splits by the squared one's co-clusters, and is exact in the
/// leaves and the polish.
#[derive(Debug)]
pub(crate) struct InnerProductGeometry {
    /// `(n, k)`
    pub(crate) x: Vec<f32>,
    /// `(m, k)`
    pub(crate) y: Vec<f32>,
    /// Feature dimension k.
    pub(crate) dimension: usize,
    separable: f64,
    factor: f64,
    exact: bool,
}

impl InnerProductGeometry {
    /// Features of a problem with n <= m; O((n + m) d).
    pub(crate) fn new(problem: &Problem) -> Self {
        let (x, y) = (problem.x().rows(), problem.y().rows());
        let (x, y) = (x.as_slice(), y.as_slice());
        let d = problem.x().dimension();
        let (n, m) = (problem.x().num_points(), problem.y().num_points());
        let normalize = problem.cost() == CostKind::Cosine;
        let squared = matches!(problem.cost(), CostKind::SquaredEuclidean | CostKind::Euclidean);
        let factor = if squared { 2.0 } else { 1.0 };
        let exact = problem.cost() != CostKind::Euclidean;
        let mean_x = mean_row(x, d, normalize);
        let origin = vec![0.0; d];
        if n == m {
            let mean_y = mean_row(y, d, normalize);
            let between_means = |cost: CostKind| match cost {
                CostKind::SquaredEuclidean | CostKind::Euclidean => {
                    mean_x.iter().zip(&mean_y).map(|(a, b)| (a - b) * (a - b)).sum()
                }
                CostKind::Cosine => 1.0 - dot(&mean_x, &mean_y),
                CostKind::NegativeInnerProduct => -dot(&mean_x, &mean_y),
            };
            let features_x = features(x, d, &mean_x, normalize, None);
            let features_y = features(y, d, &mean_y, normalize, None);
            let spread = if squared { mean_square(&features_x, d) + mean_square(&features_y, d) } else { 0.0 };
            let separable = between_means(problem.cost()) + spread;
            return Self { x: features_x, y: features_y, dimension: d, separable, factor, exact };
        }
        if squared {
            let features_x = features(x, d, &mean_x, false, Some(|_| -0.5));
            let features_y = features(y, d, &mean_x, false, Some(|square| square));
            let separable = mean_square(&features_x, d + 1) - 0.25;
            return Self { x: features_x, y: features_y, dimension: d + 1, separable, factor, exact };
        }
        let (x, y) = (features(x, d, &origin, normalize, None), features(y, d, &origin, normalize, None));
        Self { x, y, dimension: d, separable: if normalize { 1.0 } else { 0.0 }, factor, exact }
    }

    /// Number of real x points, n.
    pub(crate) fn num_x(&self) -> usize {
        self.x.len() / self.dimension
    }

    /// Number of y points, m >= n.
    pub(crate) fn num_y(&self) -> usize {
        self.y.len() / self.dimension
    }

    /// The features of x point `i`, `None` for the stand-ins i >= n.
    pub(crate) fn x_row(&self, i: u32) -> Option<&[f32]> {
        self.x.get(i as usize * self.dimension..).and_then(|rest| rest.get(..self.dimension))
    }

    /// The features of y point `j`.
    pub(crate) fn y_row(&self, j: u32) -> &[f32] {
        &self.y[j as usize * self.dimension..][..self.dimension]
    }

    /// Mean cost over the min(n, m) pairs of the coupling that spreads each block uniformly over its partner; `None` for
    /// the Euclidean cost. Blocks are ranges of the two orders. O((n + m) k), in f64.
    pub(crate) fn block_coupling_cost(&self, x_order: &[u32], y_order: &[u32], offsets: &[usize]) -> Option<f64> {
        let k = self.dimension;
        let total = |rows: &mut dyn Iterator<Item = &[f32]>| {
            let mut sum = vec![0.0_f64; k];
            for row in rows {
                for (s, &v) in sum.iter_mut().zip(row) {
                    *s += f64::from(v);
                }
            }
            sum
        };
        let terms: Vec<f64> = offsets
            .par_windows(2)
            .map(|range| {
                let range = range[0]..range[1];
                let x = total(&mut x_order[range.clone()].iter().filter_map(|&i| self.x_row(i)));
                let y = total(&mut y_order[range.clone()].iter().map(|&j| self.y_row(j)));
                dot(&x, &y) / range.len() as f64
            })
            .collect();
        self.exact.then(|| self.separable - self.factor * terms.iter().sum::<f64>() / self.num_x() as f64)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `1 / |row|` where the rows are to be normalised, else 1.
fn scale_of(row: &[f32], normalize: bool) -> f64 {
    if normalize { row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt().recip() } else { 1.0 }
}

/// The mean of the rows, `(d,)`, in f64, summed in fixed chunks.
fn mean_row(rows: &[f32], d: usize, normalize: bool) -> Vec<f64> {
    const CHUNK: usize = 4096;
    let partial: Vec<Vec<f64>> = rows
        .par_chunks(CHUNK * d)
        .map(|chunk| {
            let mut sum = vec![0.0; d];
            for row in chunk.chunks_exact(d) {
                let scale = scale_of(row, normalize);
                for (s, &v) in sum.iter_mut().zip(row) {
                    *s += f64::from(v) * scale;
                }
            }
            sum
        })
        .collect();
    let mut mean = vec![0.0; d];
    for sum in partial {
        for (m, s) in mean.iter_mut().zip(sum) {
            *m += s;
        }
    }
    let n = (rows.len() / d) as f64;
    mean.iter_mut().for_each(|m| *m /= n);
    mean
}

/// Rows less `centre`, with one more coordinate made of the row's squared norm where `extra` says so.
fn features(rows: &[f32], d: usize, centre: &[f64], normalize: bool, extra: Option<fn(f64) -> f64>) -> Vec<f32> {
    let k = d + usize::from(extra.is_some());
    let mut out = vec![0.0; rows.len() / d * k];
    out.par_chunks_exact_mut(k).zip(rows.par_chunks_exact(d)).for_each(|(out, row)| {
        let scale = scale_of(row, normalize);
        let mut square = 0.0;
        for ((out, &v), c) in out.iter_mut().zip(row).zip(centre) {
            let value = f64::from(v) * scale - c;
            square += value * value;
            *out = value as f32;
        }
        if let Some(extra) = extra {
            out[d] = extra(square) as f32;
        }
    });
    out
}

/// Mean squared norm of the rows.
fn mean_square(rows: &[f32], k: usize) -> f64 {
    let partial: Vec<f64> =
        rows.par_chunks(4096 * k).map(|chunk| chunk.iter().map(|&v| f64::from(v) * f64::from(v)).sum()).collect();
    partial.iter().sum::<f64>() / (rows.len() / k) as f64
}
