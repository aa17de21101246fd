//! The device that does the bulk of a solve: points in its memory, and the kernels of `hiref-kernels` in a queue.
//!
//! What is computed here is what the CPU path computes, in f32 where the answer is checked again in f64; grouping, prices across blocks and
//! exact assignment stay on the host. Everything is written against [`hiref_kernels::Queue`], so that the tests run it on emulated kernels.

mod blocks;
mod points;
mod pricing;
#[cfg(test)]
mod tests;

pub(crate) use points::DevicePoints;

use crate::cost::CostKind;
use crate::error::Error;
use crate::geometry::{FeatureTensors, InnerProductGeometry, Supports};
#[cfg(feature = "cuda")]
use crate::points::Rows;
use crate::pricing::{DevicePricer, Pricing};
use crate::problem::Problem;
use crate::refine::{BlockSolver, OnDevice, Pairing, SolvedBlock};
use candle_core::Device;
use hiref_kernels::{Cost, Queue};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Points and features are copied to the device if they take no more than this share of its free memory.
#[cfg(feature = "cuda")]
const RESIDENT_SHARE: (u64, u64) = (3, 5);
/// Share of the free memory that the work on one batch, or a tile's products, may take, as a divisor.
#[cfg(feature = "cuda")]
const BATCH_SHARE: u64 = 4;

/// A problem with n <= m on a device.
#[derive(Debug)]
pub(crate) struct Accelerator<'a> {
    pub(crate) queue: Queue,
    /// A second one, where points are sent: one batch is gathered and sent while the other is solved.
    beside: Option<Queue>,
    pub(crate) x: DevicePoints<'a>,
    pub(crate) y: DevicePoints<'a>,
    pub(crate) dimension: usize,
    pub(crate) kind: CostKind,
    /// Features for the splits and for grouping; absent where they do not fit.
    pub(crate) features: Option<FeatureTensors>,
    /// Bytes that a batch may take.
    pub(crate) batch_bytes: u64,
    /// x and y points of a tile of all pairs.
    pub(crate) tile: [usize; 2],
    /// What pricing needs to know of y, and of x where the sides are exchanged; found once.
    frames: [OnceLock<pricing::Frame>; 2],
    failure: Mutex<Option<Error>>,
}

/// x and y points of a tile at most: its products take 1 GiB.
#[cfg(any(feature = "cuda", test))]
const TILE: [usize; 2] = [1 << 14, 1 << 14];

impl<'a> Accelerator<'a> {
    /// The problem on a device; `None` on the CPU. Points that are not there yet are copied if they and the features fit, else stay.
    ///
    /// # Errors
    /// A device that fails.
    #[cfg_attr(not(feature = "cuda"), expect(clippy::unnecessary_wraps, reason = "devices can fail"))]
    pub(crate) fn of_problem(
        problem: &Problem<'_>,
        device: &Device,
        most_memory: Option<u64>,
        supports: Supports<'a>,
        geometry: &InnerProductGeometry<'_>,
    ) -> Result<Option<Self>, Error> {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(on) = device {
            let stream = on.cuda_stream();
            Queue::keep_freed_memory(stream.context())?;
            // SAFETY: the tensors' stream; the other queue is made and waited for as `new` says.
            let queue = unsafe { Queue::cuda(stream) };
            let here = problem.x().device().same_device(device);
            let points = 4 * ((supports.num_x() + supports.num_y()) * supports.dimension()) as u64;
            let missing = if here { 0 } else { points };
            let memory = queue.free_memory()?.min(most_memory.unwrap_or(u64::MAX));
            let fits = geometry.bytes() + missing <= memory / RESIDENT_SHARE.1 * RESIDENT_SHARE.0;
            let side = |rows: Rows<'a>, cloud| match () {
                () if here => DevicePoints::of_cloud(&queue, cloud, supports.cost),
                () if fits => DevicePoints::uploaded(&queue, rows, supports.cost),
                () => Ok(DevicePoints::streamed(rows)),
            };
            let sides = [side(supports.x, problem.x())?, side(supports.y, problem.y())?];
            let features = if fits { Some(FeatureTensors::new(geometry, device)?) } else { None };
            queue.synchronize()?;
            let free = queue.free_memory()?.min(most_memory.unwrap_or(u64::MAX));
            let batch_bytes = free / BATCH_SHARE;
            let tile = TILE.map(|side| side.min((batch_bytes / 4).isqrt() as usize).max(256));
            return Ok(Some(Self { batch_bytes, tile, ..Self::new(queue, sides, supports, features)? }));
        }
        let _ = (problem, device, most_memory, supports, geometry);
        Ok(None)
    }

    /// Points copied to the emulated device, or streamed to it from the host; the splits run on the CPU's tensors.
    #[cfg(test)]
    pub(crate) fn emulated(
        queue: Queue,
        supports: Supports<'a>,
        geometry: &InnerProductGeometry<'_>,
        streamed: bool,
    ) -> Result<Self, Error> {
        let side = |rows| {
            if streamed {
                Ok(DevicePoints::streamed(rows))
            } else {
                DevicePoints::uploaded(&queue, rows, supports.cost)
            }
        };
        let sides = [side(supports.x)?, side(supports.y)?];
        let features = FeatureTensors::new(geometry, &Device::Cpu)?;
        let mut accelerator = Self::new(queue, sides, supports, Some(features))?;
        // Several tiles and batches even in small tests.
        accelerator.tile = [48, 80];
        accelerator.batch_bytes = 100_000;
        Ok(accelerator)
    }

    #[cfg(any(feature = "cuda", test))]
    fn new(
        queue: Queue,
        [x, y]: [DevicePoints<'a>; 2],
        supports: Supports<'_>,
        features: Option<FeatureTensors>,
    ) -> Result<Self, Error> {
        let resident = x.is_resident() && y.is_resident();
        // SAFETY: the two queues share the buffers of a resident side alone: written here, before the second queue starts, and never again;
        // and dropped after all batches, each of which ends by waiting for its queue.
        let beside = if resident { None } else { Some(unsafe { queue.beside() }?) };
        Ok(Self {
            queue,
            beside,
            x,
            y,
            dimension: supports.dimension(),
            kind: supports.cost,
            features,
            batch_bytes: 0,
            tile: TILE,
            frames: Default::default(),
            failure: Mutex::new(None),
        })
    }

    /// The queues that batches take turns in.
    pub(crate) fn queues(&self) -> Vec<&Queue> {
        std::iter::once(&self.queue).chain(&self.beside).collect()
    }

    /// The cost as the kernels number it.
    pub(crate) fn cost(&self) -> Cost {
        match self.kind {
            CostKind::SquaredEuclidean => Cost::SquaredEuclidean,
            CostKind::Euclidean => Cost::Euclidean,
            CostKind::Cosine => Cost::Cosine,
            CostKind::NegativeInnerProduct => Cost::NegativeInnerProduct,
        }
    }

    /// Notes the first failure; the solve stops at the next safe point, as if asked to, and then returns it.
    pub(crate) fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Whether there was a failure.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl DevicePricer for Accelerator<'_> {
    fn price(
        &self,
        turned: bool,
        supports: Supports<'_>,
        g: &[f64],
        width: usize,
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Pricing> {
        self.try_price(turned, supports, g, width, should_stop).unwrap_or_else(|error| {
            self.fail(error);
            None
        })
    }

    fn slack_between(
        &self,
        supports: Supports<'_>,
        orders: [&[u32]; 2],
        offsets: &[usize],
        g: &[f64],
    ) -> Option<Vec<f64>> {
        self.try_slack_between(supports, orders, offsets, g).map_err(|error| self.fail(error)).ok()
    }
}

impl OnDevice for Accelerator<'_> {
    fn solve_blocks(
        &self,
        solver: &BlockSolver<'_>,
        pairing: &Pairing,
        blocks: &[&[u32]],
        warm: bool,
    ) -> Vec<Option<SolvedBlock>> {
        blocks::solve(self, solver, pairing, blocks, warm)
    }

    fn features(&self) -> Option<(&FeatureTensors, u64)> {
        self.features.as_ref().map(|features| (features, self.batch_bytes))
    }

    fn project(&self, matrix: &[f32], width: usize) -> Option<[Vec<f32>; 2]> {
        let projected = self.features.as_ref()?.project(matrix, width);
        projected.map_err(|error| self.fail(error)).ok()
    }

    fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
