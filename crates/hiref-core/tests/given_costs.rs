//! Matchings of given costs, each equal to the optimum of the testkit's own solver on the expanded matrix.

#[path = "support/reference.rs"]
mod reference;

use hiref_core::matching::{Candidates, Capacity, CostRows, MatchingParams, pair_candidates, pair_costs};
use hiref_core::rng::stream;
use hiref_core::{Error, ErrorKind, StopFlag};
use rand::Rng;
use reference::{check_optimal, least_objective};

/// What is asked of a problem of n x with m y, one kind after the other.
fn kinds(n: usize, m: usize, rng: &mut impl Rng) -> Vec<MatchingParams> {
    let plain = MatchingParams::default;
    let each = |rng: &mut dyn FnMut() -> u32, items: usize| Capacity::Each((0..items).map(|_| rng()).collect());
    let mut capacity = || rng.random_range(0..4);
    let (x_capacity, y_capacity) = (each(&mut capacity, n), each(&mut capacity, m));
    let some = |capacity: &Capacity| matches!(capacity, Capacity::Each(all) if all.iter().any(|&c| c > 0));
    let mut kinds = vec![
        plain(),
        MatchingParams { unmatched_cost: Some(rng.random_range(0.0..12.0)), ..plain() },
        MatchingParams { num_pairs: Some(rng.random_range(1..=n.min(m))), ..plain() },
        MatchingParams { y_capacity: Capacity::All(3), ..plain() },
        MatchingParams { x_capacity: Capacity::All(2), unmatched_cost: Some(3.5), ..plain() },
    ];
    if some(&x_capacity) {
        kinds.push(MatchingParams { x_capacity, ..plain() });
    }
    if some(&y_capacity) {
        kinds.push(MatchingParams { y_capacity: y_capacity.clone(), ..plain() });
        kinds.push(MatchingParams { y_capacity, num_pairs: Some(1), ..plain() });
    }
    kinds
}

#[test]
fn a_matrix_is_matched_optimally() {
    let mut rng = stream(21, &[]);
    for trial in 0..16 {
        let (n, m) = (rng.random_range(1..25), rng.random_range(1..25_usize));
        let whole = trial % 3 == 0;
        let negative = if trial % 4 == 3 { 5.0 } else { 0.0 };
        let costs: Vec<f64> = (0..n * m)
            .map(|_| if whole { f64::from(rng.random_range(0..6)) } else { rng.random_range(0.0..10.0) } - negative)
            .collect();
        let narrow: Vec<f32> = costs.iter().map(|&c| c as f32).collect();
        let between = |i: usize, j: usize| costs[i * m + j];
        let rounded = |i: usize, j: usize| f64::from(narrow[i * m + j]);
        for params in kinds(n, m, &mut rng) {
            let what = format!("trial {trial}, {n} x {m}, {params:?}");
            let found = pair_costs(&CostRows::new(&costs, m).unwrap(), &params, &()).unwrap();
            check_optimal(&found, &between, [n, m], &params, &what);
            let found = pair_costs(&CostRows::new(&narrow, m).unwrap(), &params, &()).unwrap();
            check_optimal(&found, &rounded, [n, m], &params, &what);
        }
    }
}

#[test]
fn pairs_that_may_not_be_are_not() {
    let mut rng = stream(22, &[]);
    let (mut solved, mut refused) = (0, 0);
    for trial in 0..60 {
        let (n, m) = (rng.random_range(1..16), rng.random_range(1..16_usize));
        let share = rng.random_range(0.2..0.9);
        let costs: Vec<f64> = (0..n * m)
            .map(|_| if rng.random::<f64>() < share { rng.random_range(0.0..10.0) } else { f64::INFINITY })
            .collect();
        let between = |i: usize, j: usize| costs[i * m + j];
        let listed: Vec<(u32, u32, f64)> = (0..n * m)
            .filter(|&at| costs[at].is_finite())
            .map(|at| ((at / m) as u32, (at % m) as u32, costs[at]))
            .collect();
        for params in kinds(n, m, &mut rng) {
            let what = format!("trial {trial}, {n} x {m}, {params:?}");
            let dense = pair_costs(&CostRows::new(&costs, m).unwrap(), &params, &());
            let sparse = Candidates::new(n, m, &listed).and_then(|listed| pair_candidates(&listed, &params, &()));
            if least_objective(&between, [n, m], &params).is_some() {
                check_optimal(&dense.unwrap(), &between, [n, m], &params, &what);
                if !listed.is_empty() {
                    check_optimal(&sparse.unwrap(), &between, [n, m], &params, &what);
                }
                solved += 1;
            } else {
                match dense {
                    Err(Error::NoMatching { wanted, places, .. }) => assert!(wanted > places, "{what}"),
                    other => panic!("{what}: {other:?}"),
                }
                assert!(sparse.is_err(), "{what}");
                refused += 1;
            }
        }
    }
    assert!(solved > 100 && refused > 20, "{solved} solved, {refused} refused");
}

#[test]
fn rows_that_want_the_same_columns() {
    // Every row prefers the same few columns, by rising dearness.
    let (n, m) = (120, 150);
    let costs: Vec<f32> = (0..n * m).map(|at| ((at % m) * (at / m + 1)) as f32).collect();
    let between = |i: usize, j: usize| f64::from(costs[i * m + j]);
    let params = MatchingParams::default();
    let found = pair_costs(&CostRows::new(&costs, m).unwrap(), &params, &()).unwrap();
    check_optimal(&found, &between, [n, m], &params, "crowded");
}

#[test]
fn broken_input_is_named() {
    let nan = CostRows::new(&[0.0, 1.0, 2.0, f64::NAN], 2).unwrap_err();
    assert!(matches!(nan, Error::CostValue { row: 1, column: 1, .. }) && nan.kind() == ErrorKind::Input, "{nan}");
    assert!(CostRows::new(&[0.0, f64::NEG_INFINITY], 2).is_err() && CostRows::new::<f32>(&[], 2).is_err());
    assert!(matches!(CostRows::new(&[0.0_f32; 3], 2), Err(Error::CostShape { values: 3, columns: 2 })));
    let costs = CostRows::new(&[1.0, f64::INFINITY, 1.0, f64::INFINITY], 2).unwrap();
    let solve = |params: &MatchingParams| pair_costs(&costs, params, &());
    let error = solve(&MatchingParams::default()).unwrap_err();
    assert!(
        error.to_string().contains("2 x items (0, 1) need 2 places, and all their candidates together have 1"),
        "{error}"
    );
    let plain = MatchingParams::default;
    for (params, fault) in [
        (MatchingParams { unmatched_cost: Some(f64::NAN), ..plain() }, "`unmatched_cost` is NaN"),
        (
            MatchingParams { unmatched_cost: Some(1.0), num_pairs: Some(1), ..plain() },
            "`unmatched_cost` and `num_pairs`",
        ),
        (MatchingParams { num_pairs: Some(0), ..plain() }, "`num_pairs` is 0"),
        (MatchingParams { num_pairs: Some(3), ..plain() }, "3 pairs are asked for, there can be 2"),
        (MatchingParams { x_capacity: Capacity::All(2), y_capacity: Capacity::All(2), ..plain() }, "`x_capacity` and"),
        (MatchingParams { x_capacity: Capacity::Each(vec![1]), ..plain() }, "1 capacities for `x`, expected 2"),
        (MatchingParams { y_capacity: Capacity::All(0), ..plain() }, "`y_capacity` is 0 throughout"),
        (MatchingParams { forbidden: vec![[0, 0], [2, 0]], ..plain() }, "pair 1 of the list has the x index 2"),
    ] {
        let error = solve(&params).unwrap_err().to_string();
        assert!(error.contains(fault), "{error}");
    }
    let stop = StopFlag::new();
    stop.stop();
    assert!(matches!(pair_costs(&costs, &MatchingParams::default(), &stop), Err(Error::Interrupted)));
    let outside = Candidates::new(2, 2, &[(0, 0, 1.0), (2, 1, 1.0)]).unwrap_err();
    assert!(outside.to_string().contains("pair 1 of the list has the x index 2"), "{outside}");
    assert!(Candidates::new(2, 2, &[(0, 0, f64::INFINITY)]).is_err() && Candidates::new(2, 2, &[]).is_err());
}
