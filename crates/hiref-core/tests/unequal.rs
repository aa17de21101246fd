//! Sides of different sizes against stored optima (tests/fixtures/unequal.tsv, made by scripts/golden/unequal.py).

mod support;

use hiref_core::{CostKind, HirefParams, Quality};
use hiref_testkit::{assert_relative, exact_assignment, problems};
use support::{fixture, reference, solve};

struct Golden {
    name: String,
    n: usize,
    m: usize,
    cost: CostKind,
    optimum: f64,
}

fn golden() -> Vec<Golden> {
    let lines = include_str!("../../../tests/fixtures/unequal.tsv").lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let [name, n, m, cost, optimum] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (n, m) = (n.parse().unwrap(), m.parse().unwrap());
        Golden { name: name.to_owned(), n, m, cost: cost.parse().unwrap(), optimum: optimum.parse().unwrap() }
    };
    let golden: Vec<Golden> = lines.map(parse).collect();
    assert_eq!(golden.len(), 16);
    golden
}

#[test]
fn balanced_is_within_one_percent() {
    let mut failures = Vec::new();
    for Golden { name, n, m, cost, optimum } in golden() {
        let instance = fixture(&name, n, m);
        let output = solve(&instance, cost, HirefParams { exact_limit: Some(0), ..HirefParams::default() });
        let excess = (output.mean_cost - optimum) / optimum.abs();
        let line = format!("{} {cost}: {:.4}% above, {} sweeps", instance.name, 100.0 * excess, output.sweeps.len());
        println!("{line}");
        assert!(excess >= -1e-6, "below the optimum: {line}");
        if excess > 0.01 {
            failures.push(line);
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// More points than one sample of the pairs has, so that the prices at the start are those of several, some of whose y points stay unmatched.
#[test]
fn rounds_end_at_the_optimum() {
    let cases = [
        (CostKind::SquaredEuclidean, problems::mixture(2_300, 2_900, 7, 1)),
        (CostKind::Cosine, problems::embeddings(2_300, 2_310, 24, 2)),
        (CostKind::NegativeInnerProduct, problems::embeddings(2_500, 2_200, 24, 3)),
        (CostKind::Euclidean, problems::mixture(2_300, 4_000, 2, 4)),
    ];
    for (cost, instance) in cases {
        let optimum = exact_assignment(&instance.x, &instance.y, instance.dimension, reference(cost)).mean_cost;
        let output = solve(&instance, cost, HirefParams { quality: Quality::Best, ..HirefParams::default() });
        assert!(output.exact, "{} {cost}: {:?}", instance.name, output.rounds);
        assert_relative(output.mean_cost, optimum, 1e-9, &format!("{} {cost}", instance.name));
    }
    let equal = solve(&problems::all_equal(2_100, 2_200, 5), CostKind::SquaredEuclidean, HirefParams::default());
    assert_eq!((equal.mean_cost, equal.exact), (0.0, true));
}
