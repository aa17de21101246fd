//! Sides of different sizes against stored optima (tests/fixtures/unequal.tsv, made by scripts/golden/unequal.py).

mod support;

use hiref_core::{CostKind, HirefParams};
use support::{fixture, solve};

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
