//! What every iterative solver asks between its iterations, and the checks that their parameters share.

use hiref_core::control::Control;
use hiref_core::{Error, Event, IterationReport, Observer, Phase, Termination};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Asked inside an iteration whether the solve is to end at once.
pub(crate) type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// For work that nobody ends.
pub(crate) fn never() -> bool {
    false
}

/// The iterations of one solve.
pub(crate) struct Iterations<'a> {
    control: Control<'a>,
    /// The observer has said stop: it may have said it once only.
    interrupted: AtomicBool,
    started: Instant,
}

impl<'a> Iterations<'a> {
    /// Starts the clock and tells the observer of up to `iterations` to come.
    pub(crate) fn start(observer: &'a dyn Observer, iterations: usize, time_limit: Option<f64>) -> Self {
        let control = Control::start(observer, time_limit);
        control.tell(&Event::PhaseStarted { phase: Phase::Iterations, total: iterations as u64 });
        Self { control, interrupted: AtomicBool::new(false), started: Instant::now() }
    }

    /// Reports an iteration.
    pub(crate) fn iterated(&self, report: IterationReport) {
        self.control.advance(Phase::Iterations, 1);
        self.control.tell(&Event::IterationFinished(report));
    }

    /// Whether the observer has said stop: then the solve ends at once, without a result.
    pub(crate) fn is_interrupted(&self) -> bool {
        let says_stop = || self.control.without_deadline().should_stop();
        let interrupted = self.interrupted.load(Ordering::Relaxed) || says_stop();
        self.interrupted.fetch_or(interrupted, Ordering::Relaxed) || interrupted
    }

    /// Why to stop early with what there is, if at all.
    ///
    /// # Errors
    /// [`Error::Interrupted`] where the observer has said stop.
    pub(crate) fn reason_to_stop(&self) -> Result<Option<Termination>, Error> {
        self.check()?;
        match self.control.reason_to_stop() {
            Some(Termination::Interrupted) => Err(Error::Interrupted),
            reason => Ok(reason),
        }
    }

    /// Refuses to go on once the observer has said stop.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Tells the observer that the iterations are over; returns their wall time.
    pub(crate) fn finish(&self) -> f64 {
        let seconds = self.started.elapsed().as_secs_f64();
        self.control.tell(&Event::PhaseFinished { phase: Phase::Iterations, seconds });
        seconds
    }
}

/// Refuses a parameter unless `ok`.
pub(crate) fn rule(ok: bool, name: &'static str, value: &impl ToString, expected: &'static str) -> Result<(), Error> {
    if ok { Ok(()) } else { Err(Error::Parameter { name, value: value.to_string(), expected }) }
}

/// The rules of what every iterative solver has.
pub(crate) fn check_limits(max_iterations: usize, tolerance: f64, time_limit: Option<f64>) -> Result<(), Error> {
    rule(max_iterations >= 1, "max_iterations", &max_iterations, "at least 1")?;
    rule(tolerance >= 0.0, "tolerance", &tolerance, "zero or a positive number")?;
    if let Some(limit) = time_limit {
        rule(limit > 0.0, "time_limit", &limit, "a positive number of seconds")?;
    }
    Ok(())
}

/// Watches the cost of a descent: it has settled once each of some iterations changed it by less than a tolerance.
pub(crate) struct Settling {
    tolerance: f64,
    max_iterations: usize,
    iterations: usize,
    calm: usize,
    last: Option<f64>,
}

impl Settling {
    /// Iterations in a row that must change little.
    const CALM: usize = 10;

    pub(crate) fn new(tolerance: f64, max_iterations: usize) -> Self {
        Self { tolerance, max_iterations, iterations: 0, calm: 0, last: None }
    }

    /// Takes note of the cost before an iteration; returns why there is to be none, if so. The first always is.
    ///
    /// # Errors
    /// [`Error::Interrupted`] where the observer has said stop.
    pub(crate) fn next(&mut self, cost: f64, control: &Iterations<'_>) -> Result<Option<Termination>, Error> {
        if let Some(last) = self.last.replace(cost) {
            let error = (cost - last).abs() / cost.abs().max(f64::MIN_POSITIVE);
            control.iterated(IterationReport::new(self.iterations, None, error));
            self.calm = if error <= self.tolerance || cost == last { self.calm + 1 } else { 0 };
            if self.calm >= Self::CALM {
                return Ok(Some(Termination::Converged));
            }
            if let Some(reason) = control.reason_to_stop()? {
                return Ok(Some(reason));
            }
            if self.iterations >= self.max_iterations {
                return Ok(Some(Termination::MaxIterations));
            }
        }
        self.iterations += 1;
        Ok(None)
    }

    /// Iterations done.
    pub(crate) fn iterations(&self) -> usize {
        self.iterations
    }
}
