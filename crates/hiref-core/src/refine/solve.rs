//! The recursion of \[H25\], Algorithm 1, and the sweeps that follow it.

use super::block_solver::{Pairing, solve_blocks};
use super::certify::certify;
use super::checkpoint::{Checkpoint, Progress, Stage, encode, fingerprint};
use super::coarse_to_fine;
use super::level;
use super::output::{Certificate, HirefOutput, LevelReport, PhaseSeconds, Termination};
use super::params::HirefParams;
use super::partition::Partition;
use super::polish::{Grouping, Polisher, SweepRecord, group_pairs};
use super::warm_start::{Prices, WarmStart, merge};
use crate::accelerator::Accelerator;
use crate::coupling::mean_cost;
use crate::error::Error;
use crate::geometry::{InnerProductGeometry, OnDevice, Supports};
use crate::problem::Problem;
use crate::progress::{Event, Observer, Phase};
use crate::schedule::rank_schedule;
use candle_core::Device;
use std::time::{Duration, Instant};

/// Blocks of a warm start that are solved on trial.
const TRIAL_BLOCKS: usize = 4;
/// A warm start is gone on from if they gain no more than this share of their cost.
const WORTH_GOING_ON: f64 = 0.1;

/// The hierarchical refinement solver, with checked parameters.
///
/// It runs where the points are, on the CPU or a CUDA device, or where [`Hiref::on_device`] says. On a device, same seed means same bits
/// on the same kind of card; costs are close to the CPU's and not the same, since blocks are paired by an auction that ends near their optimum.
#[derive(Debug, Clone)]
pub struct Hiref {
    params: HirefParams,
    device: Option<Device>,
    #[cfg(test)]
    pub(crate) emulated: Option<Emulated>,
}

/// Kernels that run on the host, for tests.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Emulated {
    pub(crate) schedule: hiref_kernels::Schedule,
    /// Whether the points stay on the host.
    pub(crate) streamed: bool,
}

impl Hiref {
    pub(super) fn new(params: HirefParams) -> Self {
        Self {
            params,
            device: None,
            #[cfg(test)]
            emulated: None,
        }
    }

    /// The parameters in force.
    pub fn params(&self) -> &HirefParams {
        &self.params
    }

    /// Runs on `device`, wherever the points are. Points of the host are copied there if they fit, else sent as they are needed.
    #[must_use]
    pub fn on_device(mut self, device: &Device) -> Self {
        self.device = Some(device.clone());
        self
    }

    /// Pairs the two supports of `problem`.
    ///
    /// With a warm start, sweeps go on from where it ended. One that turns out to be of little use (a few blocks, solved on trial, gain
    /// more than a solve from nothing starts with) is merged with a fresh start instead, so that the result never costs more than it.
    ///
    /// # Errors
    /// A warm start of other sizes; an interrupt before any coupling exists; a failed tensor operation.
    pub fn solve(
        &self,
        problem: &Problem,
        warm_start: Option<&WarmStart>,
        observer: &dyn Observer,
    ) -> Result<HirefOutput, Error> {
        let (n, m) = (problem.x().num_points(), problem.y().num_points());
        if let Some(warm) = warm_start.map(WarmStart::permutation).filter(|warm| (warm.num_x(), warm.num_y()) != (n, m))
        {
            return Err(Error::WarmStartMismatch { warm_x: warm.num_x(), warm_y: warm.num_y(), x: n, y: m });
        }
        in_order(problem, |problem, turned| {
            let stage = match warm_start {
                None => Stage::Partition(Partition::whole(n.max(m))),
                Some(warm) if turned => Stage::Pairing(warm.turned().pairing()),
                Some(warm) => Stage::Pairing(warm.pairing()),
            };
            self.run(problem, observer).finish(Progress::at(stage))
        })
    }

    /// Goes on from a checkpoint of a solve of the same problem with the same parameters (the time limit and `certify` may differ): the result is
    /// that of a solve without interruption, bit for bit.
    ///
    /// # Errors
    /// [`Error::CheckpointMismatch`] and [`Error::BrokenCheckpoint`]; else as [`Hiref::solve`].
    pub fn resume(
        &self,
        problem: &Problem,
        checkpoint: Checkpoint,
        observer: &dyn Observer,
    ) -> Result<HirefOutput, Error> {
        in_order(problem, |problem, _| {
            let progress = checkpoint.continue_with(&self.params, problem)?;
            self.run(problem, observer).finish(progress)
        })
    }

    fn run<'a>(&'a self, problem: &'a Problem, observer: &'a dyn Observer) -> Run<'a> {
        Run {
            device: self.device.as_ref(),
            #[cfg(test)]
            emulated: self.emulated,
            ..Run::new(&self.params, problem, observer)
        }
    }
}

/// Solves with the x side the smaller one; every cost is symmetric.
fn in_order(
    problem: &Problem,
    solve: impl FnOnce(&Problem, bool) -> Result<HirefOutput, Error>,
) -> Result<HirefOutput, Error> {
    if problem.x().num_points() <= problem.y().num_points() {
        return solve(problem, false);
    }
    let mut output = solve(&problem.turned(), true)?;
    output.permutation = output.permutation.inverse();
    if let Some(Certificate { f, g, .. }) = &mut output.certificate {
        std::mem::swap(f, g);
    }
    Ok(output)
}

/// One solve of a problem with n <= m.
struct Run<'a> {
    params: &'a HirefParams,
    problem: &'a Problem,
    observer: &'a dyn Observer,
    deadline: Option<Instant>,
    fingerprint: u64,
    device: Option<&'a Device>,
    #[cfg(test)]
    emulated: Option<Emulated>,
}

impl<'a> Run<'a> {
    fn new(params: &'a HirefParams, problem: &'a Problem, observer: &'a dyn Observer) -> Self {
        // A limit too far away for the clock is none.
        let deadline = params
            .time_limit
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|limit| Instant::now().checked_add(limit));
        Self {
            params,
            problem,
            observer,
            deadline,
            fingerprint: fingerprint(problem),
            device: None,
            #[cfg(test)]
            emulated: None,
        }
    }

    /// Goes on from `progress` to the end.
    fn finish(&self, progress: Progress) -> Result<HirefOutput, Error> {
        let Self { params, problem, observer, deadline, .. } = *self;
        let (x, y) = (problem.x().rows(), problem.y().rows());
        let supports = Supports::new(x.view(), y.view(), problem.cost());
        let geometry = InnerProductGeometry::new(supports, params.seed)?;
        let accelerator = self.accelerator(supports, &geometry)?;
        let device = accelerator.as_ref().map(|accelerator| OnDevice { accelerator, turned: false });
        let supports = Supports { device, ..supports };
        let n = supports.num_x();
        let Progress { mut stage, mut earlier, mut levels, mut sweeps, mut costs, mut seconds } = progress;
        if let Stage::Pairing(pairing) = &stage
            && costs.is_empty()
        {
            if self.worth_going_on_from(pairing, supports, &geometry) {
                costs.push(mean_cost(problem, &pairing.to_permutation(n)));
            } else {
                earlier = Some(pairing.y_of_x.clone());
                stage = Stage::Partition(Partition::whole(supports.num_y()));
            }
        }
        let cold = matches!(stage, Stage::Partition(_));
        let mut complete = true;
        let mut pairing = match stage {
            Stage::Pairing(pairing) => pairing,
            Stage::Partition(_) if coarse_to_fine::suits(supports, params) => {
                let start = timed(Phase::Split, &mut seconds.split, observer, || {
                    coarse_to_fine::coarse_to_fine(supports, params, &mut levels, observer)
                })?;
                Pairing::priced(start.y_of_x, start.g, n)
            }
            Stage::Partition(partition) => {
                let partition = timed(Phase::Split, &mut seconds.split, observer, || {
                    self.hierarchy(&geometry, accelerator.as_ref(), partition, earlier.as_ref(), &mut levels)
                })?;
                let mut pairing = Pairing::from_partition(&partition, n);
                timed(Phase::Leaves, &mut seconds.leaves, observer, || {
                    observer.on_event(&Event::PhaseStarted { phase: Phase::Leaves, total: supports.num_y() as u64 });
                    let Partition { x_order, offsets, .. } = &partition;
                    let solved = solve_blocks(supports, &pairing, x_order, offsets, false, Phase::Leaves, observer);
                    complete = solved.complete();
                    solved.apply(&mut pairing, n);
                });
                if !complete {
                    let earlier = earlier.clone();
                    self.offer(
                        Progress {
                            earlier,
                            levels: levels.clone(),
                            seconds,
                            ..Progress::at(Stage::Partition(partition))
                        },
                        true,
                    );
                }
                pairing
            }
        };
        if let Some(earlier) = earlier {
            merge(supports, &mut pairing, &earlier);
        }
        let one_leaf = cold && levels.is_empty() && complete;
        // Only a warm start has no levels: what fits one leaf is not polished.
        let warm = levels.is_empty();
        let offer = |pairing: &Pairing, levels: &[LevelReport], record: &SweepRecord<'_>, seconds, last| {
            let (sweeps, costs) = (record.sweeps.clone(), record.costs.clone());
            let stage = Stage::Pairing(pairing.clone());
            self.offer(Progress { levels: levels.to_vec(), sweeps, costs, seconds, ..Progress::at(stage) }, last);
        };
        let polisher = Polisher { params, geometry: &geometry, supports, observer, deadline, warm };
        let mut termination = Termination::Converged;
        let mut exact = one_leaf;
        let (mut rounds, mut bound) = (Vec::new(), None);
        let mut polished = None;
        if !complete {
            termination = Termination::Interrupted;
        } else if !one_leaf {
            if cold {
                costs.push(mean_cost(problem, &pairing.to_permutation(n)));
                offer(&pairing, &levels, &SweepRecord { sweeps: &mut sweeps, costs: &mut costs }, seconds, false);
            }
            let before = seconds;
            let prepared =
                warm && sweeps.is_empty() && pairing.is_priced() && supports.num_y() <= params.effort().exact_limit;
            let stopped = timed(Phase::Polish, &mut seconds.polish, observer, || {
                let mut record = SweepRecord { sweeps: &mut sweeps, costs: &mut costs };
                // Sweeps would only find the prices that are there already.
                if prepared {
                    return None;
                }
                polisher.run(&mut pairing, &mut record, &|pairing, record, last| {
                    offer(pairing, &levels, record, before, last);
                })
            });
            termination = stopped.unwrap_or(Termination::Converged);
            // A sweep that was cut short has offered the state before it.
            polished = (!cut_short(termination)).then(|| pairing.clone());
            if supports.num_y() <= params.effort().exact_limit && !cut_short(termination) {
                let outcome =
                    timed(Phase::Exact, &mut seconds.exact, observer, || polisher.solve_exactly(&mut pairing));
                exact = outcome.optimal;
                termination = match outcome.stopped {
                    Some(reason) => reason,
                    None if exact => Termination::Converged,
                    None => termination,
                };
                if let Some(polished) = polished.as_ref().filter(|_| cut_short(termination)) {
                    offer(polished, &levels, &SweepRecord { sweeps: &mut sweeps, costs: &mut costs }, before, true);
                }
                (rounds, bound) = (outcome.reports, outcome.bound);
            }
        }
        let device_failed = || accelerator.as_ref().and_then(Accelerator::take_failure).map_or(Ok(()), Err);
        device_failed()?;
        let permutation = pairing.to_permutation(n);
        let mean_cost = mean_cost(problem, &permutation);
        let mut certificate = None;
        if params.certify && termination != Termination::Interrupted {
            certificate = timed(Phase::Certify, &mut seconds.certify, observer, || {
                certify(supports, &pairing, mean_cost, bound, observer)
            });
            if observer.should_stop() {
                termination = Termination::Interrupted;
                if let Some(polished) = polished {
                    let record = SweepRecord { sweeps: &mut sweeps, costs: &mut costs };
                    offer(&polished, &levels, &record, PhaseSeconds::default(), true);
                }
            }
        }
        device_failed()?;
        let Pairing { g, block, .. } = pairing;
        let prices = Prices { g, block };
        Ok(HirefOutput {
            permutation,
            mean_cost,
            exact,
            levels,
            sweeps,
            rounds,
            certificate,
            seconds,
            termination,
            prices,
        })
    }

    /// Whether sweeps from a warm start promise more than a start from nothing: few blocks of its pairs, solved on trial, gain little.
    fn worth_going_on_from(
        &self,
        pairing: &Pairing,
        supports: Supports<'_>,
        geometry: &InnerProductGeometry<'_>,
    ) -> bool {
        if coarse_to_fine::suits(supports, self.params) {
            // Nothing is faster than a start from coarse groups but an exact solve that knows the prices.
            return pairing.is_priced() && supports.num_y() <= self.params.effort().exact_limit;
        }
        let size = self.params.effort().block_size;
        let Grouping { order, offsets } = group_pairs(geometry, supports.device, pairing, size, self.params.seed, 0);
        let blocks: Vec<&[u32]> = offsets.windows(2).map(|w| &order[w[0]..w[1]]).collect();
        let chosen: Vec<&[u32]> = blocks.iter().step_by(blocks.len().div_ceil(TRIAL_BLOCKS)).copied().collect();
        let mut offsets = vec![0];
        offsets.extend(chosen.iter().scan(0, |end, block| {
            *end += block.len();
            Some(*end)
        }));
        let order = chosen.concat();
        let cost: f64 = order
            .iter()
            .filter(|&&x| supports.is_point(x))
            .map(|&x| supports.between(x, pairing.y_of_x[x as usize]))
            .sum();
        let change = solve_blocks(supports, pairing, &order, &offsets, true, Phase::Polish, &())
            .apply(&mut pairing.clone(), supports.num_x());
        -change <= WORTH_GOING_ON * cost.abs()
    }

    /// The device that the solve runs on, if it is not the CPU alone.
    fn accelerator<'p>(
        &'p self,
        supports: Supports<'p>,
        geometry: &InnerProductGeometry<'_>,
    ) -> Result<Option<Accelerator<'p>>, Error> {
        #[cfg(test)]
        if let Some(Emulated { schedule, streamed }) = self.emulated {
            let queue = hiref_kernels::Queue::emulated(schedule);
            return Accelerator::emulated(queue, supports, geometry, streamed).map(Some);
        }
        let device = self.device.unwrap_or_else(|| self.problem.x().tensor().device());
        Accelerator::of_problem(self.problem, device, supports, geometry)
    }

    /// Splits a partition until the blocks fit a leaf.
    fn hierarchy(
        &self,
        geometry: &InnerProductGeometry<'_>,
        accelerator: Option<&Accelerator<'_>>,
        mut partition: Partition,
        earlier: Option<&Vec<u32>>,
        levels: &mut Vec<LevelReport>,
    ) -> Result<Partition, Error> {
        let Self { params, observer, .. } = *self;
        let len = geometry.num_y();
        let ranks = rank_schedule(len, params.leaf_size, params.max_rank);
        observer
            .on_event(&Event::PhaseStarted { phase: Phase::Split, total: (len * (ranks.len() - levels.len())) as u64 });
        let offer = |partition: &Partition, levels: &[LevelReport], last| {
            let (levels, earlier) = (levels.to_vec(), earlier.cloned());
            self.offer(Progress { earlier, levels, ..Progress::at(Stage::Partition(partition.clone())) }, last);
        };
        for (level, &rank) in ranks.iter().enumerate().skip(levels.len()) {
            let started = Instant::now();
            let split = level::split(geometry, &partition, level, rank, params.seed, accelerator, observer);
            if matches!(split, Err(Error::Interrupted)) && !levels.is_empty() {
                offer(&partition, levels, true);
            }
            partition = split?;
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
            offer(&partition, levels, false);
        }
        Ok(partition)
    }

    /// Offers the observer a state to go on from.
    fn offer(&self, progress: Progress, last: bool) {
        self.observer.on_checkpoint(&|| encode(self.params, self.fingerprint, &progress), last);
    }
}

/// Whether a solve ended before its own rules would have ended it.
fn cut_short(termination: Termination) -> bool {
    matches!(termination, Termination::Interrupted | Termination::TimeLimit)
}

/// Runs one phase, adding up its time and telling the observer of its end.
fn timed<R>(phase: Phase, seconds: &mut f64, observer: &dyn Observer, work: impl FnOnce() -> R) -> R {
    let started = Instant::now();
    let result = work();
    *seconds += started.elapsed().as_secs_f64();
    observer.on_event(&Event::PhaseFinished { phase, seconds: *seconds });
    result
}
