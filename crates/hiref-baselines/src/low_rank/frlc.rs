//! Low-rank transport with a coupling between the clusters of the two sides.

use super::cost::CostOperator;
use super::output::{LatentCoupling, LowRankOutput};
use super::params::FrlcParams;
use super::projection::{Factor, center_rows, round_to_polytope, step_size};
use super::start;
use crate::coupling::LowRankCoupling;
use crate::iterations::{Iterations, Settling, Stop, never};
use crate::solver::Solver;
use candle_core::{Device, Tensor};
use hiref_core::{Error, Marginals, Observer, Problem};

/// How exact the projection of a factor is, and how many passes it may take.
const FACTOR_PROJECTION: (f64, usize) = (1e-5, 300);
/// The same for the latent coupling, which is small; it is rounded to exact sums afterwards.
const LATENT_PROJECTION: (f64, usize) = (1e-9, 500);

/// Low-rank optimal transport by factor relaxation with a latent coupling.
///
/// `min <C, Q diag(1 / g_q) T diag(1 / g_r) Rᵀ>` over `Q 1 = a`, `R 1 = b`, and couplings T of the inner marginals
/// `g_q = Qᵀ 1` and `g_r = Rᵀ 1`, which are free. Each iteration multiplies Q and R by `exp(-γ gradient)` and projects each
/// on its own, its column sums held softly to those before; then T by a step of its own and a projection onto the couplings
/// of the new inner marginals.
///
/// *Shapes*: Q `(n, rank)`, R `(m, rank)`, T `(rank, rank)`. *Units*: costs in units of the cost; steps and the penalty of
/// the inner marginals have none, being relative to the largest gradient entry. *Complexity*: as [`super::Lot`], plus
/// O(rank²) a pass for T. *Termination*: converged once the cost has settled; a local optimum that depends on the seed.
/// *Errors*: a rank above the points of the smaller side, marginals of other sizes, a failed tensor operation, [`Error::Interrupted`]
/// on the observer's word.
/// *Determinism*: the same seed gives the same bits on a CPU, whatever the number of threads.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hiref_baselines::low_rank::FrlcParams;
/// use hiref_baselines::Solver;
/// use hiref_core::{CostKind, Problem};
/// let x = Tensor::new(&[[0f32], [0.1], [5.0], [5.1]], &Device::Cpu)?;
/// let y = Tensor::new(&[[5.1f32], [0.0], [5.0], [0.1]], &Device::Cpu)?;
/// let problem = Problem::new(&x, &y, CostKind::SquaredEuclidean)?;
/// let solved = FrlcParams { rank: 2, ..FrlcParams::default() }.check()?.solve(&problem, &())?;
/// // Two pairs of neighbours, coupled as products: half the mass moves by 0.1.
/// assert!((solved.primal_cost - 0.005).abs() < 1e-4);
/// # Ok::<(), hiref_core::Error>(())
/// ```
///
/// References: \[FRLC\], Algorithm 1. We differ in the start (\[AV07\]); in taking from each gradient the part that the
/// projection undoes before its size is measured; and in adding to the gradient of a cluster's mass the price of coupling
/// that mass, without which clusters vanish unless the penalty holds them.
#[derive(Debug, Clone)]
pub struct Frlc {
    params: FrlcParams,
}

/// The factors as they are now.
struct State {
    q: Factor,
    r: Factor,
    latent: Factor,
    inner_x: Vec<f64>,
    inner_y: Vec<f64>,
    /// Multipliers of the constraints `T 1 = g_q` and `Tᵀ 1 = g_r`, in units of the cost: what one more unit of mass in
    /// a cluster costs the coupling of the clusters.
    prices: [Vec<f64>; 2],
}

impl Frlc {
    pub(super) fn new(params: FrlcParams) -> Self {
        Self { params }
    }

    /// The parameters in force.
    pub fn params(&self) -> &FrlcParams {
        &self.params
    }
}

impl Solver for Frlc {
    type Output = LowRankOutput;

    fn solve(&self, problem: &Problem<'_>, observer: &dyn Observer) -> Result<LowRankOutput, Error> {
        let marginals = super::output::check(problem, self.params.rank)?;
        let FrlcParams { rank, step, inner_penalty, max_iterations, tolerance, seed, time_limit } = self.params;
        let control = Iterations::start(observer, max_iterations, time_limit);
        let stop = || control.is_interrupted();
        let operator = CostOperator::new(problem)?;
        let mut state = State::start(problem, &operator, &marginals, rank, seed, &stop)?;
        let exponent = inner_penalty / (inner_penalty + step.recip());
        let mut settling = Settling::new(tolerance, max_iterations);
        let mut from_r = operator.times(&state.r.tensor()?, &stop)?; // (n, rank)
        state.update_latent(&from_r, step)?;
        let termination = loop {
            let (q_now, r_now) = (state.q.tensor()?, state.r.tensor()?);
            let middle = state.middle()?; // (rank, rank)
            let gradient_q = from_r.matmul(&middle.t()?)?; // (n, rank)
            let terms_q = (&q_now * &gradient_q)?.sum(0)?;
            let cost = terms_q.sum_all()?.to_scalar::<f64>()?;
            if let Some(termination) = settling.next(cost, &control)? {
                break termination;
            }
            control.check()?;
            let gradient_r = operator.transposed_times(&q_now, &stop)?.matmul(&middle)?; // (m, rank)
            let terms_r = (&r_now * &gradient_r)?.sum(0)?;
            let mut gradient_q = full_gradient(&gradient_q, &terms_q, &state.inner_x, &state.prices[0])?;
            let mut gradient_r = full_gradient(&gradient_r, &terms_r, &state.inner_y, &state.prices[1])?;
            let largest = center_rows(&mut gradient_q, rank).max(center_rows(&mut gradient_r, rank));
            let size = step_size(step, largest);
            state.q.step(&gradient_q, size);
            state.r.step(&gradient_r, size);
            state.inner_x = state.q.project(&state.inner_x, exponent, FACTOR_PROJECTION, &stop);
            state.inner_y = state.r.project(&state.inner_y, exponent, FACTOR_PROJECTION, &stop);
            from_r = operator.times(&state.r.tensor()?, &stop)?;
            state.update_latent(&from_r, step)?;
        };
        let latent = state.finished_latent()?;
        let coupling = joined(&latent)?;
        let seconds = control.finish();
        let iterations = settling.iterations();
        let output = LowRankOutput::of_coupling(coupling, &operator, &marginals, iterations, seconds, termination)?;
        Ok(LowRankOutput { latent: Some(latent), ..output })
    }
}

impl State {
    fn start(
        problem: &Problem<'_>,
        operator: &CostOperator,
        marginals: &Marginals,
        rank: usize,
        seed: u64,
        stop: Stop<'_>,
    ) -> Result<Self, Error> {
        let (q, r) = start::factors(problem, operator, marginals, rank, seed, stop)?;
        let column_sums = |factor: &Factor| -> Result<Vec<f64>, Error> { Ok(factor.tensor()?.sum(0)?.to_vec1()?) };
        let (inner_x, inner_y) = (column_sums(&q)?, column_sums(&r)?);
        // The clusters start as partners, since those of y were made from those of x; the first step of T refines that.
        let mut latent = Factor::constant(inner_x.clone(), rank);
        let apart: Vec<f64> = (0..rank * rank).map(|k| if k / rank == k % rank { 0.0 } else { 1.0 }).collect();
        latent.step(&apart, 1.0);
        latent.project(&inner_y, 1.0, LATENT_PROJECTION, &never);
        let prices = [vec![0.0; rank], vec![0.0; rank]];
        Ok(Self { q, r, latent, inner_x, inner_y, prices })
    }

    /// `diag(1 / g_q) T diag(1 / g_r)`, `(rank, rank)`.
    fn middle(&self) -> Result<Tensor, Error> {
        let rank = self.latent.rank();
        let mut values = self.latent.values();
        for (row, x) in values.chunks_exact_mut(rank).zip(&self.inner_x) {
            row.iter_mut().zip(&self.inner_y).for_each(|(value, y)| *value /= x * y);
        }
        Ok(Tensor::from_vec(values, (rank, rank), &Device::Cpu)?)
    }

    /// A step of T against the costs between the present clusters, `diag(1 / g_q) Qᵀ C R diag(1 / g_r)`.
    fn update_latent(&mut self, from_r: &Tensor, step: f64) -> Result<(), Error> {
        let rank = self.latent.rank();
        let between = self.q.tensor()?.t()?.matmul(from_r)?;
        let mut gradient = between.flatten_all()?.to_vec1::<f64>()?;
        for (row, x) in gradient.chunks_exact_mut(rank).zip(&self.inner_x) {
            row.iter_mut().zip(&self.inner_y).for_each(|(value, y)| *value /= x * y);
        }
        let costs = gradient.clone();
        let before = self.latent.logits().to_vec();
        let largest = center_rows(&mut gradient, rank);
        let size = step_size(step, largest);
        self.latent.step(&gradient, size);
        self.latent.set_marginal(self.inner_x.clone());
        self.latent.project(&self.inner_y, 1.0, LATENT_PROJECTION, &never);
        if size > 0.0 {
            // The projection multiplied row k by exp(size · p_k) and column l by exp(size · p'_l).
            let sum = |k: usize, l: usize| {
                let at = k * rank + l;
                (self.latent.logits()[at] - before[at]) / size + costs[at]
            };
            self.prices = [(0..rank).map(|k| sum(k, 0)).collect(), (0..rank).map(|l| sum(0, l) - sum(0, 0)).collect()];
        }
        Ok(())
    }

    /// The factors as tensors, T with exact sums.
    fn finished_latent(&self) -> Result<LatentCoupling, Error> {
        let rank = self.latent.rank();
        let (q, r) = (self.q.tensor()?, self.r.tensor()?);
        let (inner_marginal_x, inner_marginal_y) = (q.sum(0)?.to_vec1()?, r.sum(0)?.to_vec1()?);
        let mut values = self.latent.values();
        round_to_polytope(&mut values, &inner_marginal_x, &inner_marginal_y);
        let latent = Tensor::from_vec(values, (rank, rank), &Device::Cpu)?;
        Ok(LatentCoupling { q, r, latent, inner_marginal_x, inner_marginal_y })
    }
}

/// A factor's gradient with the effect of its column sums: more mass in a cluster thins it out, which saves what the
/// cluster costs now, `terms / inner`, and must be coupled by T, which costs its price.
fn full_gradient(gradient: &Tensor, terms: &Tensor, inner: &[f64], prices: &[f64]) -> Result<Vec<f64>, Error> {
    let row = |values: &[f64]| Tensor::from_slice(values, values.len(), &Device::Cpu);
    let effect = (row(prices)? - (terms / row(inner)?)?)?;
    Ok(gradient.broadcast_add(&effect)?.flatten_all()?.to_vec1()?)
}

/// The same coupling with one inner marginal, that of x: R becomes `R diag(1 / g_r) Tᵀ`.
fn joined(latent: &LatentCoupling) -> Result<LowRankCoupling, Error> {
    let rank = latent.inner_marginal_y.len();
    let inverse: Vec<f64> = latent.inner_marginal_y.iter().map(|mass| mass.recip()).collect();
    let scaled = latent.r.broadcast_mul(&Tensor::from_vec(inverse, (1, rank), &Device::Cpu)?)?;
    let r = scaled.matmul(&latent.latent.t()?)?;
    Ok(LowRankCoupling::new(latent.q.clone(), r, latent.inner_marginal_x.clone()))
}
