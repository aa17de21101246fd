//! Low-rank transport with one inner marginal, which is optimised too.

use super::cost::CostOperator;
use super::output::LowRankOutput;
use super::params::LotParams;
use super::projection::{center_rows, project_together, round_to_polytope, step_size};
use super::start;
use crate::coupling::LowRankCoupling;
use crate::iterations::{Iterations, Settling};
use crate::solver::Solver;
use candle_core::{Device, Tensor};
use hiref_core::{Error, Observer, Problem};

/// How exact the projections inside the iterations are, and how many passes they may take.
const PROJECTION: (f64, usize) = (1e-5, 300);
/// The same after the last iteration; exact rounding follows.
const LAST_PROJECTION: (f64, usize) = (1e-12, 10_000);

/// Low-rank optimal transport by mirror descent, with the inner marginal optimised.
///
/// `min <C, Q diag(1 / g) Rᵀ>` over `Q 1 = a`, `R 1 = b`, `Qᵀ 1 = Rᵀ 1 = g`, `g >= least_mass / rank`. Each iteration
/// multiplies Q, R and g by `exp(-γ gradient)` and projects them back together by Dykstra's algorithm.
///
/// *Shapes*: Q `(n, rank)`, R `(m, rank)`, g `(rank,)`. *Units*: costs in units of the cost; steps have none: γ is
/// `step / largest gradient entry`, each gradient less the part that the projection undoes. *Complexity*: O((n + m)(k + p) rank)
/// an iteration, k = d + 2 for the squared Euclidean cost, d + 1 for the cosine, d for the inner product, p passes of the
/// projection; O((n + m)(k + rank)) memory. The Euclidean cost has no finite factors: its products are streamed, O(n m (d + rank))
/// time, the same memory. *Termination*: converged once the cost has settled; the problem is not convex, so that this is a
/// local optimum that depends on the seed. *Errors*: a rank above the points of the smaller side, marginals of other
/// sizes, a failed tensor operation, [`Error::Interrupted`] on the observer's word. *Determinism*: the same seed gives the same bits on a CPU, whatever the number of threads.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hiref_baselines::low_rank::LotParams;
/// use hiref_baselines::Solver;
/// use hiref_core::{CostKind, Problem};
/// let x = Tensor::new(&[[0f32], [0.1], [5.0], [5.1]], &Device::Cpu)?;
/// let y = Tensor::new(&[[5.1f32], [0.0], [5.0], [0.1]], &Device::Cpu)?;
/// let problem = Problem::new(&x, &y, CostKind::SquaredEuclidean)?;
/// let solved = LotParams { rank: 2, ..LotParams::default() }.check()?.solve(&problem, &())?;
/// // Two pairs of neighbours, coupled as products: half the mass moves by 0.1.
/// assert!((solved.primal_cost - 0.005).abs() < 1e-4);
/// # Ok::<(), hiref_core::Error>(())
/// ```
///
/// References: \[S21\], Algorithms 2 and 3. We differ in the start (\[AV07\]), in steps relative to the gradient's size, and in
/// rounding the result to exact marginals (\[A17\]).
#[derive(Debug, Clone)]
pub struct Lot {
    params: LotParams,
}

impl Lot {
    pub(super) fn new(params: LotParams) -> Self {
        Self { params }
    }

    /// The parameters in force.
    pub fn params(&self) -> &LotParams {
        &self.params
    }
}

impl Solver for Lot {
    type Output = LowRankOutput;

    fn solve(&self, problem: &Problem<'_>, observer: &dyn Observer) -> Result<LowRankOutput, Error> {
        let marginals = super::output::check(problem, self.params.rank)?;
        let LotParams { rank, step, least_mass, max_iterations, tolerance, seed, time_limit } = self.params;
        let control = Iterations::start(observer, max_iterations, time_limit);
        let stop = || control.is_interrupted();
        let operator = CostOperator::new(problem)?;
        let (mut q, mut r) = start::factors(problem, &operator, &marginals, rank, seed, &stop)?;
        let mut inner = vec![1.0 / rank as f64; rank];
        let mut settling = Settling::new(tolerance, max_iterations);
        let termination = loop {
            let inverse: Vec<f64> = inner.iter().map(|mass| mass.recip()).collect();
            let scale = Tensor::from_slice(&inverse, (1, rank), &Device::Cpu)?;
            let (q_now, r_now) = (q.tensor()?, r.tensor()?);
            let from_r = operator.times(&r_now, &stop)?; // (n, rank)
            let by_cluster = (&q_now * &from_r)?.sum(0)?.to_vec1::<f64>()?;
            let cost: f64 = by_cluster.iter().zip(&inverse).map(|(term, inverse)| term * inverse).sum();
            if let Some(termination) = settling.next(cost, &control)? {
                break termination;
            }
            control.check()?;
            let flat = |gradient: Tensor| gradient.broadcast_mul(&scale)?.flatten_all()?.to_vec1::<f64>();
            let mut gradient_q = flat(from_r)?;
            let mut gradient_r = flat(operator.transposed_times(&q_now, &stop)?)?;
            let terms = by_cluster.iter().zip(&inverse);
            let mut gradient_inner: Vec<f64> = terms.map(|(term, inverse)| -term * inverse * inverse).collect();
            let largest = [&mut gradient_q, &mut gradient_r, &mut gradient_inner].map(|g| center_rows(g, rank));
            let size = step_size(step, largest.into_iter().fold(0.0, f64::max));
            q.step(&gradient_q, size);
            r.step(&gradient_r, size);
            let log_inner: Vec<f64> =
                inner.iter().zip(&gradient_inner).map(|(mass, gradient)| mass.ln() - size * gradient).collect();
            let floor = least_mass / rank as f64;
            inner = project_together([&mut q, &mut r], &log_inner, floor, PROJECTION, &stop);
        };
        // Rounding spreads what is still missing over all entries, so that little should be.
        let log_inner: Vec<f64> = inner.iter().map(|mass| mass.ln()).collect();
        let floor = least_mass / rank as f64;
        inner = project_together([&mut q, &mut r], &log_inner, floor, LAST_PROJECTION, &stop);
        control.check()?;
        let total: f64 = inner.iter().sum();
        inner.iter_mut().for_each(|mass| *mass /= total);
        let [q, r] = [&q, &r].map(|factor| {
            let mut values = factor.values();
            round_to_polytope(&mut values, factor.marginal(), &inner);
            Tensor::from_vec(values, (factor.marginal().len(), rank), &Device::Cpu)
        });
        let coupling = LowRankCoupling::new(q?, r?, inner);
        let seconds = control.finish();
        LowRankOutput::of_coupling(coupling, &operator, &marginals, settling.iterations(), seconds, termination)
    }
}
