//! The solver: which device a problem is solved on, and from where.

use crate::control::Control;
use crate::device::Accelerator;
use crate::error::Error;
use crate::geometry::{InnerProductGeometry, Supports};
use crate::problem::Problem;
use crate::refine::{
    Certificate, Checkpoint, HirefOutput, HirefParams, OnDevice, Record, Repeated, Session, Stage, WarmStart,
    pair_directly, suits_direct_search,
};
use crate::report::{Observer, Phase};
use candle_core::Device;
use std::time::Instant;

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
    /// A warm start of other sizes; marginals of the problem's own; an interrupt before any coupling exists; a failed tensor operation.
    pub fn solve(
        &self,
        problem: &Problem<'_>,
        warm_start: Option<&WarmStart>,
        observer: &dyn Observer,
    ) -> Result<HirefOutput, Error> {
        problem.expect_no_marginals("hiref")?;
        warm_start.map_or(Ok(()), |warm| check_sizes(problem, warm))?;
        in_order(problem, |problem, turned| {
            let stage = match warm_start {
                None => Stage::Cold,
                Some(warm) => {
                    let earlier = if turned { warm.turned().pairing() } else { warm.pairing() };
                    let priced = earlier.has_prices_of(problem);
                    Stage::Warm(if priced { earlier } else { earlier.without_prices(problem.x().num_points()) })
                }
            };
            self.run(problem, stage, Record::default(), observer)
        })
    }

    /// Sweeps on from a pairing, whatever it is worth: where a caller regroups parts of a larger pairing, [`Hiref::solve`] would
    /// take much that is left to gain for a reason to start afresh. The result never costs more than `start`.
    ///
    /// # Errors
    /// As [`Hiref::solve`].
    pub fn improve(
        &self,
        problem: &Problem<'_>,
        start: WarmStart,
        observer: &dyn Observer,
    ) -> Result<HirefOutput, Error> {
        problem.expect_no_marginals("hiref")?;
        check_sizes(problem, &start)?;
        in_order(problem, |problem, turned| {
            let pairing = if turned { start.turned().into_pairing() } else { start.into_pairing() };
            let sound = pairing.has_prices_of(problem);
            let pairing = if sound { pairing } else { pairing.without_prices(problem.x().num_points()) };
            self.run(problem, Stage::Given(pairing), Record::default(), observer)
        })
    }

    /// Goes on from a checkpoint of a solve of the same problem with the same parameters (the time limit and what is said of the distance from the optimum may differ): the result is
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
        problem.expect_no_marginals("hiref")?;
        in_order(problem, |problem, _| {
            let (stage, record) = checkpoint.continue_with(&self.params, problem)?;
            self.run(problem, stage, record, observer)
        })
    }

    /// Solves a problem with n <= m from a stage to the end.
    fn run(
        &self,
        problem: &Problem<'_>,
        mut stage: Stage,
        mut record: Record,
        observer: &dyn Observer,
    ) -> Result<HirefOutput, Error> {
        let control = Control::start(observer, self.params.time_limit);
        let (x, y) = (problem.x().rows(), problem.y().rows());
        let supports = Supports::new(x.view(), y.view(), problem.cost());
        let supports = Supports { restrictions: problem.restrictions(), ..supports };
        let params = &self.params;
        let fresh = matches!(stage, Stage::Cold | Stage::Warm(_));
        if fresh && suits_direct_search(supports, params) {
            let started = Instant::now();
            if let Some(pairing) = pair_directly(supports, control.without_deadline())? {
                stage = Stage::Direct(pairing);
            }
            record.seconds.add(Phase::Exact, started.elapsed().as_secs_f64());
        }
        let direct = matches!(stage, Stage::Direct(_));
        let mut geometry = InnerProductGeometry::new(supports);
        if !direct {
            geometry.project(params.seed, &|| control.without_deadline().should_stop())?;
        }
        let accelerator = if direct { None } else { self.accelerator(problem, supports, &geometry)? };
        let device = accelerator.as_ref().map(|accelerator| accelerator as &dyn OnDevice);
        let repeated = if direct || device.is_some() { None } else { Repeated::of(supports) };
        Session { params, problem, supports, geometry: &geometry, repeated, device, control, record }.solve(stage)
    }

    /// The device that the solve runs on, if it is not the CPU alone.
    fn accelerator<'a>(
        &self,
        problem: &Problem<'_>,
        supports: Supports<'a>,
        geometry: &InnerProductGeometry<'_>,
    ) -> Result<Option<Accelerator<'a>>, Error> {
        #[cfg(test)]
        if let Some(Emulated { schedule, streamed }) = self.emulated {
            let queue = hiref_kernels::Queue::emulated(schedule);
            return Accelerator::emulated(queue, supports, geometry, streamed).map(Some);
        }
        let device = self.device.as_ref().unwrap_or_else(|| problem.x().device());
        Accelerator::of_problem(problem, device, self.device_memory, supports, geometry)
    }
}

fn check_sizes(problem: &Problem<'_>, start: &WarmStart) -> Result<(), Error> {
    let (n, m, warm) = (problem.x().num_points(), problem.y().num_points(), start.permutation());
    if (warm.num_x(), warm.num_y()) == (n, m) {
        return Ok(());
    }
    Err(Error::WarmStartMismatch { warm_x: warm.num_x(), warm_y: warm.num_y(), x: n, y: m })
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

impl HirefParams {
    /// Checks every rule once and returns the solver.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first field outside its range.
    pub fn check(self) -> Result<Hiref, Error> {
        let rule = |ok: bool, name, value: String, expected| {
            if ok { Ok(()) } else { Err(Error::Parameter { name, value, expected }) }
        };
        rule(self.max_rank >= 2, "max_rank", self.max_rank.to_string(), "at least 2")?;
        rule(self.leaf_size >= 2, "leaf_size", self.leaf_size.to_string(), "at least 2")?;
        if let Some(size) = self.polish_block_size {
            rule(size >= 2, "polish_block_size", size.to_string(), "at least 2")?;
        }
        if let Some(rows) = self.gap_rows {
            rule(rows >= 1, "gap_rows", rows.to_string(), "at least 1")?;
        }
        if let Some(limit) = self.time_limit {
            rule(limit > 0.0, "time_limit", limit.to_string(), "a positive number of seconds")?;
        }
        Ok(Hiref {
            params: self,
            device: None,
            device_memory: None,
            #[cfg(test)]
            emulated: None,
        })
    }
}
