//! The recursion of \[H25\], Algorithm 1, and the sweeps that follow it.

use super::block_solver::Pairing;
use super::checkpoint::{Checkpoint, Progress, Stage};
use super::output::{Certificate, HirefOutput};
use super::params::HirefParams;
use super::partition::Partition;
use super::warm_start::{Prices, WarmStart};
use super::work::{Improved, Work};
use crate::accelerator::Accelerator;
use crate::error::Error;
use crate::geometry::{InnerProductGeometry, OnDevice, Supports};
use crate::mean_cost::mean_cost;
use crate::problem::Problem;
use crate::progress::Observer;
use candle_core::Device;
use std::time::{Duration, Instant};

/// The hierarchical refinement solver, with checked parameters.
///
/// It runs where the points are, on the CPU or a CUDA device, or where [`Hiref::on_device`] says. On a device, same seed means same bits
/// on the same kind of card; costs are close to the CPU's and not the same, since blocks are paired by an auction that ends near their optimum.
#[derive(Debug, Clone)]
pub struct Hiref {
    params: HirefParams,
    device: Option<Device>,
    device_memory: Option<u64>,
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
            device_memory: None,
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

    /// Takes at most about so many bytes of the device's memory, or what is free there if that is less. Points that do not fit are sent as they
    /// are needed, while the device works.
    #[must_use]
    pub fn with_device_memory(mut self, bytes: u64) -> Self {
        self.device_memory = Some(bytes);
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
        problem: &Problem<'_>,
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
        problem: &Problem<'_>,
        checkpoint: Checkpoint,
        observer: &dyn Observer,
    ) -> Result<HirefOutput, Error> {
        in_order(problem, |problem, _| {
            let progress = checkpoint.continue_with(&self.params, problem)?;
            self.run(problem, observer).finish(progress)
        })
    }

    fn run<'a>(&'a self, problem: &'a Problem<'a>, observer: &'a dyn Observer) -> Run<'a> {
        Run {
            device: self.device.as_ref(),
            device_memory: self.device_memory,
            #[cfg(test)]
            emulated: self.emulated,
            ..Run::new(&self.params, problem, observer)
        }
    }
}

/// Solves with the x side the smaller one; every cost is symmetric.
fn in_order(
    problem: &Problem<'_>,
    solve: impl FnOnce(&Problem<'_>, bool) -> Result<HirefOutput, Error>,
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
    problem: &'a Problem<'a>,
    observer: &'a dyn Observer,
    deadline: Option<Instant>,
    device: Option<&'a Device>,
    device_memory: Option<u64>,
    #[cfg(test)]
    emulated: Option<Emulated>,
}

impl<'a> Run<'a> {
    fn new(params: &'a HirefParams, problem: &'a Problem<'a>, observer: &'a dyn Observer) -> Self {
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
            device: None,
            device_memory: None,
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
        let device_failed = || accelerator.as_ref().and_then(Accelerator::take_failure).map_or(Ok(()), Err);
        let device = accelerator.as_ref().map(|accelerator| OnDevice { accelerator, turned: false });
        let mut work = Work {
            params,
            problem,
            observer,
            deadline,
            supports: Supports { device, ..supports },
            geometry: &geometry,
            accelerator: accelerator.as_ref(),
            progress,
        };
        let first = work.first_pairing()?;
        let (pairing, mut improved) = work.improve(first);
        device_failed()?;
        let permutation = pairing.to_permutation(supports.num_x());
        let mean_cost = mean_cost(problem, &permutation);
        let certificate = work.certify(&pairing, mean_cost, &mut improved);
        device_failed()?;
        let (Pairing { g, block, .. }, Progress { levels, sweeps, seconds, .. }) = (pairing, work.progress);
        let Improved { termination, exact, rounds, .. } = improved;
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
        let device = self.device.unwrap_or_else(|| self.problem.x().device());
        Accelerator::of_problem(self.problem, device, self.device_memory, supports, geometry)
    }
}
