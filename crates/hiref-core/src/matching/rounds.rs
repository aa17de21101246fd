//! The exact solve: rounds that price all pairs and assign over the best candidates.

use super::costs::Costs;
use super::params::Rows;
use crate::assignment::sparse::{CandidateEdges, FREE, Unassigned, assign, rounding};
use crate::control::Control;
use crate::error::{Error, Side};
use crate::pricing::{Least, Pricing, relative_gap};
use crate::report::{Event, Phase, RoundReport};
use std::time::Instant;

/// Candidates that a round lists for each row: with good prices several columns are nearly tied.
const CANDIDATES: usize = 8;
/// And at most, where copies of a row want different columns.
const MOST_CANDIDATES: usize = 64;
/// How many times more candidates rows get that have too few between them.
const MORE: usize = 4;

/// Where rows stay single.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Singles {
    /// What a single row costs.
    pub(crate) cost: f64,
    /// How many there may be.
    pub(crate) most: u32,
}

/// A matching problem in rows and columns: every row takes one column or stays single, column j takes at most `capacity[j]` rows.
pub(crate) struct Task<'a> {
    pub(crate) costs: &'a dyn Costs,
    pub(crate) rows: Rows,
    pub(crate) capacity: Vec<u32>,
    pub(crate) singles: Option<Singles>,
}

impl Task<'_> {
    /// How many rows all columns take together.
    pub(crate) fn num_places(&self) -> usize {
        self.capacity.iter().map(|&capacity| capacity as usize).sum()
    }
}

/// Where the rounds start.
pub(crate) struct Start {
    /// The column of each row, [`FREE`] where it has none; the number of columns stands for single.
    pub(crate) column_of_row: Vec<u32>,
    /// Prices of the columns.
    pub(crate) g: Vec<f64>,
    /// The price of being single, at most 0.
    pub(crate) single_price: f64,
    /// Candidates that are known already.
    pub(crate) known: CandidateEdges,
}

impl Start {
    /// Without prices, pairs or candidates.
    pub(crate) fn nothing(task: &Task<'_>) -> Self {
        let (rows, columns) = (task.rows.len(), task.costs.num_columns());
        let known = CandidateEdges::empty(rows);
        Self { column_of_row: vec![FREE; rows], g: vec![0.0; columns], single_price: 0.0, known }
    }
}

/// A lower bound on the cost of every matching, and the potentials that prove it.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) value: f64,
    /// Of the rows.
    pub(crate) f: Vec<f64>,
    /// Of the columns; the singles' last.
    pub(crate) g: Vec<f64>,
}

/// When to end before the optimum is proved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Enough {
    /// A proved gap of this share of the cost.
    pub(crate) gap: f64,
    /// So many columns reached by the searches, for each row.
    pub(crate) reach: usize,
}

impl Enough {
    /// Nothing but the optimum.
    pub(crate) const OPTIMAL: Self = Self { gap: 0.0, reach: usize::MAX };
}

/// An assignment of all rows with prices, and what they prove.
///
/// Column generation, as in [`crate::pricing::PricedRounds`]: prices give each row its least reduced costs over all columns, hence a bound, and
/// the candidates that the next assignment chooses among. "Single" is one more column, of its own price, which all rows have as a candidate.
pub(crate) struct Rounds<'a> {
    task: &'a Task<'a>,
    /// Of the columns and, last, of the singles.
    capacity: Vec<u32>,
    edges: CandidateEdges,
    /// The column of each row; the number of columns stands for single.
    pub(crate) column_of_row: Vec<u32>,
    pub(crate) g: Vec<f64>,
    /// Whether columns and singles together take more rows than there are: prices are at most 0 then.
    spare: bool,
    pub(crate) bound: Option<Bound>,
    pub(crate) reports: Vec<RoundReport>,
    pub(crate) optimal: bool,
    reached: usize,
}

impl<'a> Rounds<'a> {
    pub(crate) fn new(task: &'a Task<'a>, start: Start) -> Self {
        let Start { column_of_row, mut g, single_price, known } = start;
        let mut capacity = task.capacity.clone();
        let most = task.singles.map_or(0, |singles| singles.most);
        capacity.push(most);
        g.push(single_price);
        let spare = capacity.iter().map(|&c| u64::from(c)).sum::<u64>() > task.rows.len() as u64;
        if spare {
            g.iter_mut().for_each(|g| *g = g.min(0.0));
        }
        let single = task.costs.num_columns() as u32;
        let edges = CandidateEdges::of_rows((0..task.rows.len() as u32).map(|row| {
            let singles = task.singles.filter(|singles| singles.most > 0).map(|singles| (single, singles.cost));
            known.of(row).chain(singles).collect::<Vec<_>>().into_iter()
        }));
        let (bound, reports) = (None, Vec::new());
        Self { task, capacity, edges, column_of_row, g, spare, bound, reports, optimal: false, reached: 0 }
    }

    /// Items and columns that one round looks at.
    fn pairs(&self) -> u64 {
        self.task.rows.len() as u64 * self.task.costs.num_columns() as u64
    }

    /// Whether some row has no column yet.
    pub(crate) fn has_free_rows(&self) -> bool {
        self.column_of_row.contains(&FREE)
    }

    /// Proves a bound from the present prices where there is none yet, and raises it as far as the rows' potentials allow; `false` if something
    /// asked to stop.
    pub(crate) fn certify(&mut self, control: Control<'_>) -> bool {
        let should_stop = || control.should_stop();
        let pairs = self.pairs();
        control.begin(Phase::Certify, 2 * pairs);
        if self.bound.is_none() && self.price(&should_stop).is_none() {
            return false;
        }
        control.advance(Phase::Certify, pairs);
        let raised = self.raise(&should_stop);
        control.advance(Phase::Certify, pairs);
        raised.is_some() || !control.should_stop()
    }

    /// The least reduced costs under the present prices, and the bound that they prove.
    fn price(&mut self, should_stop: &(dyn Fn() -> bool + Sync)) -> Option<Pricing> {
        let task = self.task;
        let columns = task.costs.num_columns();
        let width = (2 * task.rows.most_copies()).clamp(CANDIDATES, MOST_CANDIDATES);
        let partners = task.rows.of_items(&self.column_of_row);
        let pricing = task.costs.price(&partners, &self.g[..columns], width, should_stop)?;
        let single = task.singles.map_or(f64::INFINITY, |singles| singles.cost - self.g[columns]);
        let row = |row: u32| pricing.floor[task.rows.item(row) as usize].min(single);
        let f = (0..task.rows.len() as u32).map(row).collect();
        self.offer(Bound::new(f, self.g.clone(), &self.capacity));
        Some(pricing)
    }

    /// Raises the prices of the best bound as far as its rows' potentials allow.
    fn raise(&mut self, should_stop: &(dyn Fn() -> bool + Sync)) -> Option<()> {
        let Bound { f, g, .. } = self.bound.as_ref()?;
        let task = self.task;
        let partners = task.rows.of_items(&self.column_of_row);
        // Items that take part in nothing have no potential.
        let of_items = Some(task.rows.of_values(f)).filter(|f| f.iter().all(|f| f.is_finite()))?;
        let mut raised = task.costs.raise(&partners, &of_items, should_stop)?;
        raised.extend(g.last());
        if self.spare {
            raised.iter_mut().for_each(|g| *g = g.min(0.0));
        }
        let bound = Bound::new(f.clone(), raised, &self.capacity);
        self.offer(bound);
        Some(())
    }

    fn cost(&self, row: u32, column: u32) -> f64 {
        match self.task.singles {
            Some(singles) if column as usize == self.task.costs.num_columns() => singles.cost,
            _ => self.task.costs.between(self.task.rows.item(row), column),
        }
    }

    /// The cost of the present assignment, that of singles included; `None` while some row has no column.
    fn total(&self) -> Option<f64> {
        let rows = self.column_of_row.iter().enumerate();
        rows.map(|(row, &column)| (column != FREE).then(|| self.cost(row as u32, column))).sum()
    }

    /// Rounds until the assignment is optimal, or good enough. Ends with an error of [`Error::Interrupted`] only if there is no assignment yet;
    /// else `false` says that something asked to stop.
    ///
    /// # Errors
    /// [`Error::NoMatching`] where there is none.
    pub(crate) fn run(&mut self, enough: Enough, control: Control<'_>) -> Result<bool, Error> {
        loop {
            let started = Instant::now();
            // A first assignment is always finished.
            let control = if self.has_free_rows() { control.without_deadline() } else { control };
            control.begin(Phase::Exact, self.pairs());
            let going_on = self.round(enough, control)?;
            control.advance(Phase::Exact, self.pairs());
            let Some((done, total)) = going_on else {
                return if self.has_free_rows() { Err(Error::Interrupted) } else { Ok(false) };
            };
            let rows = self.column_of_row.len() as f64;
            let report = RoundReport {
                round: self.reports.len() + 1,
                mean_cost: total.map_or(f64::INFINITY, |total| total / rows),
                dual_bound: self.bound.as_ref().map(|bound| bound.value / rows),
                candidates: self.edges.len() as f64 / rows,
                seconds: started.elapsed().as_secs_f64(),
            };
            control.tell(&Event::RoundFinished(report.clone()));
            self.reports.push(report);
            if done {
                return Ok(true);
            }
        }
    }

    /// One round; says whether it was the last, and the cost at its start. `None` if something asked to stop.
    fn round(&mut self, enough: Enough, control: Control<'_>) -> Result<Option<(bool, Option<f64>)>, Error> {
        let task = self.task;
        let should_stop = || control.should_stop();
        let Some(pricing) = self.price(&should_stop) else { return Ok(None) };
        let item = |row: u32| task.rows.item(row) as usize;
        let total = self.total();
        self.optimal = total.is_some()
            && self.is_tight(|row| {
                let first = item(row) * pricing.width;
                (pricing.costs[first], self.g[pricing.columns[first] as usize])
            });
        let close = total.is_some_and(|total| self.relative_gap(total) <= enough.gap);
        if self.optimal || close || self.reached > enough.reach.saturating_mul(self.column_of_row.len()) {
            return Ok(Some((true, total)));
        }
        let more = self.extend(|row| {
            let range = item(row) * pricing.width..(item(row) + 1) * pricing.width;
            pricing.columns[range.clone()].iter().copied().zip(pricing.costs[range].iter().copied()).collect()
        });
        let before = (!more).then(|| (self.column_of_row.clone(), self.g.clone()));
        if !self.assign(&should_stop)? {
            return Ok(None);
        }
        // What nothing changes any more is optimal up to rounding.
        let settled = before.is_some_and(|(columns, g)| columns == self.column_of_row && g == self.g);
        Ok(Some((settled, total)))
    }

    /// Keeps a bound if it is better than what there is.
    fn offer(&mut self, bound: Bound) {
        if self.bound.as_ref().is_none_or(|best| bound.value > best.value) {
            self.bound = Some(bound);
        }
    }

    /// How far a cost is from the bound, as a share of it.
    pub(crate) fn relative_gap(&self, total: f64) -> f64 {
        self.bound.as_ref().map_or(f64::INFINITY, |bound| relative_gap(total, bound.value))
    }

    /// Whether no row has a better column, up to rounding, and no column that has room is too cheap; `best` is the best column of a row, as cost
    /// and price.
    fn is_tight(&self, best: impl Fn(u32) -> (f64, f64)) -> bool {
        let single = self.task.singles.map(|singles| (singles.cost, self.g[self.task.costs.num_columns()]));
        let mut count = vec![0; self.capacity.len()];
        self.column_of_row.iter().for_each(|&column| count[column as usize] += 1);
        let cheap = |(column, &g): (usize, &f64)| count[column] < self.capacity[column] && g < 0.0;
        if self.spare && self.g.iter().enumerate().any(cheap) {
            return false;
        }
        let loose = |row: u32, other: (f64, f64)| {
            let column = self.column_of_row[row as usize];
            let own = (self.cost(row, column), self.g[column as usize]);
            own.0 - own.1 > other.0 - other.1 + rounding(own, other)
        };
        !(0..self.column_of_row.len() as u32)
            .any(|row| loose(row, best(row)) || single.is_some_and(|single| loose(row, single)))
    }

    /// Adds candidates to the rows; says whether any was new.
    fn extend(&mut self, more: impl Fn(u32) -> Vec<(u32, f64)>) -> bool {
        let before = self.edges.len();
        let edges = &self.edges;
        let next = CandidateEdges::of_rows((0..edges.num_rows() as u32).map(|row| {
            let mut all: Vec<(u32, f64)> = edges.of(row).collect();
            for (column, cost) in more(row) {
                if cost.is_finite() && !all.iter().any(|&(other, _)| other == column) {
                    all.push((column, cost));
                }
            }
            all.into_iter()
        }));
        self.edges = next;
        self.edges.len() > before
    }

    /// Assigns over the candidates; rows that have too few between them get more. `false` if `should_stop` said so.
    fn assign(&mut self, should_stop: &(dyn Fn() -> bool + Sync)) -> Result<bool, Error> {
        loop {
            let (mut columns, mut g) = (self.column_of_row.clone(), self.g.clone());
            match assign(&self.edges, &self.capacity, &mut columns, &mut g, should_stop) {
                Ok(reached) => {
                    self.reached += reached + 1;
                    (self.column_of_row, self.g) = (columns, g);
                    return Ok(true);
                }
                Err(Unassigned::Stopped) => return Ok(false),
                Err(Unassigned::TooFewColumns { mut rows, columns }) => {
                    rows.sort_unstable();
                    if !self.widen(&rows) {
                        return Err(self.no_matching(&rows, &columns));
                    }
                }
            }
        }
    }

    /// Gives some rows several times their candidates; says whether there were any more.
    fn widen(&mut self, rows: &[u32]) -> bool {
        let task = self.task;
        let (g, edges) = (self.g.clone(), &self.edges);
        let most = rows.iter().map(|&row| edges.of(row).count()).max().unwrap_or(0);
        let width = (MORE * most.max(CANDIDATES)).min(task.costs.num_columns());
        let more = |row: u32| -> Vec<(u32, f64)> {
            if rows.binary_search(&row).is_err() {
                return Vec::new();
            }
            let mut least = Least::new(width);
            let item = task.rows.item(row);
            task.costs.least(item, &g[..task.costs.num_columns()], &mut least);
            least.entries().iter().map(|&(_, column)| (column, task.costs.between(item, column))).collect()
        };
        self.extend(more)
    }

    fn no_matching(&self, rows: &[u32], columns: &[u32]) -> Error {
        let mut items: Vec<u32> = rows.iter().map(|&row| self.task.rows.item(row)).collect();
        items.dedup();
        let places = columns.iter().map(|&column| self.capacity[column as usize] as usize).sum();
        let first = items.iter().copied().take(10).collect();
        Error::NoMatching { side: Side::X, items: items.len(), wanted: rows.len(), places, first }
    }
}

impl Bound {
    /// `Σ f + Σ capacity g`, rounded down.
    fn new(f: Vec<f64>, g: Vec<f64>, capacity: &[u32]) -> Self {
        let terms = || {
            f.iter().copied().chain(g.iter().zip(capacity).map(|(g, &c)| if c == 0 { 0.0 } else { g * f64::from(c) }))
        };
        let (mut sum, mut lost, mut size) = (0.0_f64, 0.0_f64, 0.0_f64);
        for term in terms() {
            // Neumaier's summation.
            let next = sum + term;
            lost += if sum.abs() >= term.abs() { (sum - next) + term } else { (term - next) + sum };
            sum = next;
            size += term.abs();
        }
        let value = (sum + lost - size * 4.0 * f64::EPSILON).next_down();
        Self { value, f, g }
    }
}
