//! The recursion of \[H25\], Algorithm 1, and the sweeps that follow it.

use super::block_solver::{Pairing, Supports, solve_blocks};
use super::level;
use super::output::{HirefOutput, LevelReport, PhaseSeconds, Termination};
use super::params::HirefParams;
use super::partition::Partition;
use super::polish::Polisher;
use crate::coupling::{Permutation, mean_cost};
use crate::error::Error;
use crate::geometry::InnerProductGeometry;
use crate::problem::Problem;
use crate::progress::{Event, Observer, Phase};
use crate::schedule::rank_schedule;
use std::time::{Duration, Instant};

/// The hierarchical refinement solver, with checked parameters.
#[derive(Debug, Clone)]
pub struct Hiref {
    params: HirefParams,
}

impl Hiref {
    pub(super) fn new(params: HirefParams) -> Self {
        Self { params }
    }

    /// The parameters in force.
    pub fn params(&self) -> &HirefParams {
        &self.params
    }

    /// Pairs the two supports of `problem`.
    ///
    /// # Errors
    /// A warm start of other sizes; an interrupt before any coupling exists; a failed tensor operation.
    pub fn solve(
        &self,
        problem: &Problem,
        warm_start: Option<&Permutation>,
        observer: &dyn Observer,
    ) -> Result<HirefOutput, Error> {
        let (n, m) = (problem.x().num_points(), problem.y().num_points());
        if let Some(warm) = warm_start.filter(|warm| (warm.num_x(), warm.num_y()) != (n, m)) {
            return Err(Error::WarmStartMismatch { warm_x: warm.num_x(), warm_y: warm.num_y(), x: n, y: m });
        }
        // The solve itself lets the x side be the smaller one; every cost is symmetric.
        if n <= m {
            return run(&self.params, problem, warm_start, observer);
        }
        let warm_start = warm_start.map(Permutation::inverse);
        let mut output = run(&self.params, &problem.turned(), warm_start.as_ref(), observer)?;
        output.permutation = output.permutation.inverse();
        Ok(output)
    }
}

/// Solves a problem with n <= m.
fn run(
    params: &HirefParams,
    problem: &Problem,
    warm_start: Option<&Permutation>,
    observer: &dyn Observer,
) -> Result<HirefOutput, Error> {
    // A limit too far away for the clock is none.
    let deadline = params
        .time_limit
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|limit| Instant::now().checked_add(limit));
    let geometry = InnerProductGeometry::new(problem);
    let (x, y) = (problem.x().rows(), problem.y().rows());
    let supports =
        Supports { x: x.as_slice(), y: y.as_slice(), dimension: problem.x().dimension(), cost: problem.cost() };
    let mut seconds = PhaseSeconds::default();
    let mut levels = Vec::new();
    let mut leaves_complete = true;
    let mut pairing = if let Some(warm) = warm_start {
        Pairing::from_permutation(warm)
    } else {
        let partition = timed(Phase::Split, &mut seconds.split, observer, || {
            hierarchy(params, problem, &geometry, &mut levels, observer)
        })?;
        let mut pairing = Pairing::from_partition(&partition, supports.num_x());
        timed(Phase::Leaves, &mut seconds.leaves, observer, || {
            observer.on_event(&Event::PhaseStarted { phase: Phase::Leaves, total: supports.num_y() as u64 });
            let Partition { x_order, offsets, .. } = &partition;
            let outcome = solve_blocks(supports, &mut pairing, x_order, offsets, false, Phase::Leaves, observer);
            leaves_complete = outcome.complete;
        });
        pairing
    };
    let one_leaf = warm_start.is_none() && levels.is_empty();
    let polisher = Polisher { params, geometry: &geometry, supports, observer, deadline };
    let (sweeps, termination, exact) = if !leaves_complete {
        (Vec::new(), Termination::Interrupted, false)
    } else if one_leaf {
        (Vec::new(), Termination::Converged, true)
    } else {
        let mean_cost = mean_cost(problem, &pairing.to_permutation(supports.num_x()));
        timed(Phase::Polish, &mut seconds.polish, observer, || polisher.run(&mut pairing, mean_cost))
    };
    let permutation = pairing.to_permutation(supports.num_x());
    let mean_cost = mean_cost(problem, &permutation);
    Ok(HirefOutput { permutation, mean_cost, exact, levels, sweeps, seconds, termination })
}

/// Runs one phase, measuring it and telling the observer of its end.
fn timed<R>(phase: Phase, seconds: &mut f64, observer: &dyn Observer, work: impl FnOnce() -> R) -> R {
    let started = Instant::now();
    let result = work();
    *seconds = started.elapsed().as_secs_f64();
    observer.on_event(&Event::PhaseFinished { phase, seconds: *seconds });
    result
}

/// Splits until the blocks fit a leaf.
fn hierarchy(
    params: &HirefParams,
    problem: &Problem,
    geometry: &InnerProductGeometry,
    levels: &mut Vec<LevelReport>,
    observer: &dyn Observer,
) -> Result<Partition, Error> {
    let len = geometry.num_y();
    let ranks = rank_schedule(len, params.leaf_size, params.max_rank);
    observer.on_event(&Event::PhaseStarted { phase: Phase::Split, total: (len * ranks.len()) as u64 });
    let mut partition = Partition::whole(len);
    for (level, &rank) in ranks.iter().enumerate() {
        let started = Instant::now();
        let device = problem.x().tensor().device();
        partition = level::split(geometry, &partition, level, rank, params.seed, device, observer)?;
        let report = LevelReport {
            level,
            rank,
            blocks: partition.num_blocks(),
            block_size: partition.largest_block(),
            block_coupling_cost: geometry.block_coupling_cost(
                &partition.x_order,
                &partition.y_order,
                &partition.offsets,
            ),
            seconds: started.elapsed().as_secs_f64(),
        };
        observer.on_event(&Event::LevelFinished(report.clone()));
        levels.push(report);
    }
    Ok(partition)
}
