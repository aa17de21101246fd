//! A solve from start to end: a first pairing (\[H25\], Algorithm 1, or groups from coarse to fine), sweeps, an exact end, a certificate.

use super::certify::certify;
use super::checkpoint::State;
use super::exact::{ExactOutcome, solve_exactly};
use super::gap::estimate_gap;
use super::multiscale;
use super::output::{Certificate, GapEstimate, HirefOutput};
use super::pairing::Pairing;
use super::partition::Partition;
use super::session::Session;
use super::split::split_to_leaves;
use super::stage::{Origin, Record, Stage};
use super::sweeps::{Grouping, group_pairs, little_left, sweep};
use super::warm_start::{Prices, merge};
use crate::control::Control;
use crate::error::Error;
use crate::mean_cost::mean_cost;
use crate::pricing::{DualBound, relative_gap};
use crate::report::{Phase, PhaseSeconds, RoundReport, Termination};

/// Blocks of a warm start that are solved on trial.
const TRIAL_BLOCKS: usize = 4;
/// A warm start is gone on from if they gain no more than this share of their cost.
const WORTH_GOING_ON: f64 = 0.1;

/// A first pairing, and what is left to do.
enum First {
    /// Optimal, since everything fits one leaf; or stopped among the leaves.
    Final { pairing: Pairing, complete: bool },
    /// Optimal up to the rounding of a search in f32, which a round of pricing is to see.
    Direct(Pairing),
    /// To be polished.
    Polish(Pairing, Origin),
}

/// What came of the improvements.
struct Improved {
    pairing: Pairing,
    termination: Termination,
    exact: bool,
    rounds: Vec<RoundReport>,
    bound: Option<DualBound>,
    /// What a solve that is stopped from here on goes on from.
    polished: Polished,
}

/// The pairing after the sweeps.
enum Polished {
    /// The sweeps did not come to their end.
    Unfinished,
    /// The present one.
    Present(PhaseSeconds),
    /// The exact solve began with this one.
    Before(Pairing, PhaseSeconds),
}

impl Session<'_> {
    /// Goes on from a stage to the end.
    pub(crate) fn solve(mut self, stage: Stage) -> Result<HirefOutput, Error> {
        let first = self.first_pairing(stage)?;
        let mut improved = match first {
            First::Final { pairing, complete } => Improved::without_sweeps(pairing, complete),
            First::Direct(pairing) => self.end_exactly(Improved::without_sweeps(pairing, true)),
            First::Polish(pairing, origin) => self.improve(pairing, origin),
        };
        self.device_failure()?;
        let permutation = improved.pairing.to_permutation(self.supports.num_x());
        let mean_cost = mean_cost(self.problem, &permutation);
        let by_rounds = improved.bound.as_ref().map(|bound| bound.value);
        let certificate = self.certify(mean_cost, &mut improved);
        let dual_bound = certificate.as_ref().map(|certificate| certificate.dual_bound).or(by_rounds);
        let gap = dual_bound.map_or(f64::INFINITY, |bound| relative_gap(mean_cost, bound));
        let proved = certificate.is_some() || gap <= self.effort().gap_of_many;
        let gap_estimate = if proved { None } else { self.estimate_gap(mean_cost, &mut improved) };
        // It is by other prices than the proof, which may be the better ones; and what is proved holds for it, too.
        let gap_estimate = gap_estimate
            .filter(|estimate| estimate.value < gap || dual_bound.is_none())
            .map(|estimate| GapEstimate { high: estimate.high.min(gap), ..estimate });
        self.device_failure()?;
        let Improved { pairing: Pairing { g, block, .. }, termination, exact, rounds, .. } = improved;
        let Record { levels, sweeps, seconds, .. } = self.record;
        let prices = Prices { g, block };
        Ok(HirefOutput {
            permutation,
            mean_cost,
            exact,
            levels,
            sweeps,
            rounds,
            dual_bound,
            certificate,
            gap_estimate,
            seconds,
            termination,
            prices,
        })
    }

    fn device_failure(&self) -> Result<(), Error> {
        self.device.and_then(|device| device.take_failure()).map_or(Ok(()), Err)
    }

    /// The pairing that the improvements start from: the one handed in, or levels and leaves, or coarse groups to fine ones.
    fn first_pairing(&mut self, stage: Stage) -> Result<First, Error> {
        let partition = match stage {
            Stage::Direct(pairing) => return Ok(First::Direct(pairing)),
            Stage::Polish(pairing, origin) => return Ok(First::Polish(pairing, origin)),
            Stage::Given(pairing) => {
                self.record.costs.push(self.mean_cost(&pairing));
                return Ok(First::Polish(pairing, Origin::EarlierSolve));
            }
            Stage::Warm(pairing) if self.worth_going_on_from(&pairing) => {
                self.record.costs.push(self.mean_cost(&pairing));
                return Ok(First::Polish(pairing, Origin::EarlierSolve));
            }
            Stage::Warm(pairing) => {
                self.record.earlier = Some(pairing.y_of_x);
                Partition::whole(self.supports.num_y())
            }
            Stage::Cold => Partition::whole(self.supports.num_y()),
            Stage::Split(partition) => partition,
        };
        let (mut pairing, complete) = if multiscale::suits(self.supports, self.params) {
            (self.timed(Phase::Split, multiscale::first_pairing)?, true)
        } else {
            self.levels_and_leaves(partition)?
        };
        if let Some(earlier) = self.record.earlier.take() {
            merge(self.supports, &mut pairing, &earlier);
        }
        // What fits one leaf has no levels.
        if !complete || self.record.levels.is_empty() {
            return Ok(First::Final { pairing, complete });
        }
        self.record.costs.push(self.mean_cost(&pairing));
        self.offer(State::Pairing(&pairing), self.record.seconds, false);
        Ok(First::Polish(pairing, Origin::Here))
    }

    fn mean_cost(&self, pairing: &Pairing) -> f64 {
        mean_cost(self.problem, &pairing.to_permutation(self.supports.num_x()))
    }

    /// Whether sweeps from a warm start promise more than a start from nothing: few blocks of its pairs, solved on trial, gain little.
    fn worth_going_on_from(&self, pairing: &Pairing) -> bool {
        let (supports, effort) = (self.supports, self.effort());
        if multiscale::suits(supports, self.params) {
            // Nothing is faster than a start from coarse groups but an exact solve that knows the prices.
            return pairing.is_priced() && self.ends_exactly();
        }
        let Grouping { order, offsets } =
            group_pairs(self.geometry, self.device, pairing, effort.block_size, self.params.seed, 0);
        let blocks: Vec<&[u32]> = offsets.windows(2).map(|w| &order[w[0]..w[1]]).collect();
        let chosen: Vec<&[u32]> = blocks.iter().step_by(blocks.len().div_ceil(TRIAL_BLOCKS)).copied().collect();
        let mut offsets = vec![0];
        offsets.extend(chosen.iter().scan(0, |end, block| {
            *end += block.len();
            Some(*end)
        }));
        let order = chosen.concat();
        let points = order.iter().filter(|&&x| supports.is_point(x));
        let cost: f64 = points.map(|&x| supports.between(x, pairing.y_of_x[x as usize])).sum();
        let trial = self.block_solver(Phase::Polish, Control::start(&(), None));
        -trial.solve(pairing, &order, &offsets, true).change() <= WORTH_GOING_ON * cost.abs()
    }

    /// Splits a partition down to the leaves and pairs these; says whether all were solved.
    fn levels_and_leaves(&mut self, partition: Partition) -> Result<(Pairing, bool), Error> {
        let partition = self.timed(Phase::Split, |session| split_to_leaves(session, partition))?;
        let mut pairing = Pairing::from_partition(&partition, self.supports.num_x());
        let complete = self.timed(Phase::Leaves, |session| session.solve_leaves(&partition, &mut pairing));
        if !complete {
            self.offer(State::Partition(&partition), self.record.seconds, true);
        }
        Ok((pairing, complete))
    }

    /// Pairs the leaves, whatever the time limit; says whether all were solved.
    fn solve_leaves(&self, partition: &Partition, pairing: &mut Pairing) -> bool {
        let control = self.control.without_deadline();
        control.begin(Phase::Leaves, self.supports.num_y() as u64);
        let leaves = self.block_solver(Phase::Leaves, control);
        let solved = leaves.solve(pairing, &partition.x_order, &partition.offsets, false);
        let complete = solved.complete();
        solved.apply(pairing, self.supports.num_x());
        complete
    }

    /// Sweeps over a pairing and, where n allows, the exact solve of everything.
    fn improve(&mut self, mut pairing: Pairing, origin: Origin) -> Improved {
        let exact_end = self.ends_exactly();
        // Where an exact solve follows, sweeps would only find prices that are there already.
        let warm = origin == Origin::EarlierSolve;
        let prepared = warm && self.record.sweeps.is_empty() && pairing.is_priced() && exact_end;
        let mut termination = Termination::Converged;
        if !prepared {
            let stopped = self.timed(Phase::Polish, |session| sweep(session, &mut pairing, origin));
            termination = stopped.unwrap_or(Termination::Converged);
        }
        if cut_short(termination) {
            // A sweep that was cut short has offered the state before it.
            let polished = Polished::Unfinished;
            return Improved { termination, polished, ..Improved::without_sweeps(pairing, false) };
        }
        let polished = Polished::Present(self.record.seconds);
        let improved = Improved { termination, polished, exact: false, ..Improved::without_sweeps(pairing, true) };
        let costs = &self.record.costs;
        let swept = self.may_end_by_tree() && costs.len() > 1 && little_left(costs, self.effort());
        if exact_end && !swept { self.end_exactly(improved) } else { improved }
    }

    fn end_exactly(&mut self, improved: Improved) -> Improved {
        let Improved { pairing: before, termination, .. } = improved;
        let seconds = self.record.seconds;
        let (pairing, outcome) = self.timed(Phase::Exact, |session| solve_exactly(session, &before));
        let ExactOutcome { reports: rounds, stopped, optimal: exact, bound } = outcome;
        let termination = match stopped {
            Some(reason) => reason,
            None if exact => Termination::Converged,
            None => termination,
        };
        let polished = Polished::Before(before, seconds);
        let improved = Improved { pairing, termination, exact, rounds, bound, polished };
        if cut_short(termination) {
            self.offer_polished(&improved);
        }
        improved
    }

    /// The certificate, where one is asked for.
    fn certify(&mut self, mean_cost: f64, improved: &mut Improved) -> Option<Certificate> {
        if !self.params.certify || improved.termination == Termination::Interrupted {
            return None;
        }
        let bound = improved.bound.take();
        let certificate = self.timed(Phase::Certify, |session| certify(session, &improved.pairing, mean_cost, bound));
        self.note_interrupt(improved);
        certificate
    }

    /// The estimate of the gap, where one is asked for and the pairing is not known to be optimal.
    fn estimate_gap(&mut self, mean_cost: f64, improved: &mut Improved) -> Option<GapEstimate> {
        if !self.params.estimate_gap || improved.exact || improved.termination == Termination::Interrupted {
            return None;
        }
        let estimate = self.timed(Phase::Certify, |session| estimate_gap(session, &improved.pairing, mean_cost));
        self.note_interrupt(improved);
        estimate
    }

    /// Notes that the observer has asked to stop since the improvements ended.
    fn note_interrupt(&self, improved: &mut Improved) {
        if self.control.without_deadline().should_stop() {
            improved.termination = Termination::Interrupted;
            self.offer_polished(improved);
        }
    }

    /// Offers the state after the sweeps, if they came to their end, as the last to go on from.
    fn offer_polished(&self, improved: &Improved) {
        match &improved.polished {
            Polished::Unfinished => {}
            Polished::Present(seconds) => self.offer(State::Pairing(&improved.pairing), *seconds, true),
            Polished::Before(pairing, seconds) => self.offer(State::Pairing(pairing), *seconds, true),
        }
    }
}

impl Improved {
    fn without_sweeps(pairing: Pairing, complete: bool) -> Self {
        let termination = if complete { Termination::Converged } else { Termination::Interrupted };
        let polished = Polished::Unfinished;
        Self { pairing, termination, exact: complete, rounds: Vec::new(), bound: None, polished }
    }
}

/// Whether a solve ended before its own rules would have ended it.
fn cut_short(termination: Termination) -> bool {
    matches!(termination, Termination::Interrupted | Termination::TimeLimit)
}
