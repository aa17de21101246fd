//! Certificates: potentials that satisfy every constraint, and bounds that no coupling undercuts.

mod support;

use hiref_core::{Certificate, CostKind, HirefParams, Quality};
use hiref_testkit::{Instance, assert_relative, exact_assignment, problems};
use support::{fixture, reference, solve, solve_from};

/// Checks the potentials against every pair, and the bound against their sum.
fn check_potentials(instance: &Instance, cost: CostKind, certificate: &Certificate) {
    let d = instance.dimension;
    let rows = |values: &[f32]| values.chunks_exact(d).map(<[f32]>::to_vec).collect::<Vec<_>>();
    let (x, y) = (rows(&instance.x), rows(&instance.y));
    assert_eq!((certificate.f.len(), certificate.g.len()), (x.len(), y.len()));
    for (x, f) in x.iter().zip(&certificate.f) {
        for (y, g) in y.iter().zip(&certificate.g) {
            let c = cost.between(x, y);
            let slack = 1e-12 * (c.abs() + f.abs() + g.abs());
            assert!(f + g <= c + slack, "{} {cost}: {f} + {g} > {c}", instance.name);
        }
    }
    if x.len() < y.len() {
        assert!(certificate.g.iter().all(|&g| g <= 0.0));
    }
    if x.len() > y.len() {
        assert!(certificate.f.iter().all(|&f| f <= 0.0));
    }
    let sum = certificate.f.iter().chain(&certificate.g).sum::<f64>() / x.len().min(y.len()) as f64;
    assert!((sum - certificate.dual_bound).abs() <= 1e-9 * (1.0 + sum.abs()), "{sum}, said {}", certificate.dual_bound);
}

#[test]
fn exact_ends_are_proved_and_early_ends_are_not_overrated() {
    for (n, m) in [(400, 400), (300, 400), (400, 300)] {
        for d in [2, 7] {
            let instance = problems::mixture(n, m, d, 3);
            for cost in CostKind::ALL {
                let optimum = exact_assignment(&instance.x, &instance.y, d, reference(cost)).mean_cost;
                for exact_limit in [0, 1000] {
                    let params = HirefParams {
                        exact_limit: Some(exact_limit),
                        leaf_size: 32,
                        certify: true,
                        quality: Quality::Best,
                        max_sweeps: Some(3),
                        ..HirefParams::default()
                    };
                    let output = solve(&instance, cost, params);
                    let certificate = output.certificate.unwrap();
                    let what = format!("{} {cost}, exact up to {exact_limit}", instance.name);
                    let (bound, gap) = (certificate.dual_bound, certificate.relative_gap);
                    assert!(bound <= optimum + 1e-12 * optimum.abs(), "{what}: {bound} > {optimum}");
                    let expected = (output.mean_cost - bound).max(0.0) / output.mean_cost.abs();
                    assert!((gap - expected).abs() <= 1e-12 + 1e-9 * expected, "{what}: gap {gap}, is {expected}");
                    check_potentials(&instance, cost, &certificate);
                    if exact_limit > 0 {
                        assert!(output.exact && gap <= 1e-5, "{what}: exact {}, gap {gap}", output.exact);
                    }
                }
            }
        }
    }
}

#[test]
fn what_f32_cannot_tell_apart_is_told_in_f64() {
    let d = 8;
    let shifted = |share: usize, by: f32| {
        let mut instance = problems::mixture(600, 600, d, 5);
        let shift = |rows: &mut [f32]| {
            let rows = rows.chunks_exact_mut(d).enumerate().filter(|(i, _)| i % share == 0);
            rows.flat_map(|(_, row)| row).for_each(|value| *value += by);
        };
        shift(&mut instance.x);
        shift(&mut instance.y);
        Instance::unknown(&format!("every {share} th row shifted by {by}"), instance.x, instance.y, d)
    };
    for (instance, cost) in [
        (shifted(2, 1e5), CostKind::SquaredEuclidean),
        (shifted(1, 1e4), CostKind::NegativeInnerProduct),
        (shifted(1, 1e6), CostKind::Euclidean),
    ] {
        let optimum = exact_assignment(&instance.x, &instance.y, d, reference(cost)).mean_cost;
        let params = HirefParams { quality: Quality::Best, certify: true, ..HirefParams::default() };
        let output = solve(&instance, cost, params);
        let gap = output.certificate.unwrap().relative_gap;
        let what = format!("{} {cost}: {} against {optimum}, gap {gap}", instance.name, output.mean_cost);
        assert!(output.exact && gap <= 1e-6 && (output.mean_cost - optimum).abs() <= 1e-9 * optimum.abs(), "{what}");
    }
}

#[test]
fn prices_from_samples_of_the_pairs_start_near_the_optimum() {
    let (one, other) = (problems::mixture(5000, 5000, 16, 1), problems::mixture(5000, 5000, 16, 2));
    let two = Instance::unknown("two mixtures", one.x.clone(), other.y, 16);
    for instance in [one, two] {
        let params = HirefParams { quality: Quality::Best, ..HirefParams::default() };
        let output = solve(&instance, CostKind::SquaredEuclidean, params);
        assert!(output.exact, "{}", instance.name);
        let (first, rounds) = (output.rounds[0].dual_bound.unwrap() / output.mean_cost, output.rounds.len());
        assert!(first > 0.9 && rounds <= 8, "{}: {rounds} rounds, the first bound {first} of the cost", instance.name);
    }
}

#[test]
fn bounds_hold_on_stored_sets_with_known_optima() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/exact.json")).unwrap();
    let exact: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, n) in [
        ("halfmoon_scurve_4096", 4096),
        ("gmm_same_d2_4096", 4096),
        ("gmm_same_d16_4096", 4096),
        ("gmm_same_d64_4096", 4096),
    ] {
        let instance = fixture(name, n, n);
        for cost in [CostKind::SquaredEuclidean, CostKind::Euclidean] {
            let optimum = exact[name][cost.name()].as_f64().unwrap();
            for quality in [Quality::Fast, Quality::Balanced] {
                let params = HirefParams { quality, certify: true, ..HirefParams::default() };
                let output = solve(&instance, cost, params);
                let certificate = output.certificate.unwrap();
                // Optima are stored with the rounding of another solver's sums.
                assert!(certificate.dual_bound <= optimum * (1.0 + 1e-9), "{name} {cost}: {}", certificate.dual_bound);
                assert!(output.mean_cost >= optimum * (1.0 - 1e-9));
                if quality == Quality::Balanced {
                    assert!(certificate.relative_gap <= 1e-3, "{name} {cost}: gap {}", certificate.relative_gap);
                }
            }
        }
    }
}

/// As many points at few places, in turn; the places are those of a mixture.
fn at_places(count: usize, places: usize, d: usize, seed: u64) -> Vec<f32> {
    let of_places = problems::mixture(places, 1, d, seed).x;
    let place = |i: usize| (i * 7919 + i / places) % places;
    (0..count).flat_map(|i| of_places[place(i) * d..][..d].to_vec()).collect()
}

#[test]
fn points_that_occur_many_times_are_paired_optimally() {
    let d = 6;
    for (n, m, of_x, of_y) in [
        (400, 400, 400, 20),
        (400, 400, 15, 400),
        (400, 400, 60, 90),
        (300, 450, 300, 40),
        (450, 300, 30, 280),
        (420, 410, 1, 2),
    ] {
        let (x, y) = (at_places(n, of_x, d, 1), at_places(m, of_y, d, 2));
        let instance = Instance::unknown(&format!("{n} x {m} points at {of_x} and {of_y} places"), x, y, d);
        for cost in CostKind::ALL {
            let optimum = exact_assignment(&instance.x, &instance.y, d, reference(cost)).mean_cost;
            let params = HirefParams {
                exact_limit: Some(1000),
                leaf_size: 32,
                certify: true,
                quality: Quality::Best,
                ..HirefParams::default()
            };
            let output = solve(&instance, cost, params.clone());
            let what = format!("{} {cost}", instance.name);
            assert!(output.exact && output.rounds.len() <= 12, "{what}: {} rounds", output.rounds.len());
            assert_relative(output.mean_cost, optimum, 1e-9, &what);
            check_potentials(&instance, cost, output.certificate.as_ref().unwrap());
            assert!(output.certificate.as_ref().unwrap().relative_gap <= 1e-9, "{what}");
            // From the prices of the first solve nothing is left to do.
            let warm = output.warm_start();
            let again = solve_from(&instance, cost, params, Some(&warm), &());
            assert!(again.exact && again.rounds.len() <= 2, "{what}, again: {:?}", again.rounds);
            assert_relative(again.mean_cost, optimum, 1e-9, &what);
        }
    }
}
