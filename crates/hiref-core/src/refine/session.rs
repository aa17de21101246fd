//! What all steps of one solve share.

use super::blocks::{BlockSolver, OnDevice};
use super::checkpoint::{State, encode, fingerprint};
use super::params::{Effort, HirefParams, Rounds};
use super::repeated::Repeated;
use super::stage::Record;
use crate::control::Control;
use crate::cost::CostKind;
use crate::geometry::{InnerProductGeometry, Supports};
use crate::pricing::Pricer;
use crate::problem::Problem;
use crate::report::{Event, Phase, PhaseSeconds};
use std::time::Instant;

/// One solve of a problem with n <= m: what it works on, whom it asks and tells, and its reports so far.
pub(crate) struct Session<'a> {
    pub(crate) params: &'a HirefParams,
    pub(crate) problem: &'a Problem<'a>,
    pub(crate) supports: Supports<'a>,
    pub(crate) geometry: &'a InnerProductGeometry<'a>,
    /// Where points repeat so often that an exact end is over the distinct ones.
    pub(crate) repeated: Option<Repeated>,
    pub(crate) device: Option<&'a dyn OnDevice>,
    pub(crate) control: Control<'a>,
    pub(crate) record: Record,
}

impl<'a> Session<'a> {
    /// The work to spend.
    pub(crate) fn effort(&self) -> Effort {
        self.params.effort()
    }

    /// Whether the solve ends with an exact solve of everything. Beyond a fixed size only where prices start out nearly right: elsewhere
    /// rounds are many.
    pub(crate) fn ends_exactly(&self) -> bool {
        let small = self.supports.num_y() <= self.effort().exact_limit;
        small || self.may_end_by_tree() || (self.has_sampled_prices() && self.affordable_rounds().is_some())
    }

    /// The rounds that it ends with, if it does.
    pub(crate) fn rounds(&self) -> Rounds {
        self.affordable_rounds().filter(|_| !self.may_end_by_tree()).unwrap_or(Rounds::UNTIL_CLOSE)
    }

    fn affordable_rounds(&self) -> Option<Rounds> {
        let (n, m, d) = (self.supports.num_x(), self.supports.num_y(), self.supports.dimension());
        let rounds = self.params.rounds((n, m), d, self.repeated.as_ref().map(Repeated::num_columns))?;
        let may_probe = self.device.is_none() && self.supports.restrictions.is_none();
        let rounds = if may_probe { rounds } else { Rounds { probing: &[], ..rounds } };
        (!rounds.probing.is_empty() || rounds.over_all > 0).then_some(rounds)
    }

    /// Whether it does so in few dimensions, beyond the fixed size: where sweeps leave much to gain.
    pub(crate) fn may_end_by_tree(&self) -> bool {
        let (Effort { exact_limit, limit_by_tree, .. }, m) = (self.effort(), self.supports.num_y());
        m > exact_limit && m <= limit_by_tree && self.sweeps_leave_prices()
    }

    /// Whether sweeps leave prices that are nearly consistent: where they started from such ones, from coarse groups, and these are unique, which
    /// those of the Euclidean cost are not. Measured on two mixtures of 3 dimensions, 16,000 points: their bound is 18% below the cost, and 79%
    /// once constants have made them consistent across blocks; on the half-moon under the Euclidean cost it is the other way round.
    pub(crate) fn sweeps_leave_prices(&self) -> bool {
        let Supports { cost, restrictions, .. } = self.supports;
        let equal = self.supports.num_x() == self.supports.num_y();
        equal && cost == CostKind::SquaredEuclidean && restrictions.is_none() && self.pricer().by_tree()
    }

    /// Whether an exact solve of everything finds its prices from samples of the pairs: on the host, but where n = m in few dimensions, whose sweeps
    /// start from prices of coarse groups.
    pub(crate) fn has_sampled_prices(&self) -> bool {
        let equal = self.supports.num_x() == self.supports.num_y();
        let from_groups = equal && self.pricer().by_tree() && self.repeated.is_none();
        self.device.is_none() && !from_groups
    }

    /// What finds reduced costs.
    pub(crate) fn pricer(&self) -> Pricer<'a> {
        Pricer::new(self.supports, self.device.map(|device| device as _))
    }

    /// What re-pairs blocks in a phase, as long as `control` allows.
    pub(crate) fn block_solver(&self, phase: Phase, control: Control<'a>) -> BlockSolver<'a> {
        BlockSolver { supports: self.supports, device: self.device, control, phase }
    }

    /// Runs one phase, adding up its time and telling the observer of its end.
    pub(crate) fn timed<R>(&mut self, phase: Phase, work: impl FnOnce(&mut Self) -> R) -> R {
        let started = Instant::now();
        let result = work(self);
        let seconds = self.record.seconds.add(phase, started.elapsed().as_secs_f64());
        self.control.tell(&Event::PhaseFinished { phase, seconds });
        result
    }

    /// Offers the observer a state to go on from, with the time spent up to it; nothing is copied unless it is taken.
    pub(crate) fn offer(&self, state: State<'_>, seconds: PhaseSeconds, last: bool) {
        let encode = || encode(self.params, fingerprint(self.problem), state, &self.record, seconds);
        self.control.offer(&encode, last);
    }
}
