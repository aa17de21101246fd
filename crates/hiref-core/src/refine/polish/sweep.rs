//! The sweeps: when to go on, with which blocks, and when to stop.

use super::grouping::{Grouping, group_pairs};
use crate::geometry::{InnerProductGeometry, Supports};
use crate::progress::{Event, Observer, Phase};
use crate::refine::block_solver::{Pairing, solve_blocks};
use crate::refine::coarse_to_fine;
use crate::refine::output::{SweepReport, Termination};
use crate::refine::params::{Effort, HirefParams};
use std::time::Instant;

/// Where an exact solve of everything follows, sweeps only prepare it: small blocks, until the gain still expected, as a
/// share of the cost, makes it the faster way on.
const TOLERANCE_BEFORE_EXACT: f64 = 0.02;
const SWEEPS_BEFORE_EXACT: usize = 3;

/// The sweeps so far.
pub(crate) struct SweepRecord<'a> {
    pub(crate) sweeps: &'a mut Vec<SweepReport>,
    /// Mean costs before the first sweep and after each.
    pub(crate) costs: &'a mut Vec<f64>,
}

/// Runs sweeps over a pairing.
pub(crate) struct Polisher<'a> {
    pub(crate) params: &'a HirefParams,
    pub(crate) geometry: &'a InnerProductGeometry<'a>,
    pub(crate) supports: Supports<'a>,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) deadline: Option<Instant>,
    /// Whether the pairing comes from an earlier solve.
    pub(crate) warm: bool,
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

    /// Sweeps until a rule says stop, and says why if it was another than that nothing is left to gain. `record.costs` starts with the
    /// pairing's mean cost. `on_state` is told of the state after each sweep, and of the one before a sweep that is cut short.
    pub(crate) fn run(
        &self,
        pairing: &mut Pairing,
        record: &mut SweepRecord<'_>,
        on_state: &dyn Fn(&Pairing, &SweepRecord<'_>, bool),
    ) -> Option<Termination> {
        let len = pairing.y_of_x.len();
        let effort = self.params.effort();
        let effort = if len <= effort.exact_limit {
            Effort {
                largest_block: effort.block_size,
                tolerance: effort.tolerance.max(TOLERANCE_BEFORE_EXACT),
                min_sweeps: effort.min_sweeps.min(SWEEPS_BEFORE_EXACT),
                ..effort
            }
        } else if self.warm && !coarse_to_fine::suits(self.supports, self.params) {
            // The earlier solve has taken what small blocks can give.
            Effort { block_size: effort.largest_block, ..effort }
        } else {
            effort
        };
        let tolerance = effort.tolerance;
        // What comes down from coarse groups is nearly optimal; one sweep shows it.
        let min_sweeps = if coarse_to_fine::suits(self.supports, self.params) { 1 } else { effort.min_sweeps };
        loop {
            let sweep = record.sweeps.len() + 1;
            let cost = record.costs[record.costs.len() - 1];
            if sweep > min_sweeps && expected_gain(record.costs) <= tolerance * cost.abs() {
                return None;
            }
            if sweep > effort.max_sweeps {
                return Some(Termination::MaxIterations);
            }
            if self.should_stop() {
                on_state(pairing, record, true);
                return Some(self.reason_to_stop());
            }
            let started = Instant::now();
            let block_size = effort.block_size_of(sweep);
            let (geometry, device) = (self.geometry, self.supports.device);
            let Grouping { order, offsets } =
                group_pairs(geometry, device, pairing, block_size, self.params.seed, sweep as u64);
            self.observer.on_event(&Event::PhaseStarted { phase: Phase::Polish, total: len as u64 });
            let solved = solve_blocks(self.supports, pairing, &order, &offsets, true, Phase::Polish, self);
            let complete = solved.complete();
            if !complete {
                on_state(pairing, record, true);
            }
            let mean_cost = cost + solved.apply(pairing, self.supports.num_x()) / self.supports.num_x() as f64;
            let seconds = started.elapsed().as_secs_f64();
            let report = SweepReport { sweep, block_size, mean_cost, seconds };
            self.observer.on_event(&Event::SweepFinished(report.clone()));
            record.costs.push(mean_cost);
            record.sweeps.push(report);
            if !complete {
                return Some(self.reason_to_stop());
            }
            on_state(pairing, record, false);
        }
    }

    pub(crate) fn reason_to_stop(&self) -> Termination {
        if self.past_deadline() { Termination::TimeLimit } else { Termination::Interrupted }
    }
}

/// What further sweeps can be expected to gain, from the mean costs so far (the first before any sweep).
///
/// The excess over the optimum falls about like 1 / sweeps, so what is left after t sweeps is about t times what the last
/// ones gained each; on every measured set this over-estimates. Infinite before the first sweep; the first two count four times.
fn expected_gain(costs: &[f64]) -> f64 {
    let sweeps = costs.len() - 1;
    if sweeps == 0 {
        return f64::INFINITY;
    }
    let caution = if sweeps < 3 { 4.0 } else { 1.0 };
    let window = (sweeps / 3).max(2).min(sweeps);
    let gain_per_sweep = (costs[sweeps - window] - costs[sweeps]) / window as f64;
    caution * sweeps as f64 * gain_per_sweep
}

#[cfg(test)]
mod tests {
    use super::expected_gain;

    #[test]
    fn the_gain_left_is_not_under_estimated_under_harmonic_decay() {
        let costs: Vec<f64> = (0..40).map(|t| 1.0 + 1.0 / f64::from(t + 1)).collect();
        assert_eq!(expected_gain(&costs[..1]), f64::INFINITY);
        assert!((1..3).all(|sweeps| expected_gain(&costs[..=sweeps]) > costs[sweeps] - 1.0));
        for sweeps in 3..40 {
            let left = costs[sweeps] - 1.0;
            let expected = expected_gain(&costs[..=sweeps]);
            assert!((left..3.0 * left).contains(&expected), "{sweeps} sweeps: {expected} against {left}");
        }
        assert_eq!(expected_gain(&[2.0, 1.0, 1.0, 1.0, 1.0]), 0.0);
    }
}
