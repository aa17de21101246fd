//! Every cost's co-clusters come from one bilinear form.

use super::Supports;
use crate::cost::CostKind;
use crate::error::Error;
use crate::math::{inner_products, principal_directions};
use crate::points::Rows;
use crate::rng::stream;
use candle_core::{Device, Tensor};
use rand::seq::index;
use rayon::prelude::*;

/// From this many coordinates on, features may be a projection.
const PROJECT_FROM: usize = 256;
/// And have this many.
const PROJECTED: usize = 128;
/// Provided that the directions hold this share of the variance. Measured (real image embeddings, 1280 coordinates: 0.77 held, the costs
/// after the leaves and each sweep are the same or lower; a thousand clusters in general position, 512 and 2048 coordinates: less than
/// half held, 1% dearer after 32 sweeps).
const HELD: f64 = 0.7;
/// Blocks of more values than this a side are split by a projection in any case: where the coarsest cuts run depends less on the rest, and
/// the features of a block are all in memory at once.
const MOST_VALUES: usize = 1 << 26;
/// Measured on a thousand clusters in general position, 70,000 points of 1,024 coordinates: 0.7% dearer after four sweeps with 512
/// directions, 1.4% with 128. That projection has this many coordinates, if points have at least four times as many.
const PROJECTED_IF_LARGE: usize = 512;
/// Points of each side whose principal directions are taken, at most.
const SAMPLE: usize = 8192;
/// Rows worked on at a time.
const CHUNK: usize = 256;

/// Features in which pairing well means a large sum of inner products: `x (n, k)`, `y (m, k)`, f32; computed from the points where they
/// are read, so that the points are stored once.
///
/// Up to terms that depend on one point alone, the mean cost of a coupling is `separable - factor * mean <x̃_i, ỹ_π(i)>`:
///
/// - n = m: every bijection has the same separable terms, so the features are the points (normalised for the cosine),
///   each side centred by its own mean, k = d.
/// - n < m: the points of y that stay unmatched pay nothing. Stand-ins for "no partner" are zero vectors on the x side,
///   and the features of y must carry its separable term: for the squared Euclidean cost `x̃ = (x, -1/2)`,
///   `ỹ = (y, |y|²)`, both centred at the mean of x, k = d + 1; the points themselves for cosine and inner product.
///
/// Points of many coordinates that vary in few directions are projected on these: only leaves and sweeps, which work on the points
/// themselves, tell neighbours apart. Large blocks are split by the projection even where it loses much. The Euclidean cost has no finite factorisation: it splits by the squared one's
/// co-clusters, and is exact in the leaves and the polish.
pub(crate) struct InnerProductGeometry<'a> {
    x: SideFeatures<'a>,
    y: SideFeatures<'a>,
    /// Whether the projection, where there is one, takes the place of the points everywhere.
    projected: bool,
    separable: f64,
    factor: f64,
    exact: bool,
}

impl<'a> InnerProductGeometry<'a> {
    /// Features of points with n <= m; O((n + m) d).
    pub(crate) fn new(supports: Supports<'a>) -> Self {
        let Supports { x, y, cost, .. } = supports;
        let (n, m) = (x.num_points(), y.num_points());
        let normalize = cost == CostKind::Cosine;
        let squared = matches!(cost, CostKind::SquaredEuclidean | CostKind::Euclidean);
        // What the features are centred at.
        let (origin_x, origin_y) = match (n == m, squared) {
            (true, _) => (mean_row(x, normalize), mean_row(y, normalize)),
            (false, true) => (mean_row(x, false), mean_row(x, false)),
            (false, false) => (vec![0.0; x.dimension()], vec![0.0; x.dimension()]),
        };
        let between_origins = match cost {
            CostKind::SquaredEuclidean | CostKind::Euclidean => {
                origin_x.iter().zip(&origin_y).map(|(a, b)| (a - b) * (a - b)).sum()
            }
            CostKind::Cosine => 1.0 - dot(&origin_x, &origin_y),
            CostKind::NegativeInnerProduct => -dot(&origin_x, &origin_y),
        };
        let extra = |term: fn(f64) -> f64| (n != m && squared).then_some(term);
        let x = SideFeatures { rows: x, origin: origin_x, normalize, extra: extra(|_| -0.5), projected: None };
        let y = SideFeatures { rows: y, origin: origin_y, normalize, extra: extra(|square| square), projected: None };
        let separable = match (n == m, squared) {
            (true, true) => x.mean_square() + y.mean_square(),
            // The extra features carry the square of y.
            (false, true) => x.mean_square(),
            (_, false) => 0.0,
        };
        Self {
            projected: false,
            separable: between_origins + separable,
            factor: if squared { 2.0 } else { 1.0 },
            exact: cost != CostKind::Euclidean,
            x,
            y,
        }
    }

    /// Projects points of many coordinates on few directions, where the rules above say so; O((n + m) d k).
    ///
    /// # Errors
    /// [`Error::Interrupted`] if `should_stop` said so; a failed tensor operation.
    pub(crate) fn project(&mut self, seed: u64, should_stop: &(dyn Fn() -> bool + Sync)) -> Result<(), Error> {
        let Self { x, y, .. } = self;
        let (d, values) = (y.rows.dimension(), y.rows.num_points() * y.rows.dimension());
        let mut directions = None;
        if d >= PROJECT_FROM {
            directions =
                Some(leading_directions(x, y, PROJECTED, seed, should_stop)?).filter(|(_, held)| *held >= HELD);
        }
        self.projected = directions.is_some();
        if !self.projected && values > MOST_VALUES && d >= 4 * PROJECTED_IF_LARGE {
            directions = Some(leading_directions(x, y, PROJECTED_IF_LARGE, seed, should_stop)?);
        }
        if let Some((directions, _)) = directions {
            x.project(&directions, should_stop)?;
            y.project(&directions, should_stop)?;
        }
        Ok(())
    }

    /// Feature dimension k.
    pub(crate) fn dimension(&self) -> usize {
        self.features().dimension()
    }

    /// How many of the features, counted from the first, are coordinates of the points.
    pub(crate) fn coordinates(&self) -> usize {
        self.x.coordinates(self.projected)
    }

    /// The features as a rule.
    fn features(&self) -> Features<'_> {
        Features { x: &self.x, y: &self.y, projected: self.projected }
    }

    /// The features by which blocks of `size` points are split.
    pub(crate) fn features_of_blocks(&self, size: usize) -> Features<'_> {
        let large = self.x.projected.is_some() && size * self.x.origin.len() > MOST_VALUES;
        Features { projected: self.projected || large, ..self.features() }
    }

    /// Number of real x points, n.
    pub(crate) fn num_x(&self) -> usize {
        self.x.rows.num_points()
    }

    /// Number of y points, m >= n.
    pub(crate) fn num_y(&self) -> usize {
        self.y.rows.num_points()
    }

    /// Bytes of all features in f32.
    #[cfg(feature = "cuda")]
    pub(crate) fn bytes(&self) -> u64 {
        4 * ((self.num_x() + self.num_y()) * self.dimension()) as u64
    }

    /// As [`Features::copy_x`], of the features as a rule.
    pub(crate) fn copy_x(&self, i: u32, out: &mut [f32]) -> bool {
        self.features().copy_x(i, out)
    }

    /// As [`Features::copy_y`], of the features as a rule.
    pub(crate) fn copy_y(&self, j: u32, out: &mut [f32]) {
        self.features().copy_y(j, out);
    }

    /// Mean cost over the min(n, m) pairs of the coupling that spreads each block uniformly over its partner, from the points themselves;
    /// `None` for the Euclidean cost. Blocks are ranges of the two orders. O((n + m) d), in f64.
    pub(crate) fn block_coupling_cost(&self, x_order: &[u32], y_order: &[u32], offsets: &[usize]) -> Option<f64> {
        if !self.exact {
            return None;
        }
        let features = Features { projected: false, ..self.features() };
        let k = features.dimension();
        let add = |sum: &mut [f64], row: &[f32]| sum.iter_mut().zip(row).for_each(|(s, &v)| *s += f64::from(v));
        let terms: Vec<f64> = offsets
            .par_windows(2)
            .map(|range| {
                let range = range[0]..range[1];
                let (mut x, mut y, mut row) = (vec![0.0; k], vec![0.0; k], vec![0.0; k]);
                for (&i, &j) in x_order[range.clone()].iter().zip(&y_order[range.clone()]) {
                    features.copy_x(i, &mut row);
                    add(&mut x, &row);
                    features.copy_y(j, &mut row);
                    add(&mut y, &row);
                }
                dot(&x, &y) / range.len() as f64
            })
            .collect();
        Some(self.separable - self.factor * terms.iter().sum::<f64>() / self.num_x() as f64)
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
fn mean_row(rows: Rows<'_>, normalize: bool) -> Vec<f64> {
    let d = rows.dimension();
    let partial: Vec<Vec<f64>> = rows
        .chunks(CHUNK)
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
    mean.iter_mut().for_each(|m| *m /= rows.num_points() as f64);
    mean
}

/// One kind of features of both sides.
#[derive(Clone, Copy)]
pub(crate) struct Features<'a> {
    x: &'a SideFeatures<'a>,
    y: &'a SideFeatures<'a>,
    projected: bool,
}

impl Features<'_> {
    /// Feature dimension k.
    pub(crate) fn dimension(self) -> usize {
        self.x.coordinates(self.projected) + usize::from(self.x.extra.is_some())
    }

    /// Writes the features of x point `i` to `out`, `(k,)`; zeros, and false, for the stand-ins i >= n.
    pub(crate) fn copy_x(self, i: u32, out: &mut [f32]) -> bool {
        let is_point = (i as usize) < self.x.rows.num_points();
        if is_point {
            self.x.copy(i as usize, self.projected, out);
        } else {
            out.fill(0.0);
        }
        is_point
    }

    /// Writes the features of y point `j` to `out`, `(k,)`.
    pub(crate) fn copy_y(self, j: u32, out: &mut [f32]) {
        self.y.copy(j as usize, self.projected, out);
    }
}

/// The points of one side, and how they become features.
struct SideFeatures<'a> {
    rows: Rows<'a>,
    /// `(d,)`
    origin: Vec<f64>,
    normalize: bool,
    /// One more feature, made of the squared norm.
    extra: Option<fn(f64) -> f64>,
    /// `(n, k)`
    projected: Option<Projected>,
}

struct Projected {
    features: Vec<f32>,
    coordinates: usize,
}

impl SideFeatures<'_> {
    fn coordinates(&self, projected: bool) -> usize {
        self.projected.as_ref().filter(|_| projected).map_or(self.origin.len(), |projected| projected.coordinates)
    }

    /// Writes the features of a point to `out`.
    fn copy(&self, index: usize, projected: bool, out: &mut [f32]) {
        if let Some(Projected { features, .. }) = self.projected.as_ref().filter(|_| projected) {
            out.copy_from_slice(&features[index * out.len()..][..out.len()]);
            return;
        }
        let d = self.origin.len();
        self.rows.copy_row(index, &mut out[..d]);
        let square = self.centre(&mut out[..d]);
        if let Some(extra) = self.extra {
            out[d] = extra(square) as f32;
        }
    }

    /// Takes the origin from a row, normalised where asked; returns the sum of squares.
    fn centre(&self, row: &mut [f32]) -> f64 {
        let scale = scale_of(row, self.normalize);
        let mut square = 0.0;
        for (v, c) in row.iter_mut().zip(&self.origin) {
            let value = f64::from(*v) * scale - c;
            square += value * value;
            *v = value as f32;
        }
        square
    }

    /// The mean squared norm of the centred points.
    fn mean_square(&self) -> f64 {
        let d = self.origin.len();
        let sums: Vec<f64> = self
            .rows
            .chunks(CHUNK)
            .map(|rows| rows.into_owned().chunks_exact_mut(d).map(|row| self.centre(row)).sum())
            .collect();
        sums.iter().sum::<f64>() / self.rows.num_points() as f64
    }

    /// Some of the points, centred: drawn without replacement.
    fn sample(&self, seed: u64) -> Vec<f32> {
        let n = self.rows.num_points();
        let mut chosen = index::sample(&mut stream(seed, &[3]), n, n.min(SAMPLE)).into_vec();
        chosen.sort_unstable();
        let mut rows = self.rows.gather(&chosen.into_iter().map(|i| i as u32).collect::<Vec<_>>());
        rows.par_chunks_exact_mut(self.origin.len()).for_each(|row| {
            self.centre(row);
        });
        rows
    }

    /// Keeps the coordinates along `directions`, `(coordinates, d)`, in place of the points'.
    fn project(&mut self, directions: &[f32], should_stop: &(dyn Fn() -> bool + Sync)) -> Result<(), Error> {
        let d = self.origin.len();
        let coordinates = directions.len() / d;
        let k = coordinates + usize::from(self.extra.is_some());
        let mut features = vec![0.0_f32; self.rows.num_points() * k];
        features.par_chunks_mut(CHUNK * k).zip(self.rows.chunks(CHUNK)).try_for_each(|(out, rows)| {
            if should_stop() {
                return Err(Error::Interrupted);
            }
            let mut rows = rows.into_owned();
            let squares: Vec<f64> = rows.chunks_exact_mut(d).map(|row| self.centre(row)).collect();
            inner_products(&rows, directions, d, out, k);
            if let Some(extra) = self.extra {
                out.chunks_exact_mut(k).zip(squares).for_each(|(out, square)| out[coordinates] = extra(square) as f32);
            }
            Ok(())
        })?;
        self.projected = Some(Projected { features, coordinates });
        Ok(())
    }
}

/// The `k` leading principal directions of both sides, `(k, d)`, and the share of the variance that they hold; fewer where there
/// are not as many points.
fn leading_directions(
    x: &SideFeatures<'_>,
    y: &SideFeatures<'_>,
    k: usize,
    seed: u64,
    should_stop: &(dyn Fn() -> bool + Sync),
) -> Result<(Vec<f32>, f64), Error> {
    let d = x.origin.len();
    let sample = [x.sample(seed), y.sample(seed)].concat();
    let total: f64 = sample.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    let rows = sample.len() / d;
    let sample = Tensor::from_vec(sample, (rows, d), &Device::Cpu)?;
    let directions = principal_directions(&sample, k.min(rows), seed, should_stop)?.ok_or(Error::Interrupted)?;
    let held = f64::from(sample.matmul(&directions.t()?)?.sqr()?.sum_all()?.to_scalar::<f32>()?);
    let share = if total > 0.0 { held / total } else { 1.0 };
    Ok((directions.flatten_all()?.to_vec1()?, share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mean_cost::mean_cost;
    use crate::permutation::Permutation;
    use crate::problem::Problem;
    use rand::Rng;

    /// One block of two points whose blocks are single pairs has the coupling's own cost.
    #[test]
    fn single_pairs_have_the_cost_of_the_coupling() -> Result<(), Error> {
        let x = Tensor::new(&[[1.0_f32, 2.0], [-1.0, 0.5]], &Device::Cpu)?;
        let y = Tensor::new(&[[0.3_f32, -2.0], [4.0, 0.25], [1.0, 1.0]], &Device::Cpu)?;
        for cost in CostKind::ALL.into_iter().filter(|&cost| cost != CostKind::Euclidean) {
            for m in [2, 3] {
                let problem = Problem::new(&x, y.narrow(0, 0, m)?, cost)?;
                let (host_x, host_y) = (problem.x().rows(), problem.y().rows());
                let supports = Supports::new(host_x.view(), host_y.view(), cost);
                let geometry = InnerProductGeometry::new(supports);
                let order: Vec<u32> = (0..m as u32).collect();
                let got = geometry.block_coupling_cost(&order, &order, &(0..=m).collect::<Vec<_>>()).unwrap();
                let expected = mean_cost(&problem, &Permutation::new(vec![0, 1], m)?);
                assert!((got - expected).abs() < 1e-6, "{cost}, m = {m}: {got} against {expected}");
            }
        }
        Ok(())
    }

    /// Points of 300 coordinates in a space of 3: the projection keeps all inner products.
    #[test]
    fn a_projection_keeps_what_the_leading_directions_hold() -> Result<(), Error> {
        let (n, d) = (64, 300);
        let mut rng = stream(8, &[]);
        let basis: Vec<f32> = (0..3 * d).map(|_| rng.random_range(-1.0..1.0)).collect();
        let mut side = || {
            let rows: Vec<f32> = (0..n)
                .flat_map(|_| {
                    let along: [f32; 3] = std::array::from_fn(|_| rng.random_range(-1.0..1.0));
                    (0..d).map(|c| (0..3).map(|k| along[k] * basis[k * d + c]).sum::<f32>()).collect::<Vec<_>>()
                })
                .collect();
            Tensor::from_vec(rows, (n, d), &Device::Cpu)
        };
        let problem = Problem::new(side()?, side()?, CostKind::SquaredEuclidean)?;
        let (host_x, host_y) = (problem.x().rows(), problem.y().rows());
        let (x, y) = (host_x.view(), host_y.view());
        let mut geometry = InnerProductGeometry::new(Supports::new(x, y, problem.cost()));
        geometry.project(0, &|| false)?;
        assert_eq!((geometry.dimension(), geometry.coordinates()), (PROJECTED, PROJECTED));
        let (mean_x, mean_y) = (mean_row(x, false), mean_row(y, false));
        let (mut a, mut b) = (vec![0.0; PROJECTED], vec![0.0; PROJECTED]);
        for i in 0..n {
            let centred = |row: &[f32], mean: &[f64]| -> Vec<f64> {
                row.iter().zip(mean).map(|(&v, m)| f64::from(v) - m).collect()
            };
            let expected = dot(&centred(&x.row(i), &mean_x), &centred(&y.row(i), &mean_y));
            assert!(geometry.copy_x(i as u32, &mut a));
            geometry.copy_y(i as u32, &mut b);
            let got: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a * b)).sum();
            assert!((got - expected).abs() < 1e-3, "pair {i}: {got} against {expected}");
        }
        // The cost of a coupling is that of the points, projected or not.
        let order: Vec<u32> = (0..n as u32).collect();
        let got = geometry.block_coupling_cost(&order, &order, &(0..=n).collect::<Vec<_>>()).unwrap();
        let expected = mean_cost(&problem, &Permutation::identity(n));
        assert!((got - expected).abs() < 1e-5 * expected, "{got} against {expected}");
        Ok(())
    }
}
