//! Entropic transport in steps: a little of the way, then again from there with less regularisation.

use super::output::{ProgotOutput, ProgressiveMap, StepReport, advance};
use super::params::ProgotParams;
use crate::coupling::EntropicCoupling;
use crate::iterations::{Iterations, Stop};
use crate::sinkhorn::{Schedule, iterate};
use crate::solver::Solver;
use crate::tiled_cost::TiledCost;
use hiref_core::{CostKind, Error, Marginals, Observer, Problem, Termination};

/// Progressive entropic optimal transport.
///
/// For k = 1 … K: solve entropic transport with regularisation `ε_k` from the moved points z (at first x) to y, map each z
/// to its barycentre `T_k(z)`, and move it a part of the way, `z ← (1 - α_k) z + α_k T_k(z)`. The distance left shrinks from
/// step to step, and with it the regularisation that a step needs. The coupling is the last step's.
///
/// *Shapes*: x `(n, d)`, y `(m, d)`. *Units*: the `ε_k` in units of the cost. *Complexity*: that of K runs of
/// [`crate::sinkhorn::Sinkhorn`], each warm-started from the one before; O(K (n + m) d) memory for the map, and 8 n m bytes
/// where the cost matrix is kept. *Termination*: converged once the last step is; at the limits of iterations and time, with the
/// step in progress as the last. *Errors*: a cost other than the squared Euclidean, marginals of other sizes;
/// [`Error::Interrupted`] on the observer's word, at once. *Determinism*: no random choice; the bits do not depend on the number of threads.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hiref_baselines::progot::ProgotParams;
/// use hiref_baselines::Solver;
/// use hiref_core::{CostKind, Problem};
/// let x = Tensor::new(&[[0f32, 0.0], [4.0, 0.0]], &Device::Cpu)?;
/// let y = Tensor::new(&[[0f32, 1.0], [4.0, 1.0]], &Device::Cpu)?;
/// let problem = Problem::new(&x, &y, CostKind::SquaredEuclidean)?;
/// let solved = ProgotParams::default().check()?.solve(&problem, &())?;
/// assert!((solved.primal_cost - 1.0).abs() < 1e-6);
/// let between = Tensor::new(&[[1f64, 0.0]], &Device::Cpu)?;
/// assert_eq!(solved.map.apply(&between)?.dims(), [1, 2]);
/// # Ok::<(), hiref_core::Error>(())
/// ```
///
/// References: \[K24\], Algorithm 2, for the squared Euclidean cost. We differ in the regularisation when none is given:
/// the end of the schedule is a share of the mean cost inside y rather than chosen by a search (their Algorithm 4).
#[derive(Debug, Clone)]
pub struct Progot {
    params: ProgotParams,
    alphas: Vec<f64>,
}

impl Progot {
    pub(super) fn new(params: ProgotParams, alphas: Vec<f64>) -> Self {
        Self { params, alphas }
    }

    /// The parameters in force.
    pub fn params(&self) -> &ProgotParams {
        &self.params
    }

    /// ε of each step; `None` where it is stopped.
    fn epsilons(&self, cost: &TiledCost, marginals: &Marginals, stop: Stop<'_>) -> Option<Vec<f64>> {
        if let Some(epsilons) = &self.params.epsilons {
            return Some(epsilons.clone());
        }
        let unless_zero = |value: f64| if value > 0.0 { value } else { 1.0 };
        let end = if let Some(epsilon) = self.params.epsilon {
            epsilon
        } else {
            let within = cost.with_sources(cost.target_points());
            let b = marginals.b().to_vec();
            unless_zero(0.01 * EntropicCoupling::mean_size(&within, &marginals.with_a(b), stop)?)
        };
        let start = (0.05 * EntropicCoupling::mean_size(cost, marginals, stop)?).max(end);
        // The share of the way still to go before each step.
        let mut rest = 1.0;
        let step = |alpha: &f64| {
            let epsilon = end + rest * (start - end);
            rest *= 1.0 - alpha;
            epsilon
        };
        Some(self.alphas.iter().map(step).collect())
    }
}

impl Solver for Progot {
    type Output = ProgotOutput;

    fn solve(&self, problem: &Problem<'_>, observer: &dyn Observer) -> Result<ProgotOutput, Error> {
        let expected = CostKind::SquaredEuclidean;
        if problem.cost() != expected {
            return Err(Error::UnsupportedCost { solver: "progot", cost: problem.cost(), expected });
        }
        let (n, m) = (problem.x().num_points(), problem.y().num_points());
        let marginals = problem.marginals();
        let params = &self.params;
        let control = Iterations::start(observer, params.max_iterations, params.time_limit);
        let given = TiledCost::of_problem(problem);
        let stop = || control.is_interrupted();
        let epsilons = self.epsilons(&given, &marginals, &stop).ok_or(Error::Interrupted)?;
        let mut place: Vec<f64> = problem.x().rows().view().all().iter().map(|&v| f64::from(v)).collect();
        let mut map = ProgressiveMap { steps: Vec::new() };
        let mut reports = Vec::new();
        let (mut iterations, mut termination) = (0, Termination::MaxIterations);
        let mut potentials: Option<[Vec<f64>; 2]> = None;
        for (&alpha, &epsilon) in self.alphas.iter().zip(&epsilons) {
            let mut cost = given.with_sources(place.clone());
            if params.storage.keeps(n, m) {
                cost.store(&stop).ok_or(Error::Interrupted)?;
            }
            let mut coupling = EntropicCoupling::new(cost, marginals.clone(), epsilon);
            if let Some([f, g]) = potentials.take() {
                (coupling.f, coupling.g) = (f, g);
            }
            let schedule = Schedule { epsilon, start: 1.0, decay: 0.5 };
            let left = params.max_iterations - iterations;
            let (done, ending) = iterate(&mut coupling, schedule, left, params.tolerance, iterations, &control)?;
            iterations += done;
            termination = ending;
            reports.push(StepReport { alpha, epsilon, iterations: done });
            let finished = termination != Termination::Converged || reports.len() == self.alphas.len();
            if !finished {
                let target = coupling.barycentres(&stop).ok_or(Error::Interrupted)?;
                advance(&mut place, &target, alpha);
                // The cost of the way that is left is about this share of the potentials' size.
                let rest = |values: &[f64]| values.iter().map(|v| (1.0 - alpha) * v).collect();
                potentials = Some([rest(&coupling.f), rest(&coupling.g)]);
            }
            coupling.forget_stored_cost();
            map.steps.push((alpha, coupling));
            if finished || iterations >= params.max_iterations {
                break;
            }
        }
        let seconds = control.finish();
        let last = &map.steps[map.steps.len() - 1].1;
        let primal_cost = cost_between(last, &given, &stop).ok_or(Error::Interrupted)?;
        let marginal_error = last.figures(&stop).ok_or(Error::Interrupted)?.marginal_error;
        Ok(ProgotOutput { map, primal_cost, marginal_error, steps: reports, iterations, seconds, termination })
    }
}

/// `Σ P_ij |x_i - y_j|²` for a coupling of moved points and the points as given, from masses and barycentres; `None` where it
/// is stopped.
fn cost_between(coupling: &EntropicCoupling, given: &TiledCost, stop: Stop<'_>) -> Option<f64> {
    let d = given.dimension();
    let (rows, columns) = coupling.masses(stop)?;
    let (x, y) = (given.source_points(), given.target_points());
    let square = |point: &[f64]| point.iter().map(|v| v * v).sum::<f64>();
    let barycentres = coupling.barycentres(stop)?;
    let from_x: f64 = x
        .chunks_exact(d)
        .zip(barycentres.chunks_exact(d))
        .zip(&rows)
        .map(|((x, target), mass)| mass * (square(x) - 2.0 * x.iter().zip(target).map(|(a, b)| a * b).sum::<f64>()))
        .sum();
    let from_y: f64 = y.chunks_exact(d).zip(&columns).map(|(y, mass)| mass * square(y)).sum();
    Some(from_x + from_y)
}
