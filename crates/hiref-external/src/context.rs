//! What every task has at hand.

use crate::error::Error;
use crate::inputs::Inputs;
use crate::plan::Plan;
use crate::segments::Segments;
use crate::step::Step;
use candle_core::Device;
use hiref_core::rng::order_key;
use std::path::{Path, PathBuf};

/// A task's surroundings.
pub(crate) struct Context<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) inputs: &'a Inputs,
    pub(crate) work: &'a Path,
    /// Where blocks are paired.
    pub(crate) device: &'a Device,
    pub(crate) stop: &'a (dyn Fn() -> bool + Sync),
}

impl Context<'_> {
    pub(crate) fn file(&self, step: Step, task: usize) -> PathBuf {
        step.file(self.work, task)
    }

    /// The result of one task.
    pub(crate) fn open(&self, step: Step, task: usize) -> Result<Segments, Error> {
        Segments::open(&self.file(step, task))
    }

    /// The results of some tasks.
    pub(crate) fn open_all(&self, step: Step, tasks: impl Iterator<Item = usize>) -> Result<Vec<Segments>, Error> {
        tasks.map(|task| self.open(step, task)).collect()
    }

    /// A seed for one purpose.
    pub(crate) fn seed(&self, purpose: u64, number: usize, task: usize) -> u64 {
        // Configurations hold signed numbers.
        order_key(order_key(self.plan.seed, purpose), ((number as u64) << 32) | task as u64) >> 1
    }

    pub(crate) fn check_stop(&self) -> Result<(), Error> {
        if (self.stop)() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Means of the sides, `(2, d)`, as the sample's task found them.
    pub(crate) fn means(&self) -> Result<Vec<f32>, Error> {
        let mut means = Vec::new();
        if self.plan.center {
            self.open(Step::Sample, 0)?.f32s("means", 0, "mean", &mut means)?;
        }
        Ok(means)
    }
}
