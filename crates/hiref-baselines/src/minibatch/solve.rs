//! Random batches of both sides, each paired on its own.

use super::output::MinibatchOutput;
use super::params::MinibatchParams;
use crate::sinkhorn::Sinkhorn;
use crate::solver::Solver;
use candle_core::{Device, Tensor};
use hiref_core::assignment::BlockAssignment;
use hiref_core::control::Control;
use hiref_core::rng::stream;
use hiref_core::{Error, Event, Observer, Permutation, Phase, Problem, Termination, UNMATCHED, mean_cost};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use std::time::Instant;

/// Mini-batch optimal transport without replacement.
///
/// Both sides are put into random order and cut into the same number of batches of nearly equal size; batch k of x is
/// paired with batch k of y, `min Σ c(x_i, y_σ(i))` over the pairings σ inside the batch. All batches together are one
/// pairing: a bijection when n = m, else every point of the smaller side gets a partner. The larger the batches, the
/// closer to the optimum; one batch that holds everything is the exact optimum.
///
/// *Shapes*: x `(n, d)`, y `(m, d)`. *Complexity*: for batches of B points of the larger side, O(max(n, m) B d) for the
/// costs and O(max(n, m) B²) in the worst case for the assignments; O((n + m) d + B²) memory for each thread.
/// *Termination*: converged when every batch was solved; otherwise the batches left at the time limit are paired in the
/// order they were drawn. *Errors*: a failed tensor operation; [`Error::Interrupted`] on the observer's word, at once. *Determinism*: batches
/// depend on the seed alone; the bits do not depend on the number of threads.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hiref_baselines::minibatch::MinibatchParams;
/// use hiref_baselines::Solver;
/// use hiref_core::{CostKind, Problem};
/// let x = Tensor::new(&[[0f32], [1.0], [2.0]], &Device::Cpu)?;
/// let y = Tensor::new(&[[2f32], [0.0], [1.0]], &Device::Cpu)?;
/// let problem = Problem::new(&x, &y, CostKind::SquaredEuclidean)?;
/// let one_batch = MinibatchParams::default().check()?.solve(&problem, &())?;
/// assert_eq!((one_batch.mean_cost, one_batch.permutation.y_of_x()), (0.0, &[1, 2, 0][..]));
/// let pairs_at_random = MinibatchParams { batch_size: 1, ..MinibatchParams::default() }.check()?;
/// assert_eq!(pairs_at_random.solve(&problem, &())?.num_batches, 3);
/// # Ok::<(), hiref_core::Error>(())
/// ```
///
/// References: \[F20\]; we differ in that the batches partition both sides, as in \[H25\]'s comparison.
#[derive(Debug, Clone)]
pub struct Minibatch {
    params: MinibatchParams,
    sinkhorn: Option<Sinkhorn>,
}

/// One batch: points of the smaller and of the larger side.
struct Batch<'a> {
    small: &'a [u32],
    large: &'a [u32],
}

/// An observer that is asked whether to stop, and told nothing.
struct Quiet<'a>(&'a dyn Observer);

impl Observer for Quiet<'_> {
    fn on_event(&self, _event: &Event) {}

    fn should_stop(&self) -> bool {
        self.0.should_stop()
    }
}

impl Minibatch {
    pub(super) fn new(params: MinibatchParams, sinkhorn: Option<Sinkhorn>) -> Self {
        Self { params, sinkhorn }
    }

    /// The parameters in force.
    pub fn params(&self) -> &MinibatchParams {
        &self.params
    }

    /// The position, in the batch's larger side, of the partner of each point of the smaller side.
    fn solve_batch(
        &self,
        problem: &Problem<'_>,
        batch: &Batch<'_>,
        workspace: &mut BlockAssignment,
        observer: &dyn Observer,
    ) -> Result<Vec<u32>, Error> {
        if batch.small.is_empty() {
            return Ok(Vec::new());
        }
        let d = problem.x().dimension();
        let (x, y) = (problem.x().rows(), problem.y().rows());
        let (x, y) = (x.view().gather(batch.small), y.view().gather(batch.large));
        let Some(sinkhorn) = &self.sinkhorn else {
            let stop = || observer.should_stop();
            return workspace.columns_until(problem.cost(), d, (&x, &y), &stop).ok_or(Error::Interrupted);
        };
        let x = Tensor::from_vec(x, (batch.small.len(), d), &Device::Cpu)?;
        let y = Tensor::from_vec(y, (batch.large.len(), d), &Device::Cpu)?;
        let quiet = Quiet(observer);
        let solved = sinkhorn.solve(&Problem::new(&x, &y, problem.cost())?, &quiet)?;
        Ok(solved.coupling.round(self.params.seed, &quiet)?.y_of_x().to_vec())
    }
}

impl Solver for Minibatch {
    type Output = MinibatchOutput;

    fn solve(&self, problem: &Problem<'_>, observer: &dyn Observer) -> Result<MinibatchOutput, Error> {
        problem.expect_no_marginals("minibatch")?;
        let started = Instant::now();
        let turned = problem.x().num_points() > problem.y().num_points();
        let smaller_first = if turned { problem.turned() } else { problem.clone() };
        let (n, m) = (smaller_first.x().num_points(), smaller_first.y().num_points());
        observer.on_event(&Event::PhaseStarted { phase: Phase::Batches, total: m as u64 });
        let control = Control::start(observer, self.params.time_limit);
        let order = |side: u64, len: usize| {
            let mut order: Vec<u32> = (0..len as u32).collect();
            order.shuffle(&mut stream(self.params.seed, &[side]));
            order
        };
        let (small, large) = (order(0, n), order(1, m));
        let num_batches = m.div_ceil(self.params.batch_size);
        let cut = |len: usize, batch: usize| len * batch / num_batches;
        let batches: Vec<Batch<'_>> = (0..num_batches)
            .map(|k| Batch { small: &small[cut(n, k)..cut(n, k + 1)], large: &large[cut(m, k)..cut(m, k + 1)] })
            .collect();
        let solved: Vec<Option<Vec<u32>>> = batches
            .par_iter()
            .map_init(BlockAssignment::default, |workspace, batch| {
                match control.reason_to_stop() {
                    Some(Termination::Interrupted) => return Err(Error::Interrupted),
                    Some(_) => return Ok(None),
                    None => {}
                }
                let partners = self.solve_batch(&smaller_first, batch, workspace, observer)?;
                control.advance(Phase::Batches, batch.large.len() as u64);
                Ok(Some(partners))
            })
            .collect::<Result<_, Error>>()?;
        let complete = solved.iter().all(Option::is_some);
        let mut partner = vec![UNMATCHED; n];
        for (batch, columns) in batches.iter().zip(solved) {
            for (position, &i) in batch.small.iter().enumerate() {
                let column = columns.as_ref().map_or(position, |columns| columns[position] as usize);
                partner[i as usize] = batch.large[column];
            }
        }
        let permutation = Permutation::new(partner, m)?;
        let permutation = if turned { permutation.inverse() } else { permutation };
        let termination = if complete { Termination::Converged } else { Termination::TimeLimit };
        let seconds = started.elapsed().as_secs_f64();
        observer.on_event(&Event::PhaseFinished { phase: Phase::Batches, seconds });
        Ok(MinibatchOutput {
            mean_cost: mean_cost(problem, &permutation),
            permutation,
            num_batches,
            seconds,
            termination,
        })
    }
}
