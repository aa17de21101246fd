//! The sweeps: when to go on, with which blocks, and when to stop.

use super::grouping::group_pairs;
use crate::geometry::InnerProductGeometry;
use crate::progress::{Event, Observer, Phase};
use crate::refine::block_solver::{Pairing, Supports, solve_blocks};
use crate::refine::output::{SweepReport, Termination};
use crate::refine::params::HirefParams;
use std::time::Instant;

/// Runs sweeps over a pairing.
pub(crate) struct Polisher<'a> {
    pub(crate) params: &'a HirefParams,
    pub(crate) geometry: &'a InnerProductGeometry,
    pub(crate) supports: Supports<'a>,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) deadline: Option<Instant>,
}

impl Observer for Polisher<'_> {
    fn on_event(&self, event: &Event) {
        self.observer.on_event(event);
    }

    fn should_stop(&self) -> bool {
        self.past_deadline() || self.observer.should_stop()
    }
}

impl Polisher<'_> {
    fn past_deadline(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Sweeps until a rule says stop. `mean_cost` is the pairing's at the start.
    pub(crate) fn run(&self, pairing: &mut Pairing, mut mean_cost: f64) -> (Vec<SweepReport>, Termination) {
        let mut reports = Vec::new();
        let len = pairing.y_of_x.len();
        let max_sweeps = self.params.max_sweeps.unwrap_or(64);
        let block_size = self.params.polish_block_size.unwrap_or(256);
        for sweep in 1..=max_sweeps {
            let started = Instant::now();
            self.observer.on_event(&Event::PhaseStarted { phase: Phase::Polish, total: len as u64 });
            let grouping =
                group_pairs(self.geometry, self.supports.dimension, pairing, block_size, self.params.seed, sweep as u64);
            let change =
                solve_blocks(self.supports, pairing, &grouping.order, &grouping.offsets, true, Phase::Polish, self);
            mean_cost += change / self.supports.num_x() as f64;
            let report = SweepReport { sweep, block_size, mean_cost, seconds: started.elapsed().as_secs_f64() };
            self.observer.on_event(&Event::SweepFinished(report.clone()));
            reports.push(report);
            if self.should_stop() {
                let termination = if self.past_deadline() { Termination::TimeLimit } else { Termination::Interrupted };
                return (reports, termination);
            }
        }
        (reports, Termination::MaxIterations)
    }
}
