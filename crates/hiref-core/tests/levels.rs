//! The block coupling of each level, after Proposition 3.4 of the hierarchical refinement paper.

mod support;

use hiref_core::{CostKind, HirefParams};
use hiref_testkit::{Instance, problems};
use support::{small_blocks, solve};

#[test]
fn block_coupling_costs_fall_towards_the_final_cost() {
    for (n, m) in [(4099, 4099), (3000, 4099), (4099, 3000)] {
        for instance in [problems::mixture(n, m, 5, 1), problems::planted_on_circle(n, m, 6, 2)] {
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

/// Points that are split by their projection, the costs those of the points themselves.
#[test]
fn block_coupling_costs_of_projected_points() {
    for (n, m) in [(700, 700), (600, 700)] {
        let instance = problems::embeddings(n, m, 300, 1);
        for cost in [CostKind::SquaredEuclidean, CostKind::Cosine, CostKind::NegativeInnerProduct] {
            let output = solve(&instance, cost, small_blocks(1));
            let costs = output.levels.iter().map(|level| level.block_coupling_cost.unwrap());
            let costs: Vec<f64> = costs.chain([output.mean_cost]).collect();
            assert!(costs.len() > 2 && costs.is_sorted_by(|a, b| b <= a), "{n} x {m} {cost}: {costs:?}");
        }
    }
}

#[test]
fn in_few_dimensions_levels_go_from_coarse_to_fine() {
    for n in [4099, 10_000, 20_000] {
        let instance = problems::mixture(n, n, 2, 1);
        let params = HirefParams { max_sweeps: Some(0), exact_limit: Some(0), ..HirefParams::default() };
        let output = solve(&instance, CostKind::SquaredEuclidean, params);
        let mut groups = 1;
        for (number, level) in output.levels.iter().enumerate() {
            assert_eq!(level.level, number);
            groups *= level.rank;
            assert_eq!((level.blocks, level.block_size), (groups, n.div_ceil(groups)));
        }
        assert!(output.levels.len() > 1 && output.levels.last().unwrap().block_size <= 7);
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

/// Fails unless every sweep lowers the cost it reports, and the last report is the cost of the result.
fn sweeps_are_monotone(instance: &Instance, cost: CostKind) {
    let output = solve(instance, cost, small_blocks(1));
    for pair in output.sweeps.windows(2) {
        let slack = 1e-9 * pair[0].mean_cost.abs();
        assert!(pair[1].mean_cost <= pair[0].mean_cost + slack, "{} {cost}: {pair:?}", instance.name);
    }
    let (reported, found) = (output.sweeps.last().unwrap().mean_cost, output.mean_cost);
    assert!((reported - found).abs() <= 1e-4 * found.abs(), "{} {cost}: {reported}, is {found}", instance.name);
}

#[test]
fn no_sweep_worsens_ordinary_data() {
    for (n, m) in [(1500, 1500), (1200, 1500)] {
        for cost in CostKind::ALL {
            sweeps_are_monotone(&problems::mixture(n, m, 4, 1), cost);
        }
    }
}

#[test]
fn no_sweep_worsens_with_a_far_cluster() {
    for distance in [10.0, 1000.0] {
        for cost in [CostKind::SquaredEuclidean, CostKind::Euclidean] {
            sweeps_are_monotone(&problems::two_clusters(300, 300, 300, 3, distance, 1), cost);
        }
    }
}

#[test]
fn no_sweep_worsens_with_outliers() {
    sweeps_are_monotone(&problems::outlier_pair(1000, 2, 1e6, 1), CostKind::SquaredEuclidean);
}
