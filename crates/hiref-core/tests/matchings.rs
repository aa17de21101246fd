//! Matchings of points, each equal to the optimum of the testkit's own solver on the expanded matrix.

#[path = "support/reference.rs"]
mod reference;

use hiref_core::matching::{Capacity, Matching, MatchingParams};
use hiref_core::rng::stream;
use hiref_core::{CostKind, Error, HirefParams, Problem, Quality, Side};
use hiref_testkit::Cost;
use rand::Rng;
use reference::{check, check_optimal, check_potentials, least_objective};

const D: usize = 3;

/// Points of both sides that mostly lie together, with a share of outliers on each.
struct Sets {
    x: Vec<f32>,
    y: Vec<f32>,
    kind: CostKind,
}

impl Sets {
    fn new(n: usize, m: usize, kind: CostKind, seed: u64) -> Self {
        let mut rng = stream(seed, &[]);
        let mut points = |count: usize, away: f32| {
            let mut point = || {
                let shift = if rng.random::<f32>() < 0.2 { away } else { 0.0 };
                [0.0; D].map(|_| rng.random_range(-1.0..1.0_f32) + shift)
            };
            (0..count).flat_map(|_| point()).collect::<Vec<f32>>()
        };
        Self { x: points(n, 3.0), y: points(m, -2.0), kind }
    }

    fn sizes(&self) -> [usize; 2] {
        [self.x.len() / D, self.y.len() / D]
    }

    fn cost(&self, i: usize, j: usize) -> f64 {
        Cost::of_name(self.kind.name()).between(&self.x[i * D..][..D], &self.y[j * D..][..D])
    }

    fn solve(&self, solver: HirefParams, params: &MatchingParams) -> Result<Matching, Error> {
        let problem = Problem::new((&self.x, D), (&self.y, D), self.kind)?;
        solver.check()?.solve_matching(&problem, params, &())
    }

    /// Solves exactly, with small blocks so that the hierarchy takes part, and compares with the reference.
    fn check(&self, seed: u64, params: &MatchingParams, what: &str) {
        let what = format!("{what}: {} {:?}, {params:?}", self.kind, self.sizes());
        let found = self.solve(ending_exact(seed), params).unwrap_or_else(|error| panic!("{what}: {error}"));
        check_optimal(&found, &|i, j| self.cost(i, j), self.sizes(), params, &what);
    }
}

/// Small blocks, and an exact end.
fn ending_exact(seed: u64) -> HirefParams {
    HirefParams {
        seed,
        leaf_size: 16,
        polish_block_size: Some(16),
        exact_limit: Some(usize::MAX),
        quality: Quality::Best,
        ..HirefParams::default()
    }
}

/// Runs `check` on instances of all costs and of sides of any sizes.
fn on_instances(check: impl Fn(&Sets, u64, &mut dyn FnMut(usize) -> usize)) {
    for trial in 0..16 {
        let mut rng = stream(40 + trial, &[]);
        let (n, m) = (rng.random_range(1..90), rng.random_range(1..90));
        let m = if trial % 3 == 0 { n } else { m };
        let sets = Sets::new(n, m, CostKind::ALL[trial as usize % 4], trial);
        check(&sets, trial, &mut |below| rng.random_range(0..below));
    }
}

#[test]
fn an_item_stays_single_where_no_pair_is_worth_it() {
    on_instances(|sets, trial, draw| {
        let [n, m] = sets.sizes();
        // The cost of any pair is a price at which some are worth it.
        let price = sets.cost(draw(n), draw(m));
        let params = MatchingParams { unmatched_cost: Some(price), ..MatchingParams::default() };
        sets.check(trial, &params, "unmatched cost");
    });
}

#[test]
fn the_best_pairs_of_a_number() {
    on_instances(|sets, trial, draw| {
        let [n, m] = sets.sizes();
        for count in [1, n.min(m), 1 + draw(n.min(m))] {
            let params = MatchingParams { num_pairs: Some(count), ..MatchingParams::default() };
            sets.check(trial, &params, "number of pairs");
        }
    });
}

#[test]
fn several_partners() {
    on_instances(|sets, trial, draw| {
        let [n, m] = sets.sizes();
        let mut each = |items: usize| Capacity::Each((0..items).map(|_| draw(4) as u32).collect());
        let some = |capacity: &Capacity| matches!(capacity, Capacity::Each(all) if all.iter().any(|&c| c > 0));
        let (x, y) = (each(n), each(m));
        let plain = MatchingParams::default;
        let price = Some(sets.cost(draw(n), draw(m)));
        sets.check(trial, &MatchingParams { y_capacity: Capacity::All(2), ..plain() }, "y twice");
        sets.check(
            trial,
            &MatchingParams { x_capacity: Capacity::All(3), unmatched_cost: price, ..plain() },
            "x thrice",
        );
        if some(&x) {
            sets.check(trial, &MatchingParams { x_capacity: x, ..plain() }, "x each");
        }
        if some(&y) {
            sets.check(trial, &MatchingParams { y_capacity: y, num_pairs: Some(1), ..plain() }, "y each");
        }
    });
}

#[test]
fn pairs_that_may_not_be() {
    on_instances(|sets, trial, draw| {
        let [n, m] = sets.sizes();
        // The pairs that would be best, and some others.
        let plain = sets.solve(ending_exact(trial), &MatchingParams::default()).unwrap();
        let mut forbidden: Vec<[u32; 2]> = plain.pairs.iter().copied().step_by(2).collect();
        forbidden.extend((0..n).map(|_| [draw(n) as u32, draw(m) as u32]));
        let params = MatchingParams { forbidden, ..MatchingParams::default() };
        if least_objective(&|i, j| sets.cost(i, j), [n, m], &params).is_some() {
            sets.check(trial, &params, "forbidden");
        } else {
            assert!(matches!(sets.solve(ending_exact(trial), &params), Err(Error::NoMatching { .. })));
        }
        let price = Some(sets.cost(draw(n), draw(m)));
        sets.check(trial, &MatchingParams { unmatched_cost: price, ..params }, "forbidden, with singles");
    });
}

#[test]
fn an_item_that_may_have_no_partner_is_named() {
    let sets = Sets::new(40, 40, CostKind::Euclidean, 3);
    let forbidden = (0..40).map(|j| [7, j]).collect();
    let params = MatchingParams { forbidden, ..MatchingParams::default() };
    match sets.solve(ending_exact(0), &params) {
        Err(Error::NoMatching { side, items, places, first, .. }) => {
            assert_eq!((side, items, places, &first[..]), (Side::X, 1, 0, &[7][..]));
        }
        other => panic!("{other:?}"),
    }
    // The side with fewer places is looked at from the other one.
    let sets = Sets::new(50, 40, CostKind::Euclidean, 3);
    let forbidden = (0..50).map(|i| [i, 7]).collect();
    let params = MatchingParams { forbidden, ..MatchingParams::default() };
    let refused = sets.solve(ending_exact(0), &params);
    assert!(matches!(refused, Err(Error::NoMatching { side: Side::Y, items: 1, .. })), "{refused:?}");
}

#[test]
fn pairs_inside_a_category_only() {
    on_instances(|sets, trial, draw| {
        let [n, m] = sets.sizes();
        let mut labels = |items: usize, of: usize| (0..items).map(|_| draw(of) as u32).collect::<Vec<u32>>();
        let groups = [labels(n, 4), labels(m, 5)];
        let forbidden: Vec<[u32; 2]> = (0..n as u32)
            .flat_map(|i| (0..m as u32).map(move |j| [i, j]))
            .filter(|&[i, j]| groups[0][i as usize] != groups[1][j as usize])
            .collect();
        let plain = MatchingParams::default;
        let price = Some(sets.cost(draw(n), draw(m)));
        for params in [plain(), MatchingParams { unmatched_cost: price, ..plain() }] {
            let what = format!("{trial}: {} {n} x {m}, {params:?}", sets.kind);
            let grouped = MatchingParams { groups: Some(groups.clone()), ..params.clone() };
            let found = sets.solve(ending_exact(trial), &grouped).unwrap();
            // As many pairs as there can be in each category, or as many as are worth it.
            let of = |side: usize, label: u32| groups[side].iter().filter(|&&other| other == label).count();
            let most: usize = (0..5).map(|label| of(0, label).min(of(1, label))).sum();
            let count = if price.is_some() && params.unmatched_cost.is_some() { None } else { Some(most) };
            let whole = MatchingParams { forbidden: forbidden.clone(), num_pairs: count, ..params };
            let lonely = (0..5).filter(|&label| of(0, label) == 0 && of(1, label) > 0);
            assert_eq!(found.lonely_groups[1], lonely.collect::<Vec<u32>>(), "{what}");
            if count != Some(0) {
                check_optimal(&found, &|i, j| sets.cost(i, j), [n, m], &whole, &what);
            }
        }
    });
}

/// Without an exact end: what is claimed holds, and little is lost.
#[test]
fn sweeps_alone_come_near() {
    for (trial, kind) in CostKind::ALL.into_iter().enumerate() {
        let sets = Sets::new(300, 330, kind, 60);
        let between = |i: usize, j: usize| sets.cost(i, j);
        let mut costs: Vec<f64> = (0..300).map(|i| sets.cost(i, i)).collect();
        costs.sort_unstable_by(f64::total_cmp);
        let plain = MatchingParams::default;
        for params in [
            MatchingParams { unmatched_cost: Some(costs[150]), ..plain() },
            MatchingParams { num_pairs: Some(200), ..plain() },
            MatchingParams { y_capacity: Capacity::All(2), ..plain() },
            MatchingParams { forbidden: (0..300).map(|i| [i, i]).collect(), ..plain() },
        ] {
            let solver = HirefParams {
                leaf_size: 64,
                polish_block_size: Some(64),
                exact_limit: Some(0),
                certify: true,
                quality: Quality::Best,
                ..HirefParams::default()
            };
            let what = format!("{kind} {trial}");
            let found = sets.solve(solver, &params).unwrap();
            check(&found, &between, [300, 330], &params, &what);
            check_potentials(&found, &between, [300, 330], &params, &what);
            let least = least_objective(&between, [300, 330], &params).unwrap();
            assert!(found.dual_bound.unwrap() <= least + 1e-9 * least.abs(), "{what}: a bound above the optimum");
            let excess = (found.objective - least) / least.abs();
            assert!(excess < 0.05, "{what}: {} against {least}", found.objective);
        }
    }
}
