//! The end of a solve where the problem allows it: an exact solve of everything.

use super::block_solver::Pairing;
use super::output::{RoundReport, Termination};
use super::polish::Polisher;
use crate::pricing::{DualBound, PricedRounds, align};
use crate::progress::{Event, Observer, Phase};

use std::time::Instant;

/// How the rounds ended.
pub(crate) struct ExactOutcome {
    pub(crate) reports: Vec<RoundReport>,
    /// Why the rounds ended early, if they did.
    pub(crate) stopped: Option<Termination>,
    /// Whether the pairing is optimal.
    pub(crate) optimal: bool,
    pub(crate) bound: Option<DualBound>,
}

impl Polisher<'_> {
    /// Rounds of pricing and sparse solves until the pairing is optimal, the gap small enough or the work allowed is done.
    pub(crate) fn solve_exactly(&self, pairing: &mut Pairing) -> ExactOutcome {
        let effort = self.params.effort();
        let len = pairing.y_of_x.len();
        let mut g = pairing.g.clone();
        if len == self.supports.num_x() {
            align(self.supports, &pairing.y_of_x, &mut g, &pairing.block);
        }
        let mut rounds = PricedRounds::new(self.supports, pairing.y_of_x.clone(), g);
        let mut outcome = ExactOutcome { reports: Vec::new(), stopped: None, optimal: false, bound: None };
        loop {
            let started = Instant::now();
            self.on_event(&Event::PhaseStarted { phase: Phase::Exact, total: 1 });
            let Some(round) = rounds.round(effort.gap, &|| self.should_stop()) else {
                outcome.stopped = Some(self.reason_to_stop());
                break;
            };
            self.on_event(&Event::Advanced { phase: Phase::Exact, work: 1 });
            let report = RoundReport {
                round: outcome.reports.len() + 1,
                mean_cost: round.mean_cost,
                dual_bound: rounds.bound.as_ref().map_or(f64::NEG_INFINITY, |bound| bound.value),
                candidates: rounds.candidates_per_row(),
                seconds: started.elapsed().as_secs_f64(),
            };
            self.on_event(&Event::RoundFinished(report.clone()));
            outcome.reports.push(report);
            outcome.optimal = round.optimal;
            if round.optimal
                || rounds.relative_gap(round.mean_cost) <= effort.gap
                || rounds.reached > effort.reach * len
            {
                break;
            }
        }
        (pairing.y_of_x, pairing.g) = (rounds.y_of_x, rounds.g);
        pairing.block.fill(0);
        outcome.bound = rounds.bound;
        outcome
    }
}
