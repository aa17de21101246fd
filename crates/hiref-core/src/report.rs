//! What a solver tells while it works, and why it ended; the library itself prints nothing.

use serde::{Deserialize, Serialize};

/// A stage of a solve, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Phase {
    /// Hierarchical splitting; progress counts points split, over all levels.
    Split,
    /// Exact assignment inside the leaves; progress counts pairs.
    Leaves,
    /// Polish sweeps; progress counts pairs, over the sweeps planned so far.
    Polish,
    /// Prices from samples, ahead of the exact solve of everything and part of its time; progress counts pairs looked at.
    Prices,
    /// The exact solve of everything; progress counts rounds, over those planned so far.
    Exact,
    /// The certificate; progress counts passes over all pairs.
    Certify,
    /// Iterations of an entropic or low-rank solver; progress counts iterations, out of the most allowed.
    Iterations,
    /// Batches of the mini-batch solver; progress counts points of the larger side.
    Batches,
    /// Rounding a soft coupling to a one-to-one pairing; progress counts pairs.
    Rounding,
    /// Growing a map between two spaces; progress counts rounds, each a coupling, over those planned so far.
    Align,
}

impl Phase {
    /// Its name, one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Leaves => "leaves",
            Self::Polish => "polish",
            Self::Prices => "prices",
            Self::Exact => "exact",
            Self::Certify => "certify",
            Self::Iterations => "iterations",
            Self::Batches => "batches",
            Self::Rounding => "rounding",
            Self::Align => "align",
        }
    }

    /// What its progress counts.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Split | Self::Batches => "points",
            Self::Leaves | Self::Polish | Self::Prices | Self::Exact | Self::Certify | Self::Rounding => "pairs",
            Self::Align => "rounds",
            Self::Iterations => "iterations",
        }
    }
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A phase begins; `total` is in the phase's own unit.
    PhaseStarted {
        /// The phase.
        phase: Phase,
        /// Work it will do.
        total: u64,
    },
    /// Work was done in a phase since the last such event.
    Advanced {
        /// The phase.
        phase: Phase,
        /// Additional work done.
        work: u64,
    },
    /// A phase ended.
    PhaseFinished {
        /// The phase.
        phase: Phase,
        /// Its wall time.
        seconds: f64,
    },
    /// A level of the hierarchy is split.
    LevelFinished(LevelReport),
    /// A polish sweep ended.
    SweepFinished(SweepReport),
    /// A round of the exact solve ended.
    RoundFinished(RoundReport),
    /// An iteration of an entropic or low-rank solver ended.
    IterationFinished(IterationReport),
    /// A round of an alignment ended.
    AlignmentRound(AlignmentRound),
}

/// One level of the hierarchy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LevelReport {
    /// Level split, 0 = coarsest.
    pub level: usize,
    /// Children per block.
    pub rank: usize,
    /// Blocks after the split.
    pub blocks: usize,
    /// Largest block after the split.
    pub block_size: usize,
    /// Mean cost of the coupling that spreads each block uniformly over its partner; not for the Euclidean cost,
    /// whose blocks have no closed form.
    pub block_coupling_cost: Option<f64>,
    /// Wall time.
    pub seconds: f64,
}

/// One polish sweep.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SweepReport {
    /// Sweep number, from 1.
    pub sweep: usize,
    /// Pairs per block.
    pub block_size: usize,
    /// Mean cost after the sweep.
    pub mean_cost: f64,
    /// Wall time.
    pub seconds: f64,
}

/// One round of pricing and a sparse solve of everything.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoundReport {
    /// Round number, from 1.
    pub round: usize,
    /// Mean cost at its start.
    pub mean_cost: f64,
    /// Best lower bound on the optimal mean cost so far; none after rounds that look at a part of the pairs.
    pub dual_bound: Option<f64>,
    /// Candidate partners kept for each point, on average.
    pub candidates: f64,
    /// Wall time.
    pub seconds: f64,
}

/// One iteration of an entropic or low-rank solver.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IterationReport {
    /// Iteration number, from 1.
    pub iteration: usize,
    /// The regularisation in force, in units of the cost; none for the low-rank solvers.
    pub epsilon: Option<f64>,
    /// What is compared with the tolerance: the marginal error, or the relative change of the cost.
    pub error: f64,
}

/// One round of an alignment: a coupling, and maps refitted to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AlignmentRound {
    /// Which run of the loop it belongs to, such as `start 2`.
    pub stage: String,
    /// Round of that run, from 1.
    pub round: usize,
    /// Rounds of that run.
    pub rounds: usize,
    /// Items of the source and of the target that were coupled.
    pub items: [usize; 2],
    /// Principal dimensions in which they were.
    pub dimension: usize,
    /// Mean score of the coupled pairs, a mean of cosines.
    pub matched_score: f64,
}

impl IterationReport {
    /// Says what one iteration came to.
    pub fn new(iteration: usize, epsilon: Option<f64>, error: f64) -> Self {
        Self { iteration, epsilon, error }
    }
}

/// Receives the events of a solve; may be called from several threads at once.
pub trait Observer: Sync {
    /// Takes note of one event.
    fn on_event(&self, event: &Event);
    /// Told after each step from which the solve could go on later; `encode` writes [`crate::Checkpoint`]'s bytes. With `last`, the solve stops
    /// here, having been asked to, and this is the state from which it goes on to the result that it would have had.
    fn on_checkpoint(&self, encode: &dyn Fn() -> Vec<u8>, last: bool) {
        let _ = (encode, last);
    }
    /// Asked between units of work: a solver stops at the next safe point once this is true.
    fn should_stop(&self) -> bool {
        false
    }
}

/// Ignores every event.
impl Observer for () {
    fn on_event(&self, _event: &Event) {}
}

/// Both are told; either may say stop.
impl<A: Observer + ?Sized, B: Observer + ?Sized> Observer for (&A, &B) {
    fn on_event(&self, event: &Event) {
        self.0.on_event(event);
        self.1.on_event(event);
    }

    fn on_checkpoint(&self, encode: &dyn Fn() -> Vec<u8>, last: bool) {
        self.0.on_checkpoint(encode, last);
        self.1.on_checkpoint(encode, last);
    }

    fn should_stop(&self) -> bool {
        self.0.should_stop() || self.1.should_stop()
    }
}

/// Wall time of each phase, in seconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PhaseSeconds {
    /// Hierarchical splits.
    pub split: f64,
    /// Exact leaves.
    pub leaves: f64,
    /// Polish sweeps.
    pub polish: f64,
    /// Rounds of the exact solve of everything.
    pub exact: f64,
    /// The certificate.
    pub certify: f64,
}

impl PhaseSeconds {
    /// Adds to the time of a phase of a hierarchical solve; returns its time so far.
    pub(crate) fn add(&mut self, phase: Phase, seconds: f64) -> f64 {
        let slot = match phase {
            Phase::Split => &mut self.split,
            Phase::Leaves => &mut self.leaves,
            Phase::Polish => &mut self.polish,
            Phase::Prices | Phase::Exact => &mut self.exact,
            Phase::Certify => &mut self.certify,
            Phase::Iterations | Phase::Batches | Phase::Rounding | Phase::Align => {
                unreachable!("a phase of other solvers")
            }
        };
        *slot += seconds;
        *slot
    }

    /// All phases together.
    pub fn total(&self) -> f64 {
        self.split + self.leaves + self.polish + self.exact + self.certify
    }
}

/// Why a solve ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Termination {
    /// Solved exactly, or what is still to be gained is below the tolerance.
    Converged,
    /// The limit of sweeps or iterations was reached first.
    MaxIterations,
    /// The time limit was reached first.
    TimeLimit,
    /// The observer asked to stop; the coupling is complete, of the quality reached so far.
    Interrupted,
}
