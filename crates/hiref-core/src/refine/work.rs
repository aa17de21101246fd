//! The steps of one solve, and what they share.

use super::block_solver::{Pairing, solve_blocks};
use super::certify::certify;
use super::checkpoint::{Progress, Stage, encode, fingerprint};
use super::coarse_to_fine;
use super::level;
use super::output::{Certificate, LevelReport, PhaseSeconds, RoundReport, Termination};
use super::params::HirefParams;
use super::partition::Partition;
use super::polish::{Grouping, Polisher, SweepRecord, group_pairs};
use super::warm_start::merge;
use crate::accelerator::Accelerator;
use crate::error::Error;
use crate::geometry::{InnerProductGeometry, Supports};
use crate::mean_cost::mean_cost;
use crate::pricing::DualBound;
use crate::problem::Problem;
use crate::progress::{Event, Observer, Phase};
use crate::schedule::rank_schedule;
use std::time::Instant;

/// Blocks of a warm start that are solved on trial.
const TRIAL_BLOCKS: usize = 4;
/// A warm start is gone on from if they gain no more than this share of their cost.
const WORTH_GOING_ON: f64 = 0.1;

/// A solve of a problem with n <= m: what it works on, and its reports so far.
pub(super) struct Work<'a> {
    pub(super) params: &'a HirefParams,
    pub(super) problem: &'a Problem<'a>,
    pub(super) observer: &'a dyn Observer,
    pub(super) deadline: Option<Instant>,
    pub(super) supports: Supports<'a>,
    pub(super) geometry: &'a InnerProductGeometry<'a>,
    pub(super) accelerator: Option<&'a Accelerator<'a>>,
    /// Reports; its stage is that of the start.
    pub(super) progress: Progress,
}

/// A pairing to improve.
pub(super) struct First {
    pub(super) pairing: Pairing,
    /// Whether it was made from nothing, and not handed in.
    cold: bool,
    /// Whether every leaf was solved.
    complete: bool,
}

/// What came of the improvements.
pub(super) struct Improved {
    pub(super) termination: Termination,
    pub(super) exact: bool,
    pub(super) rounds: Vec<RoundReport>,
    pub(super) bound: Option<DualBound>,
    /// The pairing after the sweeps, if they came to their end.
    polished: Option<Pairing>,
}

impl Work<'_> {
    /// The pairing that the improvements start from: the one handed in, or levels and leaves, or coarse groups to fine ones.
    pub(super) fn first_pairing(&mut self) -> Result<First, Error> {
        let (supports, n) = (self.supports, self.supports.num_x());
        let mut stage = std::mem::replace(&mut self.progress.stage, Stage::Partition(Partition::whole(0)));
        if let Stage::Pairing(pairing) = &stage
            && self.progress.costs.is_empty()
        {
            if self.worth_going_on_from(pairing) {
                self.progress.costs.push(mean_cost(self.problem, &pairing.to_permutation(n)));
            } else {
                self.progress.earlier = Some(pairing.y_of_x.clone());
                stage = Stage::Partition(Partition::whole(supports.num_y()));
            }
        }
        let mut first = match stage {
            Stage::Pairing(pairing) => return Ok(First { pairing, cold: false, complete: true }),
            Stage::Partition(_) if coarse_to_fine::suits(supports, self.params) => {
                let Progress { levels, seconds, .. } = &mut self.progress;
                let start = timed(Phase::Split, &mut seconds.split, self.observer, || {
                    coarse_to_fine::coarse_to_fine(supports, self.params, levels, self.observer)
                })?;
                First { pairing: Pairing::priced(start.y_of_x, start.g, n), cold: true, complete: true }
            }
            Stage::Partition(partition) => self.levels_and_leaves(partition)?,
        };
        if let Some(earlier) = self.progress.earlier.take() {
            merge(supports, &mut first.pairing, &earlier);
        }
        Ok(first)
    }

    /// Whether sweeps from a warm start promise more than a start from nothing: few blocks of its pairs, solved on trial, gain little.
    fn worth_going_on_from(&self, pairing: &Pairing) -> bool {
        let (supports, effort) = (self.supports, self.params.effort());
        if coarse_to_fine::suits(supports, self.params) {
            // Nothing is faster than a start from coarse groups but an exact solve that knows the prices.
            return pairing.is_priced() && supports.num_y() <= effort.exact_limit;
        }
        let Grouping { order, offsets } =
            group_pairs(self.geometry, supports.device, pairing, effort.block_size, self.params.seed, 0);
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
        let solved = solve_blocks(supports, pairing, &order, &offsets, true, Phase::Polish, &());
        let change = solved.apply(&mut pairing.clone(), supports.num_x());
        -change <= WORTH_GOING_ON * cost.abs()
    }

    /// Splits a partition down to the leaves and pairs these.
    fn levels_and_leaves(&mut self, partition: Partition) -> Result<First, Error> {
        let (supports, observer, n) = (self.supports, self.observer, self.supports.num_x());
        let started = Instant::now();
        let split = self.levels(partition);
        self.progress.seconds.split += started.elapsed().as_secs_f64();
        observer.on_event(&Event::PhaseFinished { phase: Phase::Split, seconds: self.progress.seconds.split });
        let partition = split?;
        let mut pairing = Pairing::from_partition(&partition, n);
        let complete = timed(Phase::Leaves, &mut self.progress.seconds.leaves, observer, || {
            observer.on_event(&Event::PhaseStarted { phase: Phase::Leaves, total: supports.num_y() as u64 });
            let Partition { x_order, offsets, .. } = &partition;
            let solved = solve_blocks(supports, &pairing, x_order, offsets, false, Phase::Leaves, observer);
            let complete = solved.complete();
            solved.apply(&mut pairing, n);
            complete
        });
        if !complete {
            self.offer(Stage::Partition(partition), self.progress.seconds, true);
        }
        Ok(First { pairing, cold: true, complete })
    }

    /// Splits a partition until the blocks fit a leaf.
    fn levels(&mut self, mut partition: Partition) -> Result<Partition, Error> {
        let (params, observer, geometry) = (self.params, self.observer, self.geometry);
        let len = geometry.num_y();
        let ranks = rank_schedule(len, params.leaf_size, params.max_rank);
        let done = self.progress.levels.len();
        observer.on_event(&Event::PhaseStarted { phase: Phase::Split, total: (len * (ranks.len() - done)) as u64 });
        for (level, &rank) in ranks.iter().enumerate().skip(done) {
            let started = Instant::now();
            let split = level::split(geometry, &partition, level, rank, params.seed, self.accelerator, observer);
            if matches!(split, Err(Error::Interrupted)) && level > 0 {
                self.offer(Stage::Partition(partition.clone()), PhaseSeconds::default(), true);
            }
            partition = split?;
            let Partition { x_order, y_order, offsets } = &partition;
            let report = LevelReport {
                level,
                rank,
                blocks: partition.num_blocks(),
                block_size: partition.largest_block(),
                block_coupling_cost: geometry.block_coupling_cost(x_order, y_order, offsets),
                seconds: started.elapsed().as_secs_f64(),
            };
            observer.on_event(&Event::LevelFinished(report.clone()));
            self.progress.levels.push(report);
            self.offer(Stage::Partition(partition.clone()), PhaseSeconds::default(), false);
        }
        Ok(partition)
    }

    /// Sweeps over a pairing and, where n allows, the exact solve of everything.
    pub(super) fn improve(&mut self, first: First) -> (Pairing, Improved) {
        let First { mut pairing, cold, complete } = first;
        let (supports, observer) = (self.supports, self.observer);
        let mut improved = Improved {
            termination: if complete { Termination::Converged } else { Termination::Interrupted },
            exact: false,
            rounds: Vec::new(),
            bound: None,
            polished: None,
        };
        // What fits one leaf has no levels and is optimal; else only a warm start has none.
        let warm = self.progress.levels.is_empty();
        if !complete || cold && warm {
            improved.exact = complete;
            return (pairing, improved);
        }
        if cold {
            self.progress.costs.push(mean_cost(self.problem, &pairing.to_permutation(supports.num_x())));
            self.offer(Stage::Pairing(pairing.clone()), self.progress.seconds, false);
        }
        let before = self.progress.seconds;
        let Self { params, geometry, deadline, .. } = *self;
        let polisher = Polisher { params, geometry, supports, observer, deadline, warm };
        let exact_end = supports.num_y() <= params.effort().exact_limit;
        // Where an exact solve follows, sweeps would only find prices that are there already.
        let prepared = warm && self.progress.sweeps.is_empty() && pairing.is_priced() && exact_end;
        if !prepared {
            let (mut sweeps, mut costs) =
                (std::mem::take(&mut self.progress.sweeps), std::mem::take(&mut self.progress.costs));
            let mut seconds = before.polish;
            let stopped = timed(Phase::Polish, &mut seconds, observer, || {
                let mut record = SweepRecord { sweeps: &mut sweeps, costs: &mut costs };
                polisher.run(&mut pairing, &mut record, &|pairing, record, last| {
                    let (stage, levels) = (Stage::Pairing(pairing.clone()), self.progress.levels.clone());
                    let (sweeps, costs) = (record.sweeps.clone(), record.costs.clone());
                    self.send(&Progress { levels, sweeps, costs, seconds: before, ..Progress::at(stage) }, last);
                })
            });
            self.progress.seconds.polish = seconds;
            (self.progress.sweeps, self.progress.costs) = (sweeps, costs);
            improved.termination = stopped.unwrap_or(Termination::Converged);
        }
        if cut_short(improved.termination) {
            // A sweep that was cut short has offered the state before it.
            return (pairing, improved);
        }
        improved.polished = Some(pairing.clone());
        if exact_end {
            let outcome = timed(Phase::Exact, &mut self.progress.seconds.exact, observer, || {
                polisher.solve_exactly(&mut pairing)
            });
            improved.exact = outcome.optimal;
            improved.termination = match outcome.stopped {
                Some(reason) => reason,
                None if outcome.optimal => Termination::Converged,
                None => improved.termination,
            };
            if cut_short(improved.termination) {
                self.offer_polished(&improved, before);
            }
            (improved.rounds, improved.bound) = (outcome.reports, outcome.bound);
        }
        (pairing, improved)
    }

    /// The certificate, where one is asked for.
    pub(super) fn certify(
        &mut self,
        pairing: &Pairing,
        mean_cost: f64,
        improved: &mut Improved,
    ) -> Option<Certificate> {
        if !self.params.certify || improved.termination == Termination::Interrupted {
            return None;
        }
        let (supports, observer, bound) = (self.supports, self.observer, improved.bound.take());
        let certificate = timed(Phase::Certify, &mut self.progress.seconds.certify, observer, || {
            certify(supports, pairing, mean_cost, bound, observer)
        });
        if observer.should_stop() {
            improved.termination = Termination::Interrupted;
            self.offer_polished(improved, PhaseSeconds::default());
        }
        certificate
    }

    /// Offers the state after the sweeps, if they came to their end, as the last to go on from.
    fn offer_polished(&self, improved: &Improved, seconds: PhaseSeconds) {
        if let Some(polished) = &improved.polished {
            self.offer(Stage::Pairing(polished.clone()), seconds, true);
        }
    }

    /// Offers the observer a state to go on from.
    fn offer(&self, stage: Stage, seconds: PhaseSeconds, last: bool) {
        self.send(&Progress { stage, seconds, ..self.progress.clone() }, last);
    }

    fn send(&self, progress: &Progress, last: bool) {
        let encode = || encode(self.params, fingerprint(self.problem), progress);
        self.observer.on_checkpoint(&encode, last);
    }
}

/// Whether a solve ended before its own rules would have ended it.
fn cut_short(termination: Termination) -> bool {
    matches!(termination, Termination::Interrupted | Termination::TimeLimit)
}

/// Runs one phase, adding up its time and telling the observer of its end.
fn timed<R>(phase: Phase, seconds: &mut f64, observer: &dyn Observer, work: impl FnOnce() -> R) -> R {
    let started = Instant::now();
    let result = work();
    *seconds += started.elapsed().as_secs_f64();
    observer.on_event(&Event::PhaseFinished { phase, seconds: *seconds });
    result
}
