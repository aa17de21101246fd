//! The sweeps: when to go on, with which blocks, and when to stop.

use super::grouping::{Grouping, group_pairs};
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

    /// Sweeps until a rule says stop; `mean_cost` is the pairing's at the start. Returns the sweeps, why they ended, and
    /// whether the pairing is now known to be optimal.
    pub(crate) fn run(&self, pairing: &mut Pairing, mean_cost: f64) -> (Vec<SweepReport>, Termination, bool) {
        let effort = self.params.effort();
        let mut reports: Vec<SweepReport> = Vec::new();
        let len = pairing.y_of_x.len();
        let mut costs = vec![mean_cost];
        let stopped = loop {
            let sweep = reports.len() + 1;
            if sweep > effort.min_sweeps && expected_gain(&costs) <= effort.tolerance * costs[costs.len() - 1].abs() {
                break None;
            }
            if sweep > effort.max_sweeps {
                break Some(Termination::MaxIterations);
            }
            let seed = self.params.seed;
            let grouping =
                group_pairs(self.geometry, self.supports.dimension, pairing, effort.block_size, seed, sweep as u64);
            if let Some(stop) = self.sweep(pairing, &grouping, effort.block_size, &mut costs, &mut reports) {
                return (reports, stop, false);
            }
        };
        if len > effort.exact_limit {
            return (reports, stopped.unwrap_or(Termination::Converged), false);
        }
        let everything = Grouping { order: (0..len as u32).collect(), offsets: vec![0, len] };
        match self.sweep(pairing, &everything, len, &mut costs, &mut reports) {
            Some(stop) => (reports, stop, false),
            None => (reports, Termination::Converged, true),
        }
    }

    /// Re-pairs every block of a grouping, exactly; says why if it was cut short.
    fn sweep(
        &self,
        pairing: &mut Pairing,
        grouping: &Grouping,
        block_size: usize,
        costs: &mut Vec<f64>,
        reports: &mut Vec<SweepReport>,
    ) -> Option<Termination> {
        if self.should_stop() {
            return Some(self.reason_to_stop());
        }
        let started = Instant::now();
        self.observer.on_event(&Event::PhaseStarted { phase: Phase::Polish, total: pairing.y_of_x.len() as u64 });
        let outcome =
            solve_blocks(self.supports, pairing, &grouping.order, &grouping.offsets, true, Phase::Polish, self);
        let mean_cost = costs[costs.len() - 1] + outcome.change / self.supports.num_x() as f64;
        costs.push(mean_cost);
        let sweep = reports.len() + 1;
        let report = SweepReport { sweep, block_size, mean_cost, seconds: started.elapsed().as_secs_f64() };
        self.observer.on_event(&Event::SweepFinished(report.clone()));
        reports.push(report);
        (!outcome.complete).then(|| self.reason_to_stop())
    }

    fn reason_to_stop(&self) -> Termination {
        if self.past_deadline() { Termination::TimeLimit } else { Termination::Interrupted }
    }
}

/// What further sweeps can be expected to gain, from the mean costs so far (the first before any sweep).
///
/// The excess over the optimum falls about like 1 / sweeps, so what is left after t sweeps is about t times what the last
/// ones gained each; on every measured set this over-estimates. Infinite until three sweeps are done.
fn expected_gain(costs: &[f64]) -> f64 {
    let sweeps = costs.len() - 1;
    if sweeps < 3 {
        return f64::INFINITY;
    }
    let window = (sweeps / 3).max(2);
    let gain_per_sweep = (costs[sweeps - window] - costs[sweeps]) / window as f64;
    sweeps as f64 * gain_per_sweep
}

#[cfg(test)]
mod tests {
    use super::expected_gain;

    #[test]
    fn the_gain_left_is_not_under_estimated_under_harmonic_decay() {
        let costs: Vec<f64> = (0..40).map(|t| 1.0 + 1.0 / f64::from(t + 1)).collect();
        assert_eq!(expected_gain(&costs[..3]), f64::INFINITY);
        for sweeps in 3..40 {
            let left = costs[sweeps] - 1.0;
            let expected = expected_gain(&costs[..=sweeps]);
            assert!((left..3.0 * left).contains(&expected), "{sweeps} sweeps: {expected} against {left}");
        }
        assert_eq!(expected_gain(&[2.0, 1.0, 1.0, 1.0, 1.0]), 0.0);
    }
}
