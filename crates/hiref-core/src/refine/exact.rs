//! The end of a solve where the problem allows it: rounds over everything, exact where there are enough of them.

use super::pairing::Pairing;
use super::params::Rounds;
use super::repeated::Repeated;
use super::samples;
use super::session::Session;
use crate::pricing::{Clustered, DualBound, PricedRounds, Probed, align};
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

/// Rounds of pricing and sparse solves, over clusters and then over all pairs, until the pairing is optimal, the gap small enough, the work allowed is done
/// or a round changes nothing.
pub(crate) fn solve_exactly(session: &Session<'_>, pairing: &Pairing) -> (Pairing, ExactOutcome) {
    let control = session.control;
    let stopped = || ExactOutcome { reports: Vec::new(), stopped: Some(control.reason()), optimal: false, bound: None };
    let plan = session.rounds();
    let told = |pairs| control.advance(Phase::Exact, pairs);
    if let Some(repeated) = &session.repeated {
        let Some(g) = prices_of_distinct(session, repeated, pairing) else { return (pairing.fork(), stopped()) };
        let values = repeated.values(session.supports);
        let rounds = repeated.rounds(session.supports, &values, pairing, g);
        let (rounds, mut outcome) = improve(session, rounds.damped().telling(&told), plan);
        let (pairing, bound) = repeated.finish(rounds, pairing);
        outcome.bound = bound;
        return (pairing, outcome);
    }
    let Some(Pairing { y_of_x, g, .. }) = priced(session, pairing.fork(), plan) else {
        return (pairing.fork(), stopped());
    };
    let (rounds, mut outcome) =
        improve(session, PricedRounds::new(session.pricer(), y_of_x, g).damped().telling(&told), plan);
    let PricedRounds { y_of_x, g, bound, .. } = rounds;
    outcome.bound = bound;
    let block = vec![0; g.len()];
    (Pairing { y_of_x, g, block, shadow: pairing.shadow.clone() }, outcome)
}

/// A gain of the bound by a round that looks into clusters, as a share of the cost, after which another into as many is not worth its time.
const LITTLE_GAIN: f64 = 0.01;

/// Makes rounds, as many as are planned.
fn improve<'a>(session: &Session<'_>, mut rounds: PricedRounds<'a>, plan: Rounds) -> (PricedRounds<'a>, ExactOutcome) {
    let mut outcome = ExactOutcome { reports: Vec::new(), stopped: None, optimal: false, bound: None };
    if probe(session, &mut rounds, plan.probing, &mut outcome)
        .and_then(|()| price_all(session, &mut rounds, plan.over_all, &mut outcome))
        .is_none()
    {
        outcome.stopped = Some(session.control.reason());
    }
    (rounds, outcome)
}

/// Rounds that look into clusters, each into one in so many; `None` if asked to stop.
fn probe(
    session: &Session<'_>,
    rounds: &mut PricedRounds<'_>,
    planned: &[u32],
    outcome: &mut ExactOutcome,
) -> Option<()> {
    let control = session.control;
    let should_stop = || control.should_stop();
    let mut clusters = None;
    let mut enough_of = None;
    for &one_in in planned {
        if enough_of == Some(one_in) {
            continue;
        }
        let (started, share) = (Instant::now(), 1.0 / f64::from(one_in));
        control.begin(Phase::Exact, rounds.pairs_of_probe(share));
        if clusters.is_none() {
            clusters = Some(Clustered::new(session.supports, &should_stop)?);
        }
        let Probed { mean_cost, gain } = rounds.probe(clusters.as_ref()?, share, &should_stop)?;
        outcome.report(session, rounds, mean_cost, started);
        if gain <= LITTLE_GAIN * mean_cost.abs() {
            enough_of = Some(one_in);
        }
    }
    Some(())
}

/// Rounds over all pairs; `None` if asked to stop.
fn price_all(
    session: &Session<'_>,
    rounds: &mut PricedRounds<'_>,
    most: usize,
    outcome: &mut ExactOutcome,
) -> Option<()> {
    let (effort, control, len) = (session.effort(), session.control, session.supports.num_y());
    let gap = if len <= effort.exact_limit { effort.gap } else { effort.gap_of_many };
    let most = most.min(session.params.max_rounds.map_or(usize::MAX, |most| most.max(1)));
    let reached = rounds.reached;
    for _ in 0..most {
        let started = Instant::now();
        control.begin(Phase::Exact, rounds.pairs_of_round());
        let round = rounds.round(gap, &|| control.should_stop())?;
        outcome.report(session, rounds, round.mean_cost, started);
        outcome.optimal = round.optimal;
        let close_enough = rounds.relative_gap(round.mean_cost) <= gap;
        if round.optimal || round.settled || close_enough || rounds.reached - reached > effort.reach * len {
            break;
        }
    }
    Some(())
}

impl ExactOutcome {
    fn report(&mut self, session: &Session<'_>, rounds: &PricedRounds<'_>, mean_cost: f64, started: Instant) {
        let report = RoundReport {
            round: self.reports.len() + 1,
            mean_cost,
            dual_bound: rounds.bound.as_ref().map(|bound| bound.value),
            candidates: rounds.candidates_per_row(),
            seconds: started.elapsed().as_secs_f64(),
        };
        session.control.tell(&Event::RoundFinished(report.clone()));
        self.reports.push(report);
    }
}

/// One pair of so many is in the samples before rounds, in small ones another share; so many at least, if there are.
const PAIRS_FOR_EACH_SAMPLED: usize = 4;
const PAIRS_FOR_EACH_IN_SMALL_SAMPLES: usize = 8;
const FEWEST_PAIRS: usize = 4096;
/// And at most, where rounds follow that look into clusters: their work is to be small beside that of one over all pairs.
const MOST_PAIRS_BEFORE_PROBING: usize = 65_536;

/// Prices of the distinct points: those of the pairing where they are consistent, else of small samples; `None` if asked to stop.
fn prices_of_distinct(session: &Session<'_>, repeated: &Repeated, pairing: &Pairing) -> Option<Vec<f64>> {
    if pairing.is_consistent() {
        return Some(repeated.prices(session.supports, pairing));
    }
    let pairs = pairs_in_small_samples(pairing.y_of_x.len());
    let (rows, turned) = (repeated.rows_of(session.supports), repeated.turn(pairing));
    let prices = samples::prices_of_few(session, rows, &turned, pairs, (Phase::Prices, session.control))?;
    Some(repeated.of_distinct(&prices))
}

fn pairs_in_small_samples(len: usize) -> usize {
    FEWEST_PAIRS.max(len / PAIRS_FOR_EACH_IN_SMALL_SAMPLES)
}

/// A pairing whose prices are as consistent throughout as the rounds are worth; `None` if asked to stop.
fn priced(session: &Session<'_>, mut pairing: Pairing, plan: Rounds) -> Option<Pairing> {
    let (control, len) = (session.control, pairing.y_of_x.len());
    if samples::suits(session, &pairing) {
        let started = Instant::now();
        let priced = if plan.rough_prices {
            let g = samples::prices_by_few(session, &pairing, pairs_in_small_samples(len), (Phase::Prices, control))?;
            pairing.with_prices(g)
        } else if plan.over_all > 1 && len > session.supports.num_x() {
            // How many points of each cluster stay single is told badly by a part of them.
            samples::price_by_samples(session, pairing, control)?
        } else {
            let most = if plan.probing.is_empty() { usize::MAX } else { MOST_PAIRS_BEFORE_PROBING };
            let pairs = FEWEST_PAIRS.max(len / PAIRS_FOR_EACH_SAMPLED).min(most);
            let g = samples::prices_by_large_samples(session, &pairing, pairs, control)?;
            pairing.with_prices(g)
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
