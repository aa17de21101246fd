//! The end of a solve where the problem allows it: an exact solve of everything.

use super::pairing::Pairing;
use super::params::Rounds;
use super::samples;
use super::session::Session;
use crate::pricing::{DualBound, PricedRounds, align};
use crate::report::{Event, Phase, RoundReport, Termination};
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

/// Rounds of pricing and sparse solves until the pairing is optimal, the gap small enough or the work allowed is done.
pub(crate) fn solve_exactly(session: &Session<'_>, pairing: &Pairing) -> (Pairing, ExactOutcome) {
    let (effort, control, len) = (session.effort(), session.control, pairing.y_of_x.len());
    let gap = if len <= effort.exact_limit { effort.gap } else { effort.gap_of_many };
    let plan = session.rounds();
    let most = if plan == Rounds::UntilClose { usize::MAX } else { 1 };
    let mut outcome = ExactOutcome { reports: Vec::new(), stopped: None, optimal: false, bound: None };
    let Some(Pairing { y_of_x, g, .. }) = priced(session, pairing.fork(), plan) else {
        outcome.stopped = Some(control.reason());
        return (pairing.fork(), outcome);
    };
    let mut rounds = PricedRounds::new(session.pricer(), y_of_x, g).damped();
    loop {
        let started = Instant::now();
        control.begin(Phase::Exact, 1);
        let Some(round) = rounds.round(gap, &|| control.should_stop()) else {
            outcome.stopped = Some(control.reason());
            break;
        };
        control.advance(Phase::Exact, 1);
        let report = RoundReport {
            round: outcome.reports.len() + 1,
            mean_cost: round.mean_cost,
            dual_bound: rounds.bound.as_ref().map_or(f64::NEG_INFINITY, |bound| bound.value),
            candidates: rounds.candidates_per_row(),
            seconds: started.elapsed().as_secs_f64(),
        };
        control.tell(&Event::RoundFinished(report.clone()));
        outcome.reports.push(report);
        outcome.optimal = round.optimal;
        let close_enough = rounds.relative_gap(round.mean_cost) <= gap;
        let done = outcome.reports.len() >= most || rounds.reached > effort.reach * len;
        if round.optimal || close_enough || done {
            break;
        }
    }
    let PricedRounds { y_of_x, g, bound, .. } = rounds;
    outcome.bound = bound;
    (Pairing { y_of_x, g, block: vec![0; len], shadow: pairing.shadow.clone() }, outcome)
}

/// One pair of so many is in the samples before one round, and in small ones so many pairs at least.
const PAIRS_FOR_EACH_SAMPLED: usize = 4;
const PAIRS_FOR_EACH_IN_SMALL_SAMPLES: usize = 8;
const PAIRS_IN_SMALL_SAMPLES: usize = 4096;

/// A pairing whose prices are as consistent throughout as the rounds are worth; `None` if asked to stop.
fn priced(session: &Session<'_>, mut pairing: Pairing, plan: Rounds) -> Option<Pairing> {
    let (control, len) = (session.control, pairing.y_of_x.len());
    if samples::suits(session, &pairing) {
        let started = Instant::now();
        let of_few = PAIRS_IN_SMALL_SAMPLES.max(len / PAIRS_FOR_EACH_IN_SMALL_SAMPLES);
        let priced = match plan {
            Rounds::UntilClose => samples::price_by_samples(session, pairing, control)?,
            Rounds::One => {
                let g = samples::prices_by_one(session, &pairing, len / PAIRS_FOR_EACH_SAMPLED, control)?;
                pairing.with_prices(g)
            }
            Rounds::OneRough => {
                let g = samples::prices_by_few(session, &pairing, of_few, control)?;
                pairing.with_prices(g)
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        control.tell(&Event::PhaseFinished { phase: Phase::Prices, seconds });
        return Some(priced);
    }
    if pairing.y_of_x.len() == session.supports.num_x() && !session.sweeps_leave_prices() {
        let Pairing { y_of_x, g, block, .. } = &mut pairing;
        align(session.pricer(), y_of_x, g, block, &|| control.should_stop());
    }
    Some(pairing)
}
