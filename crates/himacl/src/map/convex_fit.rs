//! The optimal transport map between two unpaired sets, by the dual problem over potentials with bends.

use super::convex_gradient::{ConvexGradient, softplus};
use super::decomposition::{orthogonal_factor, product, symmetric_eigen};
use super::directions::least_normal;
use super::gaussian::{Gaussian, power};
use super::linear::{FitError, LinearMap, to_tensor};
use candle_core::{DType, Device, Tensor, Var};
use faer::Mat;
use himacl_nn::{AdamStep, adam, sigmoid};
use hiref_core::{Event, Observer, Phase, rng};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

/// One row in so many of either side is held out.
const HELD_OUT_SHARE: usize = 8;
/// Looks at what is held out.
const LOOKS: usize = 20;
/// Standard errors by which bends must beat none.
const CERTAINTY: f64 = 2.0;
/// Step of the optimiser in one dimension; it falls with the root of the dimension, as the entries of unit vectors do.
const LEARNING_RATE: f64 = 0.25;
/// Steps in which it rises to that; it falls linearly to zero afterwards.
const WARMUP: usize = 50;
/// What the units have of the Gaussian map's matrix at first.
const SHARE_OF_UNITS: f64 = 0.5;
/// Standard deviation of what enters a unit at first: it bends where most rows are, and is flat at both ends.
const SPREAD: f64 = 2.0;
/// The mean of σ' over a normal distribution of that standard deviation.
const MEAN_SLOPE: f64 = 0.151_4;
/// Iterations towards the conjugate of each row in a step, which begins where the row was left, and the accuracy that ends
/// them sooner.
const CONJUGATE_ITERATIONS: usize = 6;
const CONJUGATE_TOLERANCE: f64 = 1e-3;
/// The same for rows that are looked at alone.
const LOOK_ITERATIONS: usize = 60;
const LOOK_TOLERANCE: f64 = 1e-4;
/// Names the streams of the fit.
const FIT: u64 = 0x636f_6e76;

/// How [`ConvexGradient::fit`] searches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvexFitParams {
    /// Units for each dimension.
    pub units: usize,
    /// Steps of the optimiser.
    pub steps: usize,
    /// Rows of either side in a step: all where there are no more. Few rows have other means and covariances than all, which
    /// drowns what bends: in 64 dimensions batches of 2,048 of 3,584 rows find a third of what these find.
    pub batch_size: usize,
    /// Seed of every random choice.
    pub seed: u64,
}

impl Default for ConvexFitParams {
    fn default() -> Self {
        Self { units: 1, steps: 1000, batch_size: 4096, seed: 0 }
    }
}

/// What [`ConvexGradient::fit`] found.
#[derive(Debug, Clone)]
pub struct ConvexFit {
    /// The map.
    pub map: ConvexGradient,
    /// Whether it bends. Where rows that were held out say that this adds nothing it is the Gaussian map.
    pub bends: bool,
    /// By how much the dual value of the best convex gradient is below that of the Gaussian map on rows held out, in the
    /// units of `|y|² / 2`; both are above that of the optimal map.
    pub gain: f64,
    /// The standard error of that.
    pub standard_error: f64,
}

impl ConvexGradient {
    /// The optimal transport map from `x` to `y` for the squared distance, of two sets without a pair.
    ///
    /// Among convex functions f the gradient of the one with the least `mean f(x) + mean f*(y)` is the optimal map (the
    /// dual problem; f* is the conjugate, `max_u u · y - f(u)`). No pairing of the samples enters, which in many dimensions
    /// is far from the optimal map: f has parameters enough for bends and few enough for the samples. It starts near the
    /// Gaussian map ([`LinearMap::gaussian`]), up to half of whose matrix is handed to the units, in the directions in which
    /// the targets are least normal, or in random orthogonal ones where there are too few to tell. From there it follows the
    /// gradient of the dual value (Adam), the maximum of f* found anew at each step from where it was.
    ///
    /// One row in eight of either side is held out. Their dual value says after which steps the map is best, and whether
    /// it is better than the Gaussian map by two standard errors; otherwise the Gaussian map is the answer. The dual value
    /// needs no pair, so neither does this choice.
    ///
    /// *Shapes*: `x (n, d)`, `y (m, d)`. *Complexity*: O(b d (d + k)) a step for batches of b and k units, O((n + m) d² + d³)
    /// once. *Determinism*: same seed, same bits.
    ///
    /// The observer hears of [`Phase::Iterations`], and may stop the search.
    ///
    /// References: \[M20\] Makkuva, Taghvaei, Oh, Lee, "Optimal transport mapping via input convex neural networks", ICML
    /// 2020; \[Amo23\] Amos, "On amortizing convex conjugates for optimal transport", ICLR 2023; \[HR21\] Hütter, Rigollet,
    /// "Minimax estimation of smooth optimal transport maps", Annals of Statistics 49, 2021.
    ///
    /// # Errors
    /// Sides of different dimensions or with fewer than eight rows, values that are not finite; [`FitError::Interrupted`]
    /// once the observer asks to stop.
    pub fn fit(
        x: &Tensor,
        y: &Tensor,
        params: &ConvexFitParams,
        observer: &dyn Observer,
    ) -> Result<ConvexFit, FitError> {
        let all = (x, y);
        let (x, x_held_out) = apart(x, params.seed, 0)?;
        let (y, y_held_out) = apart(y, params.seed, 1)?;
        let gaussian = Gaussian::between(&x, &y)?;
        let space = Space::of(&gaussian)?;
        let looked_at = [space.source(&x_held_out)?, space.target(&y_held_out)?];
        let mut search = Search::new(&space, [&space.source(&x)?, &space.target(&y)?], params)?;
        let mut at_y = search.map().solve(&looked_at[1], looked_at[1].clone(), LOOK_TOLERANCE, LOOK_ITERATIONS)?;
        let mut best: Option<(Gain, ConvexGradient)> = None;
        observer.on_event(&Event::PhaseStarted { phase: Phase::Iterations, total: params.steps as u64 });
        for step in 0..params.steps {
            if observer.should_stop() {
                return Err(FitError::Interrupted);
            }
            search.step(step)?;
            observer.on_event(&Event::Advanced { phase: Phase::Iterations, work: 1 });
            if (step + 1).is_multiple_of((params.steps / LOOKS).max(1)) || step + 1 == params.steps {
                let map = search.map();
                at_y = map.solve(&looked_at[1], at_y, LOOK_TOLERANCE, LOOK_ITERATIONS)?;
                let gain = Gain::of(&map, &looked_at, &at_y)?;
                if best.as_ref().is_none_or(|(least, _)| gain.mean > least.mean) {
                    best = Some((gain, map.copied()?));
                }
            }
        }
        let (gain, bent) =
            best.map_or((Gain { mean: 0.0, standard_error: 0.0 }, None), |(gain, map)| (gain, Some(map)));
        let bent = bent.filter(|_| gain.mean > CERTAINTY * gain.standard_error);
        let (bends, unit) = (bent.is_some(), space.scale * space.scale);
        let map = match bent {
            Some(map) => space.outside(&map)?,
            None => Self::of_gaussian(&Gaussian::between(all.0, all.1)?)?,
        };
        Ok(ConvexFit { map, bends, gain: gain.mean * unit, standard_error: gain.standard_error * unit })
    }

    /// The Gaussian map, which is the gradient of a quadratic function; its one unit has no direction, and no effect.
    fn of_gaussian(gaussian: &Gaussian) -> Result<Self, FitError> {
        let LinearMap { weight, bias } = gaussian.map()?;
        let (d, device) = (gaussian.matrix.nrows(), weight.device());
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, device);
        let units = LinearMap { weight: zeros(&[d, 1])?, bias: zeros(&[1])? };
        Ok(Self { root: to_tensor(&power(&gaussian.matrix, 0.5)?, device)?, bias, units, log_sizes: zeros(&[1])? })
    }

    /// A copy that later steps leave alone.
    fn copied(&self) -> candle_core::Result<Self> {
        let Self { root, bias, units, log_sizes } = self;
        let units = LinearMap { weight: units.weight.copy()?, bias: units.bias.copy()? };
        Ok(Self { root: root.copy()?, bias: bias.copy()?, units, log_sizes: log_sizes.copy()? })
    }
}

/// The rows that are learnt from and those held out, each in a seeded order.
fn apart(side: &Tensor, seed: u64, stream: u64) -> Result<(Tensor, Tensor), FitError> {
    let rows = side.dims2()?.0;
    if rows < HELD_OUT_SHARE {
        return Err(FitError::Weights { pairs: rows, total: rows as f64 });
    }
    let mut order: Vec<u32> = (0..rows as u32).collect();
    order.shuffle(&mut rng::stream(seed, &[FIT, stream]));
    let held_out = order.split_off(rows - rows / HELD_OUT_SHARE);
    let side = side.to_dtype(DType::F32)?;
    let pick = |rows: Vec<u32>| side.index_select(&Tensor::new(rows, side.device())?, 0);
    Ok((pick(order)?, pick(held_out)?))
}

/// Coordinates u of the sources and v of the targets in which the Gaussian map is the identity: `u = (x - μx) R / c` and
/// `v = (y - μy) R⁻¹ / c` with R² the Gaussian map's matrix and c such that the mean variance is 1. The map from u to v is
/// the gradient of a convex function where that from x to y is.
struct Space {
    root: Tensor,
    inverse_root: Tensor,
    scale: f64,
    x_mean: Tensor,
    y_mean: Tensor,
    /// That of u, `(d, d)`.
    covariance: Mat<f64>,
}

impl Space {
    fn of(gaussian: &Gaussian) -> Result<Self, FitError> {
        let (root, inverse_root) = (power(&gaussian.matrix, 0.5)?, power(&gaussian.matrix, -0.5)?);
        let covariance = product(&product(&root, &gaussian.x_covariance), &root);
        let size = covariance.nrows();
        let variance = (0..size).map(|i| covariance[(i, i)]).sum::<f64>() / size.max(1) as f64;
        let variance = variance.max(f64::MIN_POSITIVE);
        let device = gaussian.x_mean.device();
        Ok(Self {
            root: to_tensor(&root, device)?,
            inverse_root: to_tensor(&inverse_root, device)?,
            scale: variance.sqrt(),
            x_mean: gaussian.x_mean.clone(),
            y_mean: gaussian.y_mean.clone(),
            covariance: Mat::from_fn(size, size, |i, j| covariance[(i, j)] / variance),
        })
    }

    fn source(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        x.broadcast_sub(&self.x_mean)?.matmul(&(&self.root / self.scale)?)
    }

    fn target(&self, y: &Tensor) -> candle_core::Result<Tensor> {
        y.broadcast_sub(&self.y_mean)?.matmul(&(&self.inverse_root / self.scale)?)
    }

    /// The map from x to y that is `map` from u to v.
    fn outside(&self, map: &ConvexGradient) -> candle_core::Result<ConvexGradient> {
        let root = self.root.matmul(&map.root)?;
        let weight = (self.root.matmul(&map.units.weight)? / self.scale)?;
        let units = (&map.units.bias - self.x_mean.matmul(&weight)?.squeeze(0)?)?;
        let shift = self.x_mean.matmul(&root)?.matmul(&root.t()?)?; // (1, d)
        let bias =
            (map.bias.unsqueeze(0)?.matmul(&(&self.root * self.scale)?)? + (&self.y_mean - shift)?)?.squeeze(0)?;
        let log_sizes = (&map.log_sizes + 2.0 * self.scale.ln())?;
        Ok(ConvexGradient { root, bias, units: LinearMap { weight, bias: units }, log_sizes })
    }
}

/// By how much the dual value is below the Gaussian map's.
#[derive(Clone, Copy)]
struct Gain {
    mean: f64,
    standard_error: f64,
}

impl Gain {
    /// On `u` and `v`, the targets, of whose conjugate the maximum is at `at_v`. The potential of the identity is `|u|² / 2`.
    fn of(map: &ConvexGradient, [u, v]: &[Tensor; 2], at_v: &Tensor) -> candle_core::Result<Self> {
        let half_square = |rows: &Tensor| rows.sqr()?.sum(1)? * 0.5;
        let of_u = (half_square(u)? - map.potential(u)?)?;
        let conjugate = ((v * at_v)?.sum(1)? - map.potential(at_v)?)?;
        let of_v = (half_square(v)? - conjugate)?;
        let (mut mean, mut variance) = (0.0, 0.0);
        for values in [of_u, of_v] {
            let values = values.to_dtype(DType::F64)?.to_vec1::<f64>()?;
            let count = values.len() as f64;
            let own = values.iter().sum::<f64>() / count;
            mean += own;
            variance += values.iter().map(|value| (value - own).powi(2)).sum::<f64>() / (count * count);
        }
        Ok(Self { mean, standard_error: variance.sqrt() })
    }
}

/// The parameters in training, in the order root, bias, directions, thresholds, sizes.
struct Search {
    parameters: [Var; 5],
    moments: Vec<(Tensor, Tensor)>,
    /// Batches of the sources.
    u: Vec<Tensor>,
    /// Batches of the targets, and where the maximum of the conjugate was last found for each row.
    v: Vec<(Tensor, Tensor)>,
    learning_rate: f64,
    steps: usize,
}

impl Search {
    fn new(space: &Space, [u, v]: [&Tensor; 2], params: &ConvexFitParams) -> Result<Self, FitError> {
        let (d, device) = (space.covariance.nrows(), u.device());
        let found = least_normal(v, params.seed)?;
        let Start { weight, log_sizes, root } = first_units(&space.covariance, found, params, device)?;
        // σ(0) = 1/2: the units together leave the mean where it is.
        let bias = (log_sizes.exp()?.unsqueeze(0)?.matmul(&weight.t()?)? * -0.5)?.squeeze(0)?;
        let thresholds = Tensor::zeros(log_sizes.dims(), DType::F32, device)?;
        let parameters = [root, bias, weight, thresholds, log_sizes].map(|tensor| Var::from_tensor(&tensor));
        let parameters: Vec<Var> = parameters.into_iter().collect::<candle_core::Result<_>>()?;
        let zeros = |variable: &Var| Ok((variable.zeros_like()?, variable.zeros_like()?));
        let moments = parameters.iter().map(zeros).collect::<candle_core::Result<_>>()?;
        let parameters = parameters.try_into().expect("five parameters");
        let v = batches(v, params.batch_size)?.into_iter().map(|v| (v.clone(), v)).collect();
        let learning_rate = LEARNING_RATE / (d as f64).sqrt();
        let mut search =
            Self { parameters, moments, u: batches(u, params.batch_size)?, v, learning_rate, steps: params.steps };
        let map = search.map();
        for (v, at) in &mut search.v {
            *at = map.solve(v, v.clone(), CONJUGATE_TOLERANCE, LOOK_ITERATIONS)?;
        }
        Ok(search)
    }

    /// The map of the parameters; it changes as they do.
    fn map(&self) -> ConvexGradient {
        let [root, bias, weight, thresholds, log_sizes] = self.parameters.each_ref().map(Var::as_detached_tensor);
        ConvexGradient { root, bias, units: LinearMap { weight, bias: thresholds }, log_sizes }
    }

    /// One step along the gradient of the dual value: that of the mean of f over sources less that over the maxima of the
    /// conjugates.
    fn step(&mut self, step: usize) -> candle_core::Result<()> {
        let map = self.map();
        let at = step % self.v.len();
        let (v, conjugate) = &mut self.v[at];
        let start = conjugate.clone();
        *conjugate = map.solve(v, start, CONJUGATE_TOLERANCE, CONJUGATE_ITERATIONS)?;
        let u = &self.u[step % self.u.len()];
        let (ahead, back) = (gradients(&map, u)?, gradients(&map, conjugate)?);
        let rise = ((step + 1) as f64 / WARMUP as f64).min(1.0);
        let rate = self.learning_rate * rise * (1.0 - step as f64 / self.steps as f64);
        let (beta1, beta2, taken) = (0.9, 0.99, (step + 1) as f64);
        let adam_step = AdamStep {
            beta1,
            beta2,
            epsilon: 1e-8,
            decay: 1.0,
            rate: rate / (1.0 - f64::powf(beta1, taken)),
            correction: 1.0 - f64::powf(beta2, taken),
        };
        for ((variable, moments), (ahead, back)) in
            self.parameters.iter().zip(&mut self.moments).zip(ahead.iter().zip(&back))
        {
            adam(variable, (&mut moments.0, &mut moments.1), &(ahead - back)?, adam_step)?;
        }
        Ok(())
    }
}

/// Units at first, and the root of what they leave of the identity.
struct Start {
    /// `(d, k)`.
    weight: Tensor,
    /// `(k,)`.
    log_sizes: Tensor,
    /// `(d, d)`.
    root: Tensor,
}

/// Units whose mean matrix is a share of the identity, in random orthogonal directions; or nearly so, in `found` ones.
fn first_units(
    covariance: &Mat<f64>,
    found: Option<Mat<f64>>,
    params: &ConvexFitParams,
    device: &Device,
) -> Result<Start, FitError> {
    let d = covariance.nrows();
    let copies = params.units.max(1);
    let mut generator = rng::stream(params.seed, &[FIT, 2]);
    let mut of_units = Mat::<f64>::zeros(d, d);
    let (mut rows, mut variances) = (Vec::new(), Vec::new());
    let mut found = found.map(|found| unit_columns(&found));
    for _ in 0..copies {
        let normal = Mat::from_fn(d, d, |_, _| StandardNormal.sample(&mut generator));
        let directions = found.take().map_or_else(|| orthogonal_factor(&normal), Ok)?;
        let turned = product(covariance, &directions);
        variances.extend((0..d).map(|k| (0..d).map(|i| directions[(i, k)] * turned[(i, k)]).sum::<f64>()));
        of_units += product(&directions, &directions.transpose().to_owned());
        rows.extend((0..d).map(|k| (0..d).map(|i| directions[(i, k)]).collect::<Vec<f64>>()));
    }
    // Directions that are not orthogonal have more of the identity in some than in others: none may have all of it.
    let most = symmetric_eigen(&of_units)?.0.first().copied().unwrap_or(0.0);
    let share = SHARE_OF_UNITS / most.max(copies as f64);
    let left = Mat::from_fn(d, d, |i, j| f64::from(u8::from(i == j)) - share * of_units[(i, j)]);
    let root = to_tensor(&power(&left, 0.5)?, device)?;
    // A direction in which nothing varies has nothing to bend.
    let lengths: Vec<f64> = variances.iter().map(|variance| SPREAD / variance.max(1e-6).sqrt()).collect();
    let log_sizes = lengths.iter().map(|length| (share / (MEAN_SLOPE * length * length)).ln() as f32);
    let log_sizes: Vec<f32> = log_sizes.collect();
    let values =
        rows.iter().zip(&lengths).flat_map(|(row, length)| row.iter().map(move |value| (length * value) as f32));
    let weight = Tensor::from_vec(values.collect::<Vec<f32>>(), (rows.len(), d), device)?.t()?.contiguous()?;
    Ok(Start { weight, log_sizes: Tensor::new(log_sizes, device)?, root })
}

/// The columns at unit length.
fn unit_columns(matrix: &Mat<f64>) -> Mat<f64> {
    let length = |k: usize| (0..matrix.nrows()).map(|i| matrix[(i, k)].powi(2)).sum::<f64>().sqrt();
    let lengths: Vec<f64> = (0..matrix.ncols()).map(|k| length(k).max(f64::MIN_POSITIVE)).collect();
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, k| matrix[(i, k)] / lengths[k])
}

/// Batches of at most `size` rows, as equal as can be.
fn batches(rows: &Tensor, size: usize) -> candle_core::Result<Vec<Tensor>> {
    let count = rows.dim(0)?;
    let parts = count.div_ceil(size.max(1)).max(1);
    (0..parts).map(|k| rows.narrow(0, k * count / parts, (k + 1) * count / parts - k * count / parts)).collect()
}

/// The gradient of the mean of f over the rows of `u` in each parameter.
fn gradients(map: &ConvexGradient, u: &Tensor) -> candle_core::Result<[Tensor; 5]> {
    let rows = u.dim(0)? as f64;
    let entering = map.units.apply(u)?; // (n, k)
    let sizes = map.log_sizes.exp()?; // (k,)
    let active = sigmoid(&entering)?.broadcast_mul(&sizes)?; // (n, k)
    let transposed = u.t()?;
    let second = (transposed.matmul(u)? / rows)?; // (d, d)
    Ok([
        second.matmul(&map.root)?,
        u.mean(0)?,
        (transposed.matmul(&active)? / rows)?,
        active.mean(0)?,
        (softplus(&entering)?.mean(0)? * sizes)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::super::convex_gradient::tests::normal;
    use super::*;

    /// What a map makes of `x` that is the gradient of `0.3 |x|² / 2 + Σ_k ln(1 + exp(w_k · x))` with all `|w_k| = 3`, centred.
    fn bent(x: &Tensor) -> Tensor {
        let d = x.dim(1).unwrap();
        let w = normal(8, d, 7);
        let w = (w.broadcast_div(&w.sqr().unwrap().sum_keepdim(1).unwrap().sqrt().unwrap()).unwrap() * 3.0).unwrap();
        let active = (sigmoid(&x.matmul(&w.t().unwrap()).unwrap()).unwrap() - 0.5).unwrap();
        ((x * 0.3).unwrap() + active.matmul(&w).unwrap()).unwrap()
    }

    fn mean_square(rows: &Tensor) -> f64 {
        f64::from(rows.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap())
    }

    #[test]
    fn a_known_optimal_map_is_found_without_pairs() {
        let (x, y, fresh) = (normal(2048, 6, 1), bent(&normal(2048, 6, 2)), normal(1000, 6, 3));
        let params = ConvexFitParams { steps: 300, ..ConvexFitParams::default() };
        let fit = ConvexGradient::fit(&x, &y, &params, &()).unwrap();
        let gaussian = LinearMap::gaussian(&x, &y).unwrap().apply(&fresh).unwrap();
        let answer = bent(&fresh);
        let (off, linear) = (
            mean_square(&(fit.map.apply(&fresh).unwrap() - &answer).unwrap()),
            mean_square(&(gaussian - &answer).unwrap()),
        );
        assert!(off < 0.3 * linear, "{off} against {linear} of the Gaussian map");
        assert!(fit.bends && fit.gain > 2.0 * fit.standard_error);
        // Its inverse is that of the known map.
        assert!(mean_square(&(fit.map.inverse(&answer).unwrap() - &fresh).unwrap()) < 0.1);
        let again = ConvexGradient::fit(&x, &y, &params, &()).unwrap();
        assert_eq!(again.gain.to_bits(), fit.gain.to_bits());
    }

    #[test]
    fn between_normal_distributions_the_gaussian_map_stays() {
        let (x, y) = (normal(1024, 4, 4), (normal(1024, 4, 5).matmul(&normal(4, 4, 6)).unwrap() + 2.0).unwrap());
        let params = ConvexFitParams { steps: 100, ..ConvexFitParams::default() };
        let fit = ConvexGradient::fit(&x, &y, &params, &()).unwrap();
        assert!(!fit.bends, "{} with {}", fit.gain, fit.standard_error);
        let images = LinearMap::gaussian(&x, &y).unwrap().apply(&x).unwrap();
        let found = fit.map.apply(&x).unwrap();
        assert!(mean_square(&(&found - &images).unwrap()) < 1e-8 * mean_square(&images));
        assert!(mean_square(&(fit.map.inverse(&found).unwrap() - &x).unwrap()) < 1e-5);
    }

    #[test]
    fn it_can_be_stopped() {
        let stop = hiref_core::StopFlag::new();
        stop.stop();
        let stopped = ConvexGradient::fit(&normal(16, 3, 1), &normal(16, 3, 2), &ConvexFitParams::default(), &stop);
        assert!(matches!(stopped, Err(FitError::Interrupted)));
    }

    #[test]
    fn bad_input_is_refused() {
        let (x, params) = (normal(16, 3, 1), ConvexFitParams::default());
        assert!(matches!(
            ConvexGradient::fit(&x, &normal(16, 2, 2), &params, &()),
            Err(FitError::Dimensions { source_dimension: 3, target_dimension: 2 })
        ));
        assert!(matches!(
            ConvexGradient::fit(&x.narrow(0, 0, 7).unwrap(), &x, &params, &()),
            Err(FitError::Weights { pairs: 7, .. })
        ));
        assert!(ConvexGradient::fit(&(&x * f64::NAN).unwrap(), &x, &params, &()).is_err());
    }
}
