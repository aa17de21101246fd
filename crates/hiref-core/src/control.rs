//! What a solver asks while it works: whether to stop, and why.

use crate::report::{Event, Observer, Phase, Termination};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A flag that ends a solve from elsewhere; clones are one flag.
///
/// It is an observer too, so that it can be handed to any solver, alone or beside another: `(&bar, &flag)`.
///
/// ```
/// use hiref_core::{Error, StopFlag, pair};
/// let stop = StopFlag::new();
/// stop.clone().stop();
/// let points: Vec<[f32; 2]> = (0..2000_u16).map(|i| [f32::from(i), 0.0]).collect();
/// let stopped = pair(&points, &points).stop_flag(&stop).solve();
/// assert!(matches!(stopped, Err(Error::Interrupted)));
/// ```
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// A flag that does not say stop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says stop, for good.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether someone has said stop.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Observer for StopFlag {
    fn on_event(&self, _event: &Event) {}

    fn should_stop(&self) -> bool {
        self.is_stopped()
    }
}

/// The observer of a solve, and when the solve must end; every solver has one.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    observer: &'a dyn Observer,
    deadline: Option<Instant>,
}

impl<'a> Control<'a> {
    /// Starts the clock; a limit too far away for it is none.
    pub fn start(observer: &'a dyn Observer, time_limit: Option<f64>) -> Self {
        let limit = time_limit.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Self { observer, deadline: limit.and_then(|limit| Instant::now().checked_add(limit)) }
    }

    /// The same without the time limit, for work that is done in any case.
    #[must_use]
    pub fn without_deadline(self) -> Self {
        Self { deadline: None, ..self }
    }

    /// Whether the observer has said stop, or time is up.
    pub fn should_stop(&self) -> bool {
        self.reason_to_stop().is_some()
    }

    /// Why to stop, if at all; the observer's word comes first.
    pub fn reason_to_stop(&self) -> Option<Termination> {
        if self.observer.should_stop() {
            Some(Termination::Interrupted)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Some(Termination::TimeLimit)
        } else {
            None
        }
    }

    /// Why to stop, once something has said so: the observer may have said it once only.
    pub(crate) fn reason(&self) -> Termination {
        self.reason_to_stop().unwrap_or(Termination::Interrupted)
    }

    /// Tells the observer.
    pub fn tell(&self, event: &Event) {
        self.observer.on_event(event);
    }

    /// Tells the observer of work done.
    pub fn advance(&self, phase: Phase, work: u64) {
        self.tell(&Event::Advanced { phase, work });
    }

    /// Tells the observer that a phase begins, or is planned longer than it was.
    pub fn begin(&self, phase: Phase, total: u64) {
        self.tell(&Event::PhaseStarted { phase, total });
    }

    /// Offers the observer a state to go on from.
    pub(crate) fn offer(&self, encode: &dyn Fn() -> Vec<u8>, last: bool) {
        self.observer.on_checkpoint(encode, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_the_observer_comes_before_the_limit() {
        let flag = StopFlag::new();
        let late = Control::start(&flag, Some(0.0));
        assert_eq!(late.reason_to_stop(), Some(Termination::TimeLimit));
        assert!(!late.without_deadline().should_stop());
        flag.stop();
        assert_eq!(late.reason_to_stop(), Some(Termination::Interrupted));
        let both = (&(), &flag);
        assert!(Control::start(&both, None).should_stop());
    }
}
