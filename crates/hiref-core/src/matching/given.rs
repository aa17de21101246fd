//! Matchings of given costs.

use super::costs::{Allowed, Candidates, CostRows, Costs};
use super::output::{Kind, Matching, matching_of};
use super::params::{MatchingParams, Rows};
use super::rounds::{Enough, Rounds, Singles, Start, Task};
use crate::assignment::sparse::CandidateEdges;
use crate::control::Control;
use crate::error::{Error, Side};
use crate::report::{Observer, Phase, PhaseSeconds, Termination};
use crate::restrictions::Forbidden;
use std::time::Instant;

/// The best matching under a matrix of costs, `(n, m)`, exactly; n and m may differ. Pairs whose cost is infinite may not be.
///
/// *Objective*: `Σ c_ij` over the pairs; see [`MatchingParams`] for what the pairs may be, by default one for each item of the smaller side.
/// *Complexity*: rounds of O(n m) on all threads, and sparse assignments between them; O(n + m) memory beside the matrix, and some candidates for
/// each row. *Termination*: at the optimum, or when `observer` says stop. *Determinism*: same bits, whatever the number of threads.
///
/// # Errors
/// [`Error::NoMatching`] where not all items that must be paired can be; parameters outside their ranges; a stop before there is a matching.
///
/// ```
/// use hiref_core::matching::{CostRows, MatchingParams, pair_costs};
/// let costs = CostRows::new(&[1.0_f32, 2.0, 9.0, 1.0, f32::INFINITY, 2.0], 3)?;
/// let found = pair_costs(&costs, &MatchingParams::default(), &())?;
/// assert_eq!(found.pairs, [[0, 1], [1, 0]]);
/// assert_eq!((found.total_cost, found.dual_bound.unwrap() > 2.999_999), (3.0, true));
/// # Ok::<(), hiref_core::Error>(())
/// ```
///
/// References: \[JV87\] for the searches, \[FF58\] for column generation.
pub fn pair_costs(costs: &CostRows<'_>, params: &MatchingParams, observer: &dyn Observer) -> Result<Matching, Error> {
    solve(costs, params, observer, |row, column| {
        // A first candidate of each row that is no other's: rows that want the same columns have somewhere else to go.
        let cost = costs.between(row, column);
        cost.is_finite().then_some((column, cost)).into_iter().collect()
    })
}

/// The best matching among candidate pairs, exactly.
///
/// As [`pair_costs`] for a sparse matrix: pairs that are not listed may not be. O(n + m + candidates) memory.
///
/// # Errors
/// As [`pair_costs`].
///
/// ```
/// use hiref_core::matching::{Candidates, MatchingParams, pair_candidates};
/// let listed = [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 1.0), (2, 0, 5.0)];
/// let candidates = Candidates::new(3, 2, &listed)?;
/// let found = pair_candidates(&candidates, &MatchingParams::default(), &())?;
/// assert_eq!(found.pairs, [[0, 1], [1, 0]]);
/// # Ok::<(), hiref_core::Error>(())
/// ```
pub fn pair_candidates(
    candidates: &Candidates,
    params: &MatchingParams,
    observer: &dyn Observer,
) -> Result<Matching, Error> {
    solve(candidates, params, observer, |row, _| candidates.edges().of(row).collect())
}

/// Solves from nothing; `first` lists first candidates of an item, given a column that is no other item's.
fn solve(
    costs: &dyn Costs,
    params: &MatchingParams,
    observer: &dyn Observer,
    first: impl Fn(u32, u32) -> Vec<(u32, f64)>,
) -> Result<Matching, Error> {
    let (n, m) = (costs.num_rows(), costs.num_columns());
    params.check(n, m)?;
    if params.groups.is_some() {
        return Err(Error::NotTogether { first: "groups", second: "given costs" });
    }
    let started = Instant::now();
    let control = Control::start(observer, None);
    let forbidden = Forbidden::new(params.forbidden.iter().copied());
    let allowed = Allowed { costs, forbidden: &forbidden };
    let (task, kind) = task_of(&allowed, params)?;
    let known = CandidateEdges::of_rows((0..task.rows.len() as u32).map(|row| {
        let listed = first(task.rows.item(row), row % m as u32);
        listed
            .into_iter()
            .filter(|&(column, _)| !forbidden.has(task.rows.item(row), column))
            .collect::<Vec<_>>()
            .into_iter()
    }));
    let mut rounds = Rounds::new(&task, Start { known, ..Start::nothing(&task) });
    let finished = rounds.run(Enough::OPTIMAL, control)?;
    let termination = if finished { Termination::Converged } else { control.reason() };
    let mut matching = matching_of(&task, rounds, kind, termination);
    let mut seconds = PhaseSeconds::default();
    seconds.add(Phase::Exact, started.elapsed().as_secs_f64());
    matching.seconds = seconds;
    Ok(matching)
}

/// The problem in rows and columns.
pub(crate) fn task_of<'a>(costs: &'a dyn Costs, params: &MatchingParams) -> Result<(Task<'a>, Kind), Error> {
    let (n, m) = (costs.num_rows(), costs.num_columns());
    let rows = Rows::of_capacity(&params.x_capacity.resolve(Side::X, n, m)?);
    let capacity = params.y_capacity.resolve(Side::Y, m, n)?;
    let places: u64 = capacity.iter().map(|&c| u64::from(c)).sum();
    let most_pairs = (rows.len() as u64).min(places) as usize;
    let (singles, kind) = if let Some(cost) = params.unmatched_cost {
        (Some(Singles { cost, most: rows.len() as u32 }), Kind::Unmatched(cost))
    } else {
        let count = params.num_pairs.unwrap_or(most_pairs);
        let most = (rows.len() - count) as u32;
        // Cheaper than any pair, so that exactly so many are.
        let singles = (most > 0).then(|| Singles { cost: costs.lowest(), most });
        (singles, Kind::Pairs(count))
    };
    Ok((Task { costs, rows, capacity, singles }, kind))
}
