//! Matchings of points in categories: a problem of its own for each.

use super::output::Matching;
use super::params::MatchingParams;
use crate::error::Error;
use crate::hiref::Hiref;
use crate::problem::Problem;
use crate::report::{Event, Observer, PhaseSeconds, Termination};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::time::Instant;

/// Categories of at most so many items a side are solved side by side, larger ones one after the other on all threads.
const SMALL: usize = 1024;

/// A category, and its items by rising index.
struct Group {
    label: u32,
    items: [Vec<u32>; 2],
}

/// Solves each category on its own and puts the results together.
pub(super) fn solve_groups(
    solver: &Hiref,
    problem: &Problem<'_>,
    params: &MatchingParams,
    labels: &[Vec<u32>; 2],
    observer: &dyn Observer,
) -> Result<Matching, Error> {
    let mut by_label: BTreeMap<u32, [Vec<u32>; 2]> = BTreeMap::new();
    for (side, labels) in labels.iter().enumerate() {
        labels.iter().zip(0..).for_each(|(&label, item)| by_label.entry(label).or_default()[side].push(item));
    }
    let groups: Vec<Group> = by_label.into_iter().map(|(label, items)| Group { label, items }).collect();
    let of_side = |side: usize| -> Vec<u32> {
        let lonely = groups.iter().filter(|group| group.items[1 - side].is_empty());
        lonely.map(|group| group.label).collect()
    };
    let mut merged = Merged::new(params, [0, 1].map(|side| labels[side].len()), [of_side(0), of_side(1)]);
    let started = Instant::now();
    let one = |group: &Group, observer: &dyn Observer| {
        let [x, y] = &group.items;
        let mut own = solver.params().clone();
        own.time_limit = own.time_limit.map(|limit| (limit - started.elapsed().as_secs_f64()).max(1e-3));
        group.solve(&own.check()?, problem, params, observer).map_err(|error| match error {
            Error::NoMatching { side, items, wanted, places, first } => {
                let names = if side == crate::error::Side::X { x } else { y };
                let first = first.into_iter().map(|item| names[item as usize]).collect();
                Error::NoMatching { side, items, wanted, places, first }
            }
            other => other,
        })
    };
    let paired = groups.iter().filter(|group| group.items.iter().all(|items| !items.is_empty()));
    let (small, large): (Vec<&Group>, Vec<&Group>) =
        paired.partition(|group| group.items.iter().all(|items| items.len() <= SMALL));
    for group in large {
        merged.add(group, one(group, observer)?);
    }
    let solved: Vec<Matching> =
        small.par_iter().map(|group| one(group, &Quiet(observer))).collect::<Result<_, Error>>()?;
    small.iter().zip(solved).for_each(|(group, found)| merged.add(group, found));
    groups.iter().filter(|group| group.items.iter().any(Vec::is_empty)).for_each(|group| merged.add_singles(group));
    merged.matching.seconds.exact = started.elapsed().as_secs_f64() - merged.others.total();
    Ok(merged.finish())
}

impl Group {
    fn solve(
        &self,
        solver: &Hiref,
        problem: &Problem<'_>,
        params: &MatchingParams,
        observer: &dyn Observer,
    ) -> Result<Matching, Error> {
        let [x, y] = &self.items;
        let d = problem.x().dimension();
        let (x_points, y_points) = (problem.x().rows().view().gather(x), problem.y().rows().view().gather(y));
        let problem = Problem::new((&x_points, d), (&y_points, d), problem.cost())?;
        let place = |items: &[u32], item: u32| items.binary_search(&item).ok().map(|at| at as u32);
        // Pairs across categories are none in any case.
        let forbidden = params.forbidden.iter().filter_map(|&[i, j]| Some([place(x, i)?, place(y, j)?]));
        let own = MatchingParams {
            x_capacity: params.x_capacity.of(x),
            y_capacity: params.y_capacity.of(y),
            forbidden: forbidden.collect(),
            groups: None,
            ..*params
        };
        solver.solve_one(&problem, &own, observer)
    }
}

/// The results of all categories so far.
struct Merged<'a> {
    params: &'a MatchingParams,
    matching: Matching,
    priced: Vec<([u32; 2], f64)>,
    others: PhaseSeconds,
}

impl<'a> Merged<'a> {
    fn new(params: &'a MatchingParams, sizes: [usize; 2], lonely_groups: [Vec<u32>; 2]) -> Self {
        // Items without a partner have potentials that prove nothing but that they are single.
        let potentials = sizes.map(|size| vec![0.5 * params.unmatched_cost.unwrap_or(0.0); size]);
        let matching = Matching {
            pairs: Vec::new(),
            costs: Vec::new(),
            sizes,
            total_cost: 0.0,
            objective: 0.0,
            dual_bound: Some(0.0),
            unmatched_cost: params.unmatched_cost,
            exact: true,
            potentials: Some(potentials),
            lonely_groups,
            rounds: Vec::new(),
            seconds: PhaseSeconds::default(),
            termination: Termination::Converged,
        };
        Self { params, matching, priced: Vec::new(), others: PhaseSeconds::default() }
    }

    fn add(&mut self, group: &Group, found: Matching) {
        let all = &mut self.matching;
        let [x, y] = &group.items;
        let pairs = found.pairs.iter().map(|&[i, j]| [x[i as usize], y[j as usize]]);
        self.priced.extend(pairs.zip(found.costs.iter().copied()));
        all.objective += found.objective;
        all.dual_bound = all.dual_bound.zip(found.dual_bound).map(|(a, b)| (a + b).next_down());
        all.exact &= found.exact;
        match (&mut all.potentials, found.potentials) {
            (Some(potentials), Some(own)) => {
                for ((potentials, own), items) in potentials.iter_mut().zip(own).zip(&group.items) {
                    items.iter().zip(own).for_each(|(&item, value)| potentials[item as usize] = value);
                }
            }
            (potentials, _) => *potentials = None,
        }
        if found.rounds.len() > all.rounds.len() {
            all.rounds = found.rounds;
        }
        let worse = |termination| match termination {
            Termination::Converged => 0,
            Termination::MaxIterations => 1,
            Termination::TimeLimit => 2,
            Termination::Interrupted => 3,
        };
        if worse(found.termination) > worse(all.termination) {
            all.termination = found.termination;
        }
        self.others.split += found.seconds.split;
        self.others.leaves += found.seconds.leaves;
        self.others.polish += found.seconds.polish;
        self.others.certify += found.seconds.certify;
    }

    /// Adds the items of a category of one side.
    fn add_singles(&mut self, group: &Group) {
        let half = 0.5 * self.params.unmatched_cost.unwrap_or(0.0);
        let cost = half * group.items.iter().map(Vec::len).sum::<usize>() as f64;
        self.matching.objective += cost;
        self.matching.dual_bound = self.matching.dual_bound.map(|bound| (bound + cost).next_down());
    }

    fn finish(mut self) -> Matching {
        self.priced.sort_unstable_by_key(|&(pair, _)| pair);
        (self.matching.pairs, self.matching.costs) = self.priced.into_iter().unzip();
        self.matching.total_cost = self.matching.costs.iter().sum();
        let exact = self.matching.seconds.exact.max(0.0);
        self.matching.seconds = PhaseSeconds { exact, ..self.others };
        self.matching
    }
}

/// An observer of many small solves: it may say stop.
struct Quiet<'a>(&'a dyn Observer);

impl Observer for Quiet<'_> {
    fn on_event(&self, _event: &Event) {}

    fn should_stop(&self) -> bool {
        self.0.should_stop()
    }
}
