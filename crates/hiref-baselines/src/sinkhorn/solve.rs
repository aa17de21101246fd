//! Alternating updates of the two potentials.

use super::output::SinkhornOutput;
use super::params::SinkhornParams;
use crate::coupling::EntropicCoupling;
use crate::iterations::{Iterations, Stop};
use crate::solver::Solver;
use crate::tiled_cost::TiledCost;
use hiref_core::{Error, IterationReport, Marginals, Observer, Problem, Termination};

/// Entropic optimal transport.
///
/// `min Σ P_ij c_ij + ε KL(P | a bᵀ)` over the couplings P of a and b, whose solution is
/// `P_ij = a_i b_j exp((f_i + g_j - c_ij) / ε)`. Each iteration sets
/// `f_i = -ε log Σ_j b_j exp((g_j - c_ij) / ε)`, then `g_j` likewise; ε falls geometrically to its value, so that the
/// early iterations are cheap steps of a smoother problem.
///
/// *Shapes*: x `(n, d)`, y `(m, d)`, f `(n,)`, g `(m,)`. *Units*: ε and the potentials are in units of the cost.
/// *Complexity*: O(n m) time an iteration with the cost matrix kept, in 8 n m bytes; O(n m d) time and O((n + m) d) memory
/// without; the bits are the same. *Termination*: converged once the L1 error of the marginals is within the
/// tolerance at the final ε; after the iterations allowed; at the time limit, after whole iterations, the first always
/// done. *Errors*: marginals of other sizes; [`Error::Interrupted`] on the observer's word, at once. *Determinism*: no random choice; the bits do not
/// depend on the number of threads.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hiref_baselines::sinkhorn::SinkhornParams;
/// use hiref_baselines::Solver;
/// use hiref_core::{CostKind, Problem};
/// let x = Tensor::new(&[[0f32], [1.0]], &Device::Cpu)?;
/// let y = Tensor::new(&[[1f32], [0.0]], &Device::Cpu)?;
/// let problem = Problem::new(&x, &y, CostKind::SquaredEuclidean)?;
/// let solver = SinkhornParams { epsilon: Some(0.5), ..SinkhornParams::default() }.check()?;
/// let solved = solver.solve(&problem, &())?;
/// // Two points a side: the off-diagonal share is 1 / (1 + exp(1 / ε)).
/// assert!((solved.primal_cost - 1.0 / (1.0 + 2f64.exp())).abs() < 1e-9);
/// assert_eq!(solved.coupling.row_argmax(), [1, 0]);
/// # Ok::<(), hiref_core::Error>(())
/// ```
///
/// References: \[C13\]; \[PC19\] for the log domain and the convergence of the scheme. We differ in that P is taken
/// relative to `a bᵀ`, so that potentials do not depend on the number of points.
#[derive(Debug, Clone)]
pub struct Sinkhorn {
    params: SinkhornParams,
}

impl Sinkhorn {
    pub(super) fn new(params: SinkhornParams) -> Self {
        Self { params }
    }

    /// The parameters in force.
    pub fn params(&self) -> &SinkhornParams {
        &self.params
    }
}

impl Solver for Sinkhorn {
    type Output = SinkhornOutput;

    fn solve(&self, problem: &Problem<'_>, observer: &dyn Observer) -> Result<SinkhornOutput, Error> {
        let (n, m) = (problem.x().num_points(), problem.y().num_points());
        let marginals = problem.marginals();
        let params = &self.params;
        let control = Iterations::start(observer, params.max_iterations, params.time_limit);
        let stop = || control.is_interrupted();
        let mut cost = TiledCost::of_problem(problem);
        if params.storage.keeps(n, m) {
            cost.store(&stop).ok_or(Error::Interrupted)?;
        }
        let epsilon = match params.epsilon {
            Some(epsilon) => epsilon,
            None => default_epsilon(&cost, &marginals, &stop).ok_or(Error::Interrupted)?,
        };
        let mut coupling = EntropicCoupling::new(cost, marginals, epsilon);
        let schedule = Schedule { epsilon, start: params.epsilon_start, decay: params.epsilon_decay };
        let (iterations, termination) =
            iterate(&mut coupling, schedule, params.max_iterations, params.tolerance, 0, &control)?;
        let seconds = control.finish();
        let figures = coupling.figures(&stop).ok_or(Error::Interrupted)?;
        Ok(SinkhornOutput {
            coupling,
            primal_cost: figures.primal_cost,
            dual_cost: figures.dual_cost,
            regularized_cost: figures.regularized_cost,
            marginal_error: figures.marginal_error,
            iterations,
            seconds,
            termination,
        })
    }
}

/// ε over the iterations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) epsilon: f64,
    pub(crate) start: f64,
    pub(crate) decay: f64,
}

impl Schedule {
    /// ε of an iteration, counted from 0; exactly the final value from some iteration on.
    fn at(self, iteration: usize) -> f64 {
        self.epsilon * (self.start * self.decay.powi(i32::try_from(iteration).unwrap_or(i32::MAX))).max(1.0)
    }
}

/// A twentieth of the mean size of the cost under the product coupling, or of a unit where that is zero; `None` where it is
/// stopped.
pub(crate) fn default_epsilon(cost: &TiledCost, marginals: &Marginals, stop: Stop<'_>) -> Option<f64> {
    let mean = EntropicCoupling::mean_size(cost, marginals, stop)?;
    Some(0.05 * if mean > 0.0 { mean } else { 1.0 })
}

/// Updates both potentials until converged at the final ε; returns the iterations done and why they ended.
///
/// `done` is the number of iterations reported before, by earlier stages of the same solve.
///
/// # Errors
/// [`Error::Interrupted`] where the observer says stop.
pub(crate) fn iterate(
    coupling: &mut EntropicCoupling,
    schedule: Schedule,
    max_iterations: usize,
    tolerance: f64,
    done: usize,
    control: &Iterations<'_>,
) -> Result<(usize, Termination), Error> {
    let stop = || control.is_interrupted();
    for iteration in 0..max_iterations {
        let epsilon = schedule.at(iteration);
        coupling.set_epsilon(epsilon);
        coupling.fit_rows(&stop).ok_or(Error::Interrupted)?;
        let g = coupling.g.clone();
        let error = coupling.fit_columns(&stop).ok_or(Error::Interrupted)?;
        let report = IterationReport::new(done + iteration + 1, Some(epsilon), error);
        control.iterated(report);
        let last = epsilon == schedule.epsilon;
        let termination = if last && error <= tolerance {
            Some(Termination::Converged)
        } else if let Some(reason) = control.reason_to_stop()? {
            Some(reason)
        } else {
            (iteration + 1 == max_iterations).then_some(Termination::MaxIterations)
        };
        let Some(termination) = termination else { continue };
        if last {
            // The error is that of the potentials before the columns were fitted, whose row sums are exact.
            coupling.g = g;
        } else {
            // Potentials of a larger ε: one more fit gives a coupling whose row sums are exact at the final one.
            coupling.set_epsilon(schedule.epsilon);
            coupling.fit_rows(&stop).ok_or(Error::Interrupted)?;
        }
        return Ok((iteration + 1, termination));
    }
    Ok((0, Termination::MaxIterations))
}
