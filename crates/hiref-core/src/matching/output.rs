//! What a matching came to.

use super::rounds::{Rounds, Singles, Task};
use crate::error::Error;
use crate::permutation::{Permutation, UNMATCHED};
use crate::pricing::relative_gap;
use crate::report::{PhaseSeconds, RoundReport, Termination};

/// A matching, its cost, and what is proved of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Matching {
    /// The pairs `[x, y]`, by x, then y.
    pub pairs: Vec<[u32; 2]>,
    /// The cost of each pair, in f64.
    pub costs: Vec<f64>,
    /// x and y items.
    pub sizes: [usize; 2],
    /// Sum of the pairs' costs.
    pub total_cost: f64,
    /// What was minimised: the pairs' costs, and half of `unmatched_cost` for each single where that was given.
    pub objective: f64,
    /// No matching of this kind has a lower `objective`; where anything is proved.
    pub dual_bound: Option<f64>,
    /// What two singles cost together: as given, or as found for `num_pairs`; pairs that cost more are not worth it.
    pub unmatched_cost: Option<f64>,
    /// Whether it is known to be optimal, up to rounding.
    pub exact: bool,
    /// Potentials of x and y that prove the bound, where there is one: `f_i + g_j <= c_ij` for all pairs that may be; with singles, `f` and `g` are at
    /// most half of `unmatched_cost`.
    pub potentials: Option<[Vec<f64>; 2]>,
    /// Categories of x that y has none of, and the other way round, by rising number; their items are single.
    pub lonely_groups: [Vec<u32>; 2],
    /// Rounds of the exact solve; of categories, those of the largest.
    pub rounds: Vec<RoundReport>,
    /// Time spent.
    pub seconds: PhaseSeconds,
    /// Why it ended.
    pub termination: Termination,
}

impl Matching {
    /// Mean cost of the pairs; 0 without pairs.
    pub fn mean_cost(&self) -> f64 {
        if self.pairs.is_empty() { 0.0 } else { self.total_cost / self.pairs.len() as f64 }
    }

    /// How far the objective is from the optimum at most, as a share of it, where that is proved.
    pub fn relative_gap(&self) -> Option<f64> {
        self.dual_bound.map(|bound| relative_gap(self.objective, bound))
    }

    /// Exchanges the sides.
    pub(crate) fn turn(&mut self) {
        let mut priced: Vec<([u32; 2], f64)> =
            self.pairs.iter().map(|&[x, y]| [y, x]).zip(self.costs.iter().copied()).collect();
        priced.sort_unstable_by_key(|&(pair, _)| pair);
        (self.pairs, self.costs) = priced.into_iter().unzip();
        self.sizes.reverse();
        self.lonely_groups.reverse();
        if let Some(potentials) = &mut self.potentials {
            potentials.reverse();
        }
    }

    /// Items of each side without a partner, by rising index.
    pub fn singles(&self) -> [Vec<u32>; 2] {
        [0, 1].map(|side| {
            let mut paired = vec![false; self.sizes[side]];
            self.pairs.iter().for_each(|pair| paired[pair[side] as usize] = true);
            paired.iter().enumerate().filter(|&(_, &paired)| !paired).map(|(item, _)| item as u32).collect()
        })
    }

    /// The y partner of each x, [`UNMATCHED`] for singles; `None` where some item has several partners.
    pub fn y_of_x(&self) -> Option<Vec<u32>> {
        let (mut y_of_x, mut taken) = (vec![UNMATCHED; self.sizes[0]], vec![false; self.sizes[1]]);
        for &[x, y] in &self.pairs {
            let again = std::mem::replace(&mut taken[y as usize], true);
            if again || std::mem::replace(&mut y_of_x[x as usize], y) != UNMATCHED {
                return None;
            }
        }
        Some(y_of_x)
    }

    /// The same as a permutation, where every item of the smaller side has one partner.
    ///
    /// # Errors
    /// [`Error::WrongPairCount`] where some have none, [`Error::RepeatedIndex`] where some have several.
    pub fn permutation(&self) -> Result<Permutation, Error> {
        let several = Error::WrongPairCount { found: self.pairs.len(), expected: self.sizes[0].min(self.sizes[1]) };
        Permutation::new(self.y_of_x().ok_or(several)?, self.sizes[1])
    }
}

/// What kind of singles there are, for the figures of the result.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// As many pairs as there can be, or exactly so many: singles cost nothing.
    Pairs(usize),
    /// Two singles together cost this much.
    Unmatched(f64),
}

/// The result of an exact solve.
pub(crate) fn matching_of(task: &Task<'_>, rounds: Rounds<'_>, kind: Kind, termination: Termination) -> Matching {
    let num_columns = task.costs.num_columns();
    let sizes = [task.costs.num_rows(), num_columns];
    let paired = rounds.column_of_row.iter().enumerate().filter(|&(_, &column)| (column as usize) < num_columns);
    let mut pairs: Vec<[u32; 2]> = paired.map(|(row, &column)| [task.rows.item(row as u32), column]).collect();
    if let Kind::Pairs(count) = kind {
        keep_cheapest(&mut pairs, count, &|x, y| task.costs.between(x, y));
    }
    pairs.sort_unstable();
    let costs: Vec<f64> = pairs.iter().map(|&[x, y]| task.costs.between(x, y)).collect();
    let total_cost: f64 = costs.iter().sum();
    let places: u64 = task.capacity.iter().map(|&c| u64::from(c)).sum();
    let (single_rows, single_places) = (task.rows.len() - pairs.len(), places as f64 - pairs.len() as f64);
    let mut matching = Matching {
        pairs,
        costs,
        sizes,
        total_cost,
        objective: total_cost,
        dual_bound: None,
        unmatched_cost: None,
        exact: rounds.optimal,
        potentials: None,
        lonely_groups: [Vec::new(), Vec::new()],
        rounds: rounds.reports,
        seconds: PhaseSeconds::default(),
        termination,
    };
    // A single row costs all of it in the rounds, and a column that is left nothing.
    let given = match kind {
        Kind::Unmatched(cost) => {
            matching.objective += 0.5 * cost * (single_rows as f64 + single_places);
            Some(cost)
        }
        Kind::Pairs(_) => None,
    };
    let Some(bound) = rounds.bound else { return matching };
    let (mut f, mut g) = (task.rows.of_values(&bound.f), bound.g);
    let price = g.pop().unwrap_or(0.0);
    let found = task.singles.filter(|singles| singles.most > 0).map(|Singles { cost, .. }| cost - price);
    matching.unmatched_cost = given.or(found);
    let half = 0.5 * given.unwrap_or(0.0);
    f.iter_mut().for_each(|f| *f -= half);
    g.iter_mut().for_each(|g| *g += half);
    let constant = match kind {
        Kind::Unmatched(_) => half * (places as f64 - task.rows.len() as f64),
        // Exactly so many rows are single, at a cost that stands for nothing.
        Kind::Pairs(count) => -task.singles.map_or(0.0, |singles| singles.cost * (task.rows.len() - count) as f64),
    };
    matching.dual_bound = Some((bound.value + constant).next_down());
    matching.potentials = Some([f, g]);
    matching
}

/// Drops the dearest pairs beyond a count; ties by index.
pub(crate) fn keep_cheapest(pairs: &mut Vec<[u32; 2]>, count: usize, cost: &dyn Fn(u32, u32) -> f64) {
    if pairs.len() > count {
        let mut priced: Vec<(f64, [u32; 2])> = pairs.iter().map(|&[x, y]| (cost(x, y), [x, y])).collect();
        priced.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        priced.truncate(count);
        *pairs = priced.into_iter().map(|(_, pair)| pair).collect();
    }
}
