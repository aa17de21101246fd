//! Matchings of points.

use super::costs::{Allowed, Costs};
use super::given::task_of;
use super::groups::solve_groups;
use super::hierarchy::{Hierarchy, largest_norm};
use super::output::{Matching, matching_of};
use super::params::{Capacity, MatchingParams};
use super::rounds::{Enough, Rounds, Start};
use crate::control::Control;
use crate::cost::CostKind;
use crate::error::{Error, Side};
use crate::geometry::Supports;
use crate::hiref::Hiref;
use crate::pricing::{Least, Pricer, Pricing};
use crate::problem::Problem;
use crate::report::{Observer, Phase, PhaseSeconds, Termination};
use crate::restrictions::Forbidden;
use std::time::Instant;

/// Columns that each row can choose from where no hierarchy is needed to start from, nor where all rows fit one leaf.
const MANY_COLUMNS: usize = 16;

/// Up to so many places the rounds end every quality: on two sets of 65,536 points with outliers they reach the optimum in 44 s of processor time,
/// where sweeps alone take 60 s and end 9% above it.
const EXACT_PLACES: usize = 1 << 16;

impl Hiref {
    /// The best matching of the two supports of `problem` of the kind that `matching` says: with items that stay single, several partners, pairs
    /// that may not be.
    ///
    /// *Objective*: see [`MatchingParams`]. Singles have a price that leaves and sweeps know, as a cost above which no pair counts, so that
    /// outliers take part in nothing; up to the exact limit of the quality, rounds of pricing end at the optimum. For `num_pairs` the rounds
    /// find the price; beyond the limit it is sought by several solves, and the dearest pairs beyond the number are dropped.
    /// *Complexity*: that of a solve of all places; copies of an item that may have several partners are points of their own in the hierarchy.
    /// It runs on the CPU. *Termination*, *Determinism*: as [`Hiref::solve`].
    ///
    /// # Errors
    /// As [`Hiref::solve`]; settings that contradict each other; [`Error::NoMatching`].
    ///
    /// ```
    /// use hiref_core::matching::MatchingParams;
    /// use hiref_core::{CostKind, HirefParams, Problem};
    /// let problem = Problem::new(&[[0.0_f32], [5.0], [90.0]], &[[5.5_f32], [0.5], [-40.0]], CostKind::Euclidean)?;
    /// let params = MatchingParams { unmatched_cost: Some(3.0), ..MatchingParams::default() };
    /// let found = HirefParams::default().check()?.solve_matching(&problem, &params, &())?;
    /// assert_eq!(found.pairs, [[0, 1], [1, 0]]);
    /// assert_eq!((found.total_cost, found.objective), (1.0, 4.0));
    /// # Ok::<(), hiref_core::Error>(())
    /// ```
    pub fn solve_matching(
        &self,
        problem: &Problem<'_>,
        matching: &MatchingParams,
        observer: &dyn Observer,
    ) -> Result<Matching, Error> {
        problem.expect_no_marginals("hiref")?;
        let (n, m) = (problem.x().num_points(), problem.y().num_points());
        matching.check(n, m)?;
        if let Some(groups) = &matching.groups {
            return solve_groups(self, problem, matching, groups, observer);
        }
        self.solve_one(problem, matching, observer)
    }

    /// The same for a problem without categories, which has been checked.
    pub(super) fn solve_one(
        &self,
        problem: &Problem<'_>,
        matching: &MatchingParams,
        observer: &dyn Observer,
    ) -> Result<Matching, Error> {
        let (n, m) = (problem.x().num_points(), problem.y().num_points());
        let places = |capacity: &Capacity, side, points, others| {
            Ok::<u64, Error>(capacity.resolve(side, points, others)?.iter().map(|&c| u64::from(c)).sum())
        };
        // Rows are those of the side with fewer places, so that columns are left and no rows.
        if places(&matching.x_capacity, Side::X, n, m)? <= places(&matching.y_capacity, Side::Y, m, n)? {
            return self.solve_rows(problem, matching, observer);
        }
        let solved = self.solve_rows(&problem.turned(), &matching.turned(), observer);
        let mut found = solved.map_err(|error| match error {
            Error::NoMatching { items, wanted, places, first, .. } => {
                Error::NoMatching { side: Side::Y, items, wanted, places, first }
            }
            other => other,
        })?;
        found.turn();
        Ok(found)
    }

    /// Solves with rows for the places of x.
    fn solve_rows(
        &self,
        problem: &Problem<'_>,
        matching: &MatchingParams,
        observer: &dyn Observer,
    ) -> Result<Matching, Error> {
        let started = Instant::now();
        let params = self.params();
        let control = Control::start(observer, params.time_limit);
        let (x, y) = (problem.x().rows(), problem.y().rows());
        let costs = PointCosts::new(Supports::new(x.view(), y.view(), problem.cost()));
        let forbidden = Forbidden::new(matching.forbidden.iter().copied());
        let allowed = Allowed { costs: &costs, forbidden: &forbidden };
        let (task, kind) = task_of(&allowed, matching)?;
        let places = task.num_places();
        let mut seconds = PhaseSeconds::default();
        let few = task.rows.len() <= params.leaf_size || places / task.rows.len() >= MANY_COLUMNS;
        let effort = params.effort();
        let exact_end = few || places <= params.exact_limit.unwrap_or(effort.exact_limit.max(EXACT_PLACES));
        let (start, swept) = if few {
            (Start::nothing(&task), Termination::Converged)
        } else {
            let supports = Supports::new(x.view(), y.view(), problem.cost());
            let hierarchy =
                Hierarchy { params, supports, task: &task, forbidden: &forbidden, observer, started, exact_end };
            let (start, output) = hierarchy.start(kind)?;
            seconds = output.seconds;
            (start, output.termination)
        };
        let exact_started = Instant::now();
        let mut rounds = Rounds::new(&task, start);
        let cut_short = matches!(swept, Termination::Interrupted | Termination::TimeLimit);
        let mut termination = swept;
        if exact_end && !cut_short {
            let enough = if few { Enough::OPTIMAL } else { Enough { gap: effort.gap, reach: effort.reach } };
            let finished = rounds.run(enough, control)?;
            termination = if finished { Termination::Converged } else { control.reason() };
        } else if rounds.has_free_rows() {
            rounds.run(Enough { gap: f64::INFINITY, reach: 0 }, control.without_deadline())?;
        }
        seconds.add(Phase::Exact, exact_started.elapsed().as_secs_f64());
        if params.certify && !rounds.optimal && termination != Termination::Interrupted {
            let certify_started = Instant::now();
            if !rounds.certify(control.without_deadline()) {
                termination = Termination::Interrupted;
            }
            seconds.add(Phase::Certify, certify_started.elapsed().as_secs_f64());
        }
        let mut found = matching_of(&task, rounds, kind, termination);
        found.seconds = seconds;
        Ok(found)
    }
}

/// The costs between points.
struct PointCosts<'a> {
    supports: Supports<'a>,
    lowest: f64,
}

impl<'a> PointCosts<'a> {
    fn new(supports: Supports<'a>) -> Self {
        let lowest = match supports.cost {
            CostKind::SquaredEuclidean | CostKind::Euclidean => 0.0,
            // Of equal directions, up to rounding.
            CostKind::Cosine => -1e-9,
            CostKind::NegativeInnerProduct => -largest_norm(supports.x) * largest_norm(supports.y) * (1.0 + 1e-9),
        };
        Self { supports, lowest }
    }
}

impl Costs for PointCosts<'_> {
    fn num_rows(&self) -> usize {
        self.supports.num_x()
    }

    fn num_columns(&self) -> usize {
        self.supports.num_y()
    }

    fn between(&self, row: u32, column: u32) -> f64 {
        self.supports.between(row, column)
    }

    fn least(&self, row: u32, g: &[f64], least: &mut Least) {
        (0..self.num_columns() as u32)
            .for_each(|column| least.offer(self.between(row, column) - g[column as usize], column));
    }

    fn lowest(&self) -> f64 {
        self.lowest
    }

    fn price(
        &self,
        column_of_row: &[u32],
        g: &[f64],
        width: usize,
        should_stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<Pricing> {
        Pricer::new(self.supports, None).price(column_of_row, g, width, should_stop)
    }

    fn raise(&self, column_of_row: &[u32], f: &[f64], should_stop: &(dyn Fn() -> bool + Sync)) -> Option<Vec<f64>> {
        let mut row_of_column = vec![u32::MAX; self.num_columns()];
        for (row, &column) in column_of_row.iter().enumerate() {
            if let Some(slot) = row_of_column.get_mut(column as usize) {
                *slot = row as u32;
            }
        }
        Pricer::new(self.supports, None).turned().c_transform_x(&row_of_column, f, should_stop)
    }
}
