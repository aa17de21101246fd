//! Starting from a pairing instead of from nothing.

mod support;

use hiref_core::{CostKind, HirefParams, Permutation, Quality, UNMATCHED, WarmStart, mean_cost};
use hiref_testkit::{assert_relative, problems};
use support::{ending_exact, problem, reference, small_blocks, solve, solve_from};

#[test]
fn never_worsens_what_it_is_given() {
    for (n, m, d) in [(1500, 1500, 6), (1100, 1500, 6), (1500, 1100, 6), (1500, 1500, 2)] {
        let instance = problems::mixture(n, m, d, 1);
        for cost in CostKind::ALL {
            let mut y_of_x: Vec<u32> = (0..n as u32).map(|i| if (i as usize) < m { i } else { UNMATCHED }).collect();
            y_of_x.rotate_right(17);
            let random = WarmStart::from(Permutation::new(y_of_x, m).unwrap());
            let good = solve(&instance, cost, HirefParams::default()).warm_start();
            for (start, is_good) in [(random, false), (good, true)] {
                let before = mean_cost(&problem(&instance, cost), start.permutation());
                for max_sweeps in [0, 1, 4] {
                    let params = HirefParams { max_sweeps: Some(max_sweeps), ..small_blocks(9) };
                    let output = solve_from(&instance, cost, params, Some(&start), &());
                    let slack = 1e-7 * before.abs();
                    assert!(output.mean_cost <= before + slack, "{cost}: {} from {before}", output.mean_cost);
                    assert!(output.sweeps.len() <= max_sweeps);
                    // A random pairing is no start, but a merge with a fresh one; so is any in few dimensions.
                    let few = d == 2 && matches!(cost, CostKind::SquaredEuclidean | CostKind::Euclidean);
                    assert_eq!(output.levels.is_empty(), is_good && !few, "{cost}, d = {d}");
                    if max_sweeps == 0 && output.levels.is_empty() {
                        assert_eq!(&output.permutation, start.permutation());
                    }
                }
            }
        }
    }
}

#[test]
fn keeps_an_optimal_pairing() {
    for instance in [
        problems::planted_on_circle(1021, 1021, 2, 1),
        problems::planted_on_circle(700, 1021, 3, 2),
        problems::planted_on_circle(1021, 700, 3, 2),
        problems::planted(1021, 1021, 3, 3),
        problems::convex_gradient(1021, 3, 4),
    ] {
        let optimum = Permutation::new(instance.optimum.clone().unwrap(), instance.num_y()).unwrap();
        for cost in CostKind::ALL.into_iter().filter(|&cost| instance.optimal_for.contains(&reference(cost))) {
            for params in [small_blocks(1), ending_exact(1)] {
                let output = solve_from(&instance, cost, params, Some(&optimum.clone().into()), &());
                let expected = instance.optimal_cost(reference(cost));
                let slack = 1e-6 * expected.abs();
                assert!((output.mean_cost - expected).abs() <= slack, "{} {cost}", instance.name);
                let moved = output.permutation.y_of_x().iter().zip(optimum.y_of_x()).filter(|(a, b)| a != b).count();
                assert!(moved <= instance.num_x() / 100, "{} {cost}: {moved} pairs changed", instance.name);
            }
        }
    }
}

/// With prices, what ends in an exact solve starts with it.
#[test]
fn prices_make_sweeps_unnecessary() {
    for (n, m, d) in [(1500, 1500, 2), (1500, 1500, 8), (1200, 1500, 8)] {
        let instance = problems::mixture(n, m, d, 1);
        for cost in CostKind::ALL {
            let before = solve(&instance, cost, HirefParams::default());
            let mut drifted = instance.clone();
            let noise = problems::moved(n, d, 1.0, 5).x;
            drifted.x.iter_mut().zip(noise).for_each(|(v, noise)| *v += 0.01 * noise);
            let params = HirefParams { quality: Quality::Best, ..HirefParams::default() };
            let cold = solve(&drifted, cost, params.clone());
            let warm = solve_from(&drifted, cost, params, Some(&before.warm_start()), &());
            assert!(warm.exact && warm.sweeps.is_empty(), "{cost}, {n} x {m}, d = {d}");
            assert_relative(warm.mean_cost, cold.mean_cost, 1e-7, "warm and cold");
        }
    }
}

#[test]
fn repairs_a_drifted_pairing_as_well_as_a_cold_solve() {
    let instance = problems::mixture(3000, 3000, 8, 1);
    let cost = CostKind::SquaredEuclidean;
    let params = HirefParams { exact_limit: Some(0), ..HirefParams::default() };
    let before = solve(&instance, cost, params.clone());
    let mut drifted = instance.clone();
    let noise = problems::moved(3000, 8, 1.0, 5).x;
    drifted.x.iter_mut().zip(noise).for_each(|(v, noise)| *v += 0.05 * noise);
    let cold = solve(&drifted, cost, params.clone());
    let warm = solve_from(&drifted, cost, params, Some(&before.warm_start()), &());
    assert!(warm.mean_cost <= 1.005 * cold.mean_cost, "{} warm, {} cold", warm.mean_cost, cold.mean_cost);
}
