//! The block coupling of each level, after Proposition 3.4 of the hierarchical refinement paper.

mod support;

use hiref_core::{CostKind, HirefParams};
use hiref_testkit::problems;
use support::solve;

#[test]
fn block_coupling_costs_fall_towards_the_final_cost() {
    for (n, m) in [(4099, 4099), (3000, 4099), (4099, 3000)] {
        for instance in [problems::mixture(n, m, 5, 1), problems::planted_on_circle(n, m, 3, 2)] {
            for cost in CostKind::ALL {
                let params =
                    HirefParams { leaf_size: 64, max_sweeps: Some(1), exact_limit: Some(0), ..HirefParams::default() };
                let output = solve(&instance, cost, params);
                let costs: Vec<Option<f64>> = output.levels.iter().map(|level| level.block_coupling_cost).collect();
                assert!(costs.len() > 1);
                if cost == CostKind::Euclidean {
                    assert!(costs.iter().all(Option::is_none));
                    continue;
                }
                let mut costs: Vec<f64> = costs.into_iter().map(Option::unwrap).collect();
                costs.push(output.mean_cost);
                for (level, pair) in costs.windows(2).enumerate() {
                    let slack = 1e-5 * pair[0].abs().max(1e-3);
                    assert!(pair[1] <= pair[0] + slack, "{} {cost} after level {level}: {costs:?}", instance.name);
                }
            }
        }
    }
}

#[test]
fn levels_tell_of_blocks_that_fit() {
    let instance = problems::mixture(4099, 4099, 5, 1);
    let output =
        solve(&instance, CostKind::SquaredEuclidean, HirefParams { max_sweeps: Some(0), ..HirefParams::default() });
    let mut blocks = 1;
    for (number, level) in output.levels.iter().enumerate() {
        assert_eq!(level.level, number);
        assert!((2..=8).contains(&level.rank));
        blocks *= level.rank;
        assert_eq!(level.blocks, blocks);
        assert_eq!(level.block_size, 4099_usize.div_ceil(blocks));
        assert!(level.seconds >= 0.0);
    }
    assert!(output.levels.last().unwrap().block_size <= 256);
}
