//! Random batches of both sides, each paired on its own.

use super::output::MinibatchOutput;
use super::params::MinibatchParams;
use crate::cost::CostTile;
use crate::coupling::{Permutation, UNMATCHED, mean_cost};
use crate::error::Error;
use crate::problem::Problem;
use crate::progress::{Event, Observer, Phase};
use crate::rng::stream;
use crate::solver::assignment::{AssignmentSolver, CostMatrix, Scalar};
use crate::solver::sinkhorn::Sinkhorn;
use crate::termination::Termination;
use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use std::time::{Duration, Instant};

/// Mini-batch optimal transport without replacement.
///
/// Both sides are put into random order and cut into the same number of batches of nearly equal size; batch k of x is
/// paired with batch k of y, `min Σ c(x_i, y_σ(i))` over the pairings σ inside the batch. All batches together are one
/// pairing: a bijection when n = m, else every point of the smaller side gets a partner. The larger the batches, the
/// closer to the optimum; one batch that holds everything is the exact optimum.
///
/// *Shapes*: x `(n, d)`, y `(m, d)`. *Complexity*: for batches of B points of the larger side, O(max(n, m) B d) for the
/// costs and O(max(n, m) B²) in the worst case for the assignments; O((n + m) d + B²) memory for each thread.
/// *Termination*: converged when every batch was solved; otherwise the batches left at the time limit or at the
/// observer's word are paired in the order they were drawn. *Errors*: a failed tensor operation. *Determinism*: batches
/// depend on the seed alone; the bits do not depend on the number of threads.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hiref_core::solver::minibatch::MinibatchParams;
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

impl Minibatch {
    pub(super) fn new(params: MinibatchParams, sinkhorn: Option<Sinkhorn>) -> Self {
        Self { params, sinkhorn }
    }

    /// The parameters in force.
    pub fn params(&self) -> &MinibatchParams {
        &self.params
    }

    /// Pairs the two supports of `problem`.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn solve(&self, problem: &Problem<'_>, observer: &dyn Observer) -> Result<MinibatchOutput, Error> {
        let started = Instant::now();
        let turned = problem.x().num_points() > problem.y().num_points();
        let smaller_first = if turned { problem.turned() } else { problem.clone() };
        let (n, m) = (smaller_first.x().num_points(), smaller_first.y().num_points());
        observer.on_event(&Event::PhaseStarted { phase: Phase::Batches, total: m as u64 });
        let limit = self.params.time_limit.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let deadline = limit.and_then(|limit| started.checked_add(limit));
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
        let late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let solved: Vec<Option<Vec<u32>>> = batches
            .par_iter()
            .map_init(Workspace::default, |workspace, batch| {
                if observer.should_stop() || late() {
                    return Ok(None);
                }
                let partners = self.solve_batch(&smaller_first, batch, workspace)?;
                observer.on_event(&Event::Advanced { phase: Phase::Batches, work: batch.large.len() as u64 });
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
        let permutation = Permutation::of_distinct(partner, m);
        let permutation = if turned { permutation.inverse() } else { permutation };
        let termination = match (complete, observer.should_stop()) {
            (true, _) => Termination::Converged,
            (false, true) => Termination::Interrupted,
            (false, false) => Termination::TimeLimit,
        };
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

    /// The position, in the batch's larger side, of the partner of each point of the smaller side.
    fn solve_batch(
        &self,
        problem: &Problem<'_>,
        batch: &Batch<'_>,
        workspace: &mut Workspace,
    ) -> Result<Vec<u32>, Error> {
        if batch.small.is_empty() {
            return Ok(Vec::new());
        }
        let d = problem.x().dimension();
        let (x, y) = (problem.x().rows(), problem.y().rows());
        let (x, y) = (x.view().gather(batch.small), y.view().gather(batch.large));
        let Some(sinkhorn) = &self.sinkhorn else {
            // Stand-ins for "no partner" make the batch square.
            let stand_ins = batch.large.len() - batch.small.len();
            let x_rows = x.chunks_exact(d).map(Some).chain(std::iter::repeat_n(None, stand_ins));
            workspace.tile.compute(problem.cost(), d, x_rows, y.chunks_exact(d));
            let mut columns = workspace.assign();
            columns.truncate(batch.small.len());
            return Ok(columns);
        };
        let x = Tensor::from_vec(x, (batch.small.len(), d), &Device::Cpu)?;
        let y = Tensor::from_vec(y, (batch.large.len(), d), &Device::Cpu)?;
        let solved = sinkhorn.solve(&Problem::new(&x, &y, problem.cost())?, &())?;
        Ok(solved.coupling.round(self.params.seed, &()).y_of_x().to_vec())
    }
}

/// Memory that one thread uses again for each batch.
#[derive(Default)]
struct Workspace {
    tile: CostTile,
    single: (CostMatrix<f32>, AssignmentSolver<f32>),
    double: (CostMatrix<f64>, AssignmentSolver<f64>),
}

impl Workspace {
    /// The optimal column of each row of the tile.
    fn assign(&mut self) -> Vec<u32> {
        fn assign<T: Scalar>(tile: &CostTile, (matrix, solver): &mut (CostMatrix<T>, AssignmentSolver<T>)) -> Vec<u32> {
            tile.write(matrix);
            solver.solve(matrix).column_of_row.to_vec()
        }
        if self.tile.fits_f32() { assign(&self.tile, &mut self.single) } else { assign(&self.tile, &mut self.double) }
    }
}
