//! Problems whose optimum is known by construction.

mod support;

use hiref_core::{CostKind, HirefParams, Quality, Termination};
use hiref_testkit::{Instance, UNMATCHED, assert_relative, exact_assignment, problems};
use support::{ending_exact, reference, small_blocks, solve};

/// Solves under every cost whose optimum is known, and expects at most `excess` above it.
fn expect_within(instance: &Instance, params: &HirefParams, excess: f64) {
    for cost in CostKind::ALL.into_iter().filter(|&cost| instance.optimal_for.contains(&reference(cost))) {
        let output = solve(instance, cost, params.clone());
        let optimum = instance.optimal_cost(reference(cost));
        let rounding = 1e-6 * optimum.abs() + 1e-12;
        let (least, most) = (optimum - rounding, optimum + excess * optimum.abs() + rounding);
        let got = output.mean_cost;
        assert!((least..=most).contains(&got), "{} {cost}: {got}, expected {least} to {most}", instance.name);
    }
}

#[test]
fn one_two_and_three_points() {
    for n in 1..=3 {
        for m in 1..=3 {
            for d in [2, 3] {
                let instance = problems::planted_on_circle(n, m, d, 10 * n as u64 + m as u64);
                expect_within(&instance, &HirefParams::default(), 0.0);
            }
            expect_within(&problems::planted(n, m, 1, 5), &HirefParams::default(), 0.0);
        }
    }
}

#[test]
fn a_problem_that_fits_a_leaf_is_solved_exactly() {
    for (n, m) in [(150, 150), (100, 150), (150, 100)] {
        let instance = problems::mixture(n, m, 3, 1);
        for cost in CostKind::ALL {
            let output = solve(&instance, cost, HirefParams::default());
            let exact = exact_assignment(&instance.x, &instance.y, 3, reference(cost)).mean_cost;
            assert_relative(output.mean_cost, exact, 1e-5, &format!("{n} x {m} {cost}"));
            assert!(output.exact && output.termination == Termination::Converged && output.levels.is_empty());
        }
    }
}

#[test]
fn the_last_exact_solve_is_exact() {
    for (n, m) in [(500, 500), (300, 450), (450, 300)] {
        for d in [2, 12] {
            let instance = problems::mixture(n, m, d, 2);
            for cost in CostKind::ALL {
                let output = solve(&instance, cost, ending_exact(3));
                let exact = exact_assignment(&instance.x, &instance.y, d, reference(cost)).mean_cost;
                assert_relative(output.mean_cost, exact, 1e-5, &format!("{n} x {m}, d = {d}, {cost}"));
                assert!(output.exact && !output.levels.is_empty());
            }
        }
    }
}

#[test]
fn a_planted_permutation_of_prime_size() {
    for d in [2, 3] {
        expect_within(&problems::planted(4099, 4099, d, 1), &HirefParams::default(), 0.01);
    }
    expect_within(&problems::planted_on_circle(4099, 4099, 2, 2), &HirefParams::default(), 0.01);
    expect_within(&problems::planted_on_circle(4099, 4099, 16, 3), &HirefParams::default(), 0.01);
}

#[test]
fn a_planted_injection() {
    for (n, m) in [(900, 1021), (1021, 900), (50, 1000), (1000, 50), (1, 700), (700, 1)] {
        expect_within(&problems::planted(n, m, 2, 4), &ending_exact(1), 0.0);
        expect_within(&problems::planted_on_circle(n, m, 3, 5), &ending_exact(1), 0.0);
    }
}

#[test]
fn all_points_equal() {
    for (n, m) in [(1000, 1000), (700, 1000), (1000, 700)] {
        let instance = problems::all_equal(n, m, 3);
        expect_within(&instance, &small_blocks(1), 0.0);
        expect_within(&instance, &HirefParams::default(), 0.0);
    }
}

#[test]
fn every_point_several_times() {
    expect_within(&problems::duplicates(200, 5, 2, 1), &ending_exact(1), 0.0);
    expect_within(&problems::duplicates(3, 400, 5, 2), &ending_exact(1), 0.0);
    expect_within(&problems::duplicates(3, 400, 5, 2), &small_blocks(1), 0.01);
}

#[test]
fn points_on_a_line() {
    for d in [1, 2, 7] {
        expect_within(&problems::on_a_line(3001, d, 3), &HirefParams::default(), 0.01);
        expect_within(&problems::on_a_line(800, d, 3), &ending_exact(1), 0.0);
    }
}

#[test]
fn a_translation_costs_its_length() {
    let instance = problems::moved(3001, 6, 2.0, 1);
    expect_within(&instance, &HirefParams::default(), 0.01);
    let output = solve(&instance, CostKind::SquaredEuclidean, HirefParams::default());
    assert_relative(output.mean_cost, 4.0, 0.01, "the square of the distance moved");
}

#[test]
fn the_gradient_of_a_convex_function_is_found() {
    for d in [2, 6] {
        expect_within(&problems::convex_gradient(3001, d, 1), &HirefParams::default(), 0.01);
        expect_within(&problems::convex_gradient(500, d, 2), &ending_exact(1), 0.0);
    }
}

#[test]
fn a_pair_of_outliers_does_not_disturb_the_rest() {
    for offset in [1e3, 1e6] {
        expect_within(&problems::outlier_pair(1000, 2, offset, 1), &ending_exact(1), 0.0);
        let large = problems::outlier_pair(3001, 3, offset, 2);
        expect_within(&large, &HirefParams::default(), 0.01);
    }
}

/// A lone outlier has to be paired with someone; the others should still be paired well among themselves.
#[test]
fn an_outlier_on_one_side_does_not_disturb_the_rest() {
    for cost in [CostKind::SquaredEuclidean, CostKind::Euclidean] {
        let mut instance = problems::mixture(400, 400, 3, 7);
        instance.x[..3].iter_mut().for_each(|v| *v += 1e6);
        let output = solve(&instance, cost, ending_exact(1));
        // Removes the outlier and its partner: what is left cannot be worse than optimal given that partner.
        let partner = output.permutation.y_of_x()[0] as usize;
        let mut others = instance.y.clone();
        others.drain(3 * partner..3 * partner + 3);
        let rest = exact_assignment(&instance.x[3..], &others, 3, reference(cost)).mean_cost;
        let of_outlier = reference(cost).between(&instance.x[..3], &instance.y[3 * partner..][..3]);
        let got = (output.mean_cost * 400.0 - of_outlier) / 399.0;
        // Subtracting the outlier's 1e12 leaves an absolute error near 1e-4.
        assert!((got - rest).abs() <= 0.01 * rest, "{cost}: {got}, {rest} without the outlier");
    }
}

#[test]
fn a_far_cluster_without_partners_stays_unmatched() {
    for (n, near, far) in [(300, 300, 300), (300, 350, 150), (250, 300, 31)] {
        for distance in [10.0, 1000.0] {
            let instance = problems::two_clusters(n, near, far, 3, distance, 1);
            for cost in [CostKind::SquaredEuclidean, CostKind::Euclidean] {
                let exact = exact_assignment(&instance.x, &instance.y, 3, reference(cost)).mean_cost;
                for (instance, params, excess) in [
                    // Blocks of 32 are for speed here: the promise of 1% is for the default size.
                    (instance.clone(), small_blocks(1), 0.02),
                    (instance.clone(), ending_exact(1), 1e-5),
                    (instance.turned(), ending_exact(1), 1e-5),
                ] {
                    let output = solve(&instance, cost, params);
                    let what = format!("{}, {distance} away, {cost}", instance.name);
                    let got = output.mean_cost;
                    assert!(got >= exact * (1.0 - 1e-6), "{what}: {got} is below the optimum {exact}");
                    assert!(got <= exact * (1.0 + excess), "{what}: {got}, the optimum is {exact}");
                }
            }
        }
    }
}

#[test]
fn unmatched_points_are_marked_on_the_larger_side_only() {
    let instance = problems::mixture(700, 400, 2, 1);
    let output = solve(&instance, CostKind::SquaredEuclidean, HirefParams::default());
    assert_eq!(output.permutation.y_of_x().iter().filter(|&&y| y == UNMATCHED).count(), 300);
    assert!(output.permutation.x_of_y().iter().all(|&x| x != UNMATCHED));
    assert!(!output.permutation.is_bijection());
}

#[test]
fn in_many_dimensions_fast_ends_with_one_round() {
    let (n, d) = (3000, 128);
    let instance = problems::embeddings(n, n, d, 3);
    let run = |exact_limit| {
        solve(
            &instance,
            CostKind::Cosine,
            HirefParams { quality: Quality::Fast, exact_limit, ..HirefParams::default() },
        )
    };
    let (swept, ended) = (run(Some(0)), run(None));
    let optimum = solve(&instance, CostKind::Cosine, HirefParams::default()).mean_cost;
    assert!(swept.rounds.is_empty() && ended.rounds.len() == 1, "{:?}", ended.rounds);
    let (before, after) = (swept.mean_cost / optimum - 1.0, ended.mean_cost / optimum - 1.0);
    assert!(after < 0.25 * before && after < 0.03, "{after} of {before} above the optimum");
    let bound = ended.dual_bound.unwrap();
    assert!(bound <= optimum && bound > 0.8 * optimum, "{bound} below {optimum}");
}

#[test]
fn in_few_dimensions_rounds_follow_where_sweeps_leave_much() {
    let run = |instance: &Instance| solve(instance, CostKind::SquaredEuclidean, HirefParams::default());
    let much = run(&problems::mixture(17_000, 17_000, 3, 1));
    let proved = (much.mean_cost - much.dual_bound.unwrap()) / much.mean_cost;
    assert!(!much.rounds.is_empty() && (0.0..=2e-3).contains(&proved), "{proved} in {} rounds", much.rounds.len());
    let little = run(&problems::half_moon_s_curve(17_000, 1));
    assert!(little.rounds.is_empty() && little.dual_bound.is_none(), "{} rounds", little.rounds.len());
}

#[test]
fn each_quality_keeps_its_promise() {
    let instance = problems::mixture(1500, 1500, 4, 3);
    let run = |quality| {
        let params = HirefParams { quality, exact_limit: Some(0), ..HirefParams::default() };
        solve(&instance, CostKind::SquaredEuclidean, params).mean_cost
    };
    let exact = HirefParams { exact_limit: Some(2000), ..HirefParams::default() };
    let exact = solve(&instance, CostKind::SquaredEuclidean, exact).mean_cost;
    let (fast, balanced, best) = (run(Quality::Fast), run(Quality::Balanced), run(Quality::Best));
    assert!(best <= balanced && balanced <= fast, "{best}, {balanced}, {fast}");
    assert!(balanced <= 1.01 * exact && best <= 1.002 * exact, "{balanced}, {best} above {exact}");
}

#[test]
fn rounds_end_where_few_points_stay_unmatched() {
    // A pass over all pairs raised prices above those of unmatched points, and the rounds went on for ever.
    for (n, m, d, cost, seed) in [(75, 68, 4, CostKind::Euclidean, 114), (96, 101, 3, CostKind::Euclidean, 605)] {
        let instance = problems::mixture(n, m, d, seed);
        let output = solve(&instance, cost, HirefParams { max_rounds: Some(50), ..ending_exact(1) });
        assert!(output.exact, "{n} x {m}: not optimal after {} rounds", output.rounds.len());
        let optimum = exact_assignment(&instance.x, &instance.y, d, reference(cost)).mean_cost;
        assert_relative(output.mean_cost, optimum, 1e-6, "the optimum");
    }
}
