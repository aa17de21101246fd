//! Few points paired with many: the partners are the best there are, proved, without a hierarchy.

mod support;

use hiref_core::{CostKind, HirefParams, Quality};
use hiref_testkit::{Instance, assert_relative, exact_assignment, problems};
use support::{reference, solve};

/// Solves under every cost and compares with an exact assignment.
fn expect_optimal(instance: &Instance, quality: Quality) {
    for cost in CostKind::ALL {
        let params = HirefParams { quality, certify: true, ..HirefParams::default() };
        let output = solve(instance, cost, params);
        let optimum = exact_assignment(&instance.x, &instance.y, instance.dimension, reference(cost)).mean_cost;
        let what = format!("{} {cost} {quality:?}", instance.name);
        assert_relative(output.mean_cost, optimum, 1e-9, &what);
        assert!(
            output.exact && output.levels.is_empty() && output.sweeps.is_empty(),
            "{what}: {} levels",
            output.levels.len()
        );
        assert!(output.certificate.unwrap().relative_gap <= 1e-9, "{what}");
    }
}

#[test]
fn the_partners_of_few_points_are_optimal() {
    for (n, m) in [(1, 400), (3, 3000), (40, 700), (700, 40), (100, 1700)] {
        for d in [2, 3, 16] {
            for quality in [Quality::Fast, Quality::Balanced, Quality::Best] {
                expect_optimal(&problems::mixture(n, m, d, 7 + n as u64), quality);
            }
        }
    }
}

/// All of the smaller side want the same partners: candidates have to be added until there are as many as points.
#[test]
fn a_crowd_around_few_partners() {
    let (n, m, d) = (60, 1500, 5);
    let mut instance = problems::mixture(n, m, d, 3);
    for (i, row) in instance.x.chunks_exact_mut(d).enumerate() {
        row.fill(0.25);
        row[i % d] += 1e-3 * i as f32;
    }
    let instance = Instance::unknown("a crowd", instance.x, instance.y, d);
    expect_optimal(&instance, Quality::Balanced);
    let same = Instance::unknown("one point many times", vec![0.25; n * d], instance.y, d);
    expect_optimal(&same, Quality::Balanced);
}

/// What f32 cannot tell apart, the search takes for equal; the round of pricing mends it.
#[test]
fn few_points_far_from_the_origin() {
    let d = 6;
    let mut instance = problems::mixture(30, 900, d, 4);
    instance.x.iter_mut().chain(&mut instance.y).for_each(|value| *value += 3e3);
    let instance = Instance::unknown("far from the origin", instance.x, instance.y, d);
    for cost in [CostKind::SquaredEuclidean, CostKind::Euclidean, CostKind::NegativeInnerProduct] {
        let output = solve(&instance, cost, HirefParams { quality: Quality::Best, ..HirefParams::default() });
        let optimum = exact_assignment(&instance.x, &instance.y, d, reference(cost)).mean_cost;
        assert_relative(output.mean_cost, optimum, 1e-9, &format!("{cost}"));
    }
}
