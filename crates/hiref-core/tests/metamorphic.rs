//! What must not change, or change in a known way, when the problem is changed in a known way.
//!
//! Problems end with one exact solve, so that costs can be compared to rounding.

mod support;

use hiref_core::CostKind;
use hiref_testkit::{Instance, assert_relative, problems};
use proptest::prelude::*;
use support::{ending_exact, solve};

/// Exact up to the f32 costs inside the solver.
const TOLERANCE: f64 = 1e-5;

fn instances() -> impl Strategy<Value = Instance> {
    (40..160_usize, 40..160_usize, any::<bool>(), 1..6_usize, 0..1000_u64).prop_map(|(n, m, equal, d, seed)| {
        let m = if equal { n } else { m };
        problems::mixture(n, m, d, seed)
    })
}

fn costs() -> impl Strategy<Value = CostKind> {
    (0..CostKind::ALL.len()).prop_map(|kind| CostKind::ALL[kind])
}

fn cost_of(instance: &Instance, cost: CostKind) -> f64 {
    solve(instance, cost, ending_exact(1)).mean_cost
}

/// Compares costs; near zero (inner products cancel) on the scale of the points.
fn same(instance: &Instance, got: f64, expected: f64, what: &str) {
    let scale = instance.x.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() / instance.num_x() as f64;
    assert!((got - expected).abs() <= TOLERANCE * expected.abs().max(0.01 * scale), "{what}: {got} and {expected}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_the_rows_does_not_matter(instance in instances(), cost in costs(), by in 1..40_usize) {
        let mut moved = instance.clone();
        moved.x.rotate_left(by * instance.dimension);
        same(&instance, cost_of(&moved, cost), cost_of(&instance, cost), "rotated rows");
        let mut flipped = instance.clone();
        flipped.y = instance.y.chunks_exact(instance.dimension).rev().flatten().copied().collect();
        same(&instance, cost_of(&flipped, cost), cost_of(&instance, cost), "reversed rows");
    }

    #[test]
    fn moving_both_sides_changes_no_distance(instance in instances(), euclidean: bool, shift in -64..64_i8) {
        let cost = if euclidean { CostKind::Euclidean } else { CostKind::SquaredEuclidean };
        let mut moved = instance.clone();
        // Rounds the points to a grid on which adding the shift is exact.
        let grid = |v: &mut f32| *v = (*v * 4096.0).round() / 4096.0;
        let mut still = instance;
        still.x.iter_mut().chain(&mut still.y).for_each(grid);
        moved.x.clone_from(&still.x);
        moved.y.clone_from(&still.y);
        moved.x.iter_mut().chain(&mut moved.y).for_each(|v| *v += f32::from(shift));
        assert_relative(cost_of(&moved, cost), cost_of(&still, cost), TOLERANCE, "both sides moved");
    }

    #[test]
    fn scaling_the_points_scales_the_cost(instance in instances(), cost in costs(), exponent in -20..20_i32) {
        let scale = 2.0_f32.powi(exponent);
        let mut scaled = instance.clone();
        scaled.x.iter_mut().chain(&mut scaled.y).for_each(|v| *v *= scale);
        let factor = match cost {
            CostKind::SquaredEuclidean | CostKind::NegativeInnerProduct => f64::from(scale).powi(2),
            CostKind::Euclidean => f64::from(scale),
            CostKind::Cosine => 1.0,
        };
        same(&instance, cost_of(&scaled, cost) / factor, cost_of(&instance, cost), "scaled");
    }

    #[test]
    fn turning_the_sides_keeps_the_cost(instance in instances(), cost in costs()) {
        same(&instance, cost_of(&instance.turned(), cost), cost_of(&instance, cost), "turned");
    }

    #[test]
    fn one_more_coordinate_of_zeros_changes_nothing(instance in instances(), cost in costs()) {
        let d = instance.dimension;
        let widen = |rows: &[f32]| {
            rows.chunks_exact(d).flat_map(|row| row.iter().copied().chain([0.0])).collect::<Vec<f32>>()
        };
        let wide = Instance::unknown("widened", widen(&instance.x), widen(&instance.y), d + 1);
        same(&instance, cost_of(&wide, cost), cost_of(&instance, cost), "widened");
    }
}
