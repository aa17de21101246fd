//! The way in: two point sets, and a pairing of them.

use crate::control::StopFlag;
use crate::cost::CostKind;
use crate::error::Error;
use crate::points::Points;
use crate::problem::Problem;
use crate::refine::{HirefOutput, HirefParams, Quality, WarmStart};
use crate::report::Observer;
use candle_core::Device;

/// Pairs two point sets one to one at the least total cost: a builder whose [`Pair::solve`] does it.
///
/// ```
/// use hiref_core::{CostKind, Quality, pair};
/// let x = [[0.0_f32, 0.0], [1.0, 0.0], [4.0, 3.0]];
/// let y = [[4.0_f32, 2.0], [0.0, 0.5], [1.0, 1.0]];
/// let solved = pair(&x, &y).cost(CostKind::Euclidean).quality(Quality::Best).certify(true).solve()?;
/// assert_eq!(solved.permutation.y_of_x(), [1, 2, 0]);
/// assert_eq!(solved.mean_cost, 2.5 / 3.0);
/// # Ok::<(), hiref_core::Error>(())
/// ```
pub fn pair<'a>(x: impl Into<Points<'a>>, y: impl Into<Points<'a>>) -> Pair<'a> {
    Pair {
        x: x.into(),
        y: y.into(),
        cost: CostKind::default(),
        params: HirefParams::default(),
        device: None,
        device_memory: None,
        warm_start: None,
        observer: &(),
        stop: StopFlag::new(),
    }
}

/// Two point sets to be paired, and how; made by [`pair`].
#[must_use = "nothing is solved before `solve`"]
pub struct Pair<'a> {
    x: Points<'a>,
    y: Points<'a>,
    cost: CostKind,
    params: HirefParams,
    device: Option<Device>,
    device_memory: Option<u64>,
    warm_start: Option<&'a WarmStart>,
    observer: &'a dyn Observer,
    stop: StopFlag,
}

impl<'a> Pair<'a> {
    /// The cost of a pair; the squared Euclidean one unless set.
    pub fn cost(self, cost: CostKind) -> Self {
        Self { cost, ..self }
    }

    /// How much work to spend.
    pub fn quality(mut self, quality: Quality) -> Self {
        self.params.quality = quality;
        self
    }

    /// Seed of every random choice.
    pub fn seed(mut self, seed: u64) -> Self {
        self.params.seed = seed;
        self
    }

    /// Whether to prove how far the cost is from the optimum at most.
    pub fn certify(mut self, certify: bool) -> Self {
        self.params.certify = certify;
        self
    }

    /// Stops improving after this many seconds.
    pub fn time_limit(mut self, seconds: f64) -> Self {
        self.params.time_limit = Some(seconds);
        self
    }

    /// All parameters at once, in place of those set before.
    pub fn params(self, params: HirefParams) -> Self {
        Self { params, ..self }
    }

    /// Runs on this device, wherever the points are.
    pub fn on_device(self, device: &Device) -> Self {
        Self { device: Some(device.clone()), ..self }
    }

    /// Takes at most about so many bytes of the device's memory.
    pub fn device_memory(self, bytes: u64) -> Self {
        Self { device_memory: Some(bytes), ..self }
    }

    /// Goes on from an earlier pairing of the same points, before they moved.
    pub fn warm_start(self, warm_start: &'a WarmStart) -> Self {
        Self { warm_start: Some(warm_start), ..self }
    }

    /// Tells this observer what happens; it may say stop.
    pub fn observer(self, observer: &'a dyn Observer) -> Self {
        Self { observer, ..self }
    }

    /// Stops once this flag says so, or the observer does.
    pub fn stop_flag(self, flag: &StopFlag) -> Self {
        Self { stop: flag.clone(), ..self }
    }

    /// Pairs the points.
    ///
    /// # Errors
    /// Points or parameters that are refused, a warm start of other sizes, an interrupt before any coupling exists, a device that fails.
    pub fn solve(self) -> Result<HirefOutput, Error> {
        let mut solver = self.params.check()?;
        if let Some(device) = &self.device {
            solver = solver.on_device(device);
        }
        if let Some(bytes) = self.device_memory {
            solver = solver.with_device_memory(bytes);
        }
        let problem = Problem::new(self.x, self.y, self.cost)?;
        solver.solve(&problem, self.warm_start, &(self.observer, &self.stop))
    }
}
