//! The estimate of the distance from the optimum, against optima that are known.

mod support;

use hiref_core::{CostKind, GapEstimate, HirefOutput, HirefParams, Quality};
use hiref_testkit::{Instance, exact_assignment, problems};
use support::{fixture, reference, small_blocks, solve};

fn estimated(instance: &Instance, cost: CostKind, params: &HirefParams, rows: Option<usize>) -> HirefOutput {
    solve(instance, cost, HirefParams { estimate_gap: true, gap_rows: rows, ..params.clone() })
}

/// The estimate, and the gap itself, for which every row is looked at; neither changes the pairing.
fn estimate_and_gap(
    instance: &Instance,
    cost: CostKind,
    params: &HirefParams,
    rows: usize,
) -> (HirefOutput, GapEstimate, GapEstimate) {
    let what = format!("{} {cost}", instance.name);
    let output = estimated(instance, cost, params, Some(rows));
    let estimate = output.gap_estimate.unwrap();
    assert_eq!((estimate.rows, estimate.confidence), (rows, 0.999), "{what}");
    assert!(estimate.low <= estimate.value && estimate.value <= estimate.high, "{what}: {estimate:?}");
    assert!(output.dual_bound.is_none() && output.certificate.is_none() && output.relative_gap().is_none(), "{what}");
    let whole = estimated(instance, cost, params, Some(usize::MAX));
    let gap = whole.gap_estimate.unwrap();
    assert_eq!((gap.rows, gap.confidence), (instance.num_x().min(instance.num_y()), 1.0), "{what}");
    assert!(gap.low == gap.value && gap.value == gap.high, "{what}: {gap:?}");
    assert_eq!(output.permutation, whole.permutation, "{what}");
    println!("{what}: {estimate:?}, in truth {:.5}", gap.value);
    (output, estimate, gap)
}

#[test]
fn intervals_hold_the_excess_over_stored_optima() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/exact.json")).unwrap();
    let exact: serde_json::Value = serde_json::from_str(&text).unwrap();
    for name in ["halfmoon_scurve_4096", "gmm_same_d2_4096", "gmm_same_d16_4096", "gmm_same_d64_4096"] {
        let instance = fixture(name, 4096, 4096);
        for cost in [CostKind::SquaredEuclidean, CostKind::Euclidean] {
            let params = HirefParams { exact_limit: Some(0), ..HirefParams::default() };
            let (output, estimate, gap) = estimate_and_gap(&instance, cost, &params, 1000);
            let optimum = exact[name][cost.name()].as_f64().unwrap();
            let excess = (output.mean_cost - optimum) / output.mean_cost;
            assert!(excess <= gap.value && excess <= estimate.high, "{name} {cost}: {excess} above the optimum");
            assert!((estimate.low..=estimate.high).contains(&gap.value), "{name} {cost}: {estimate:?}, is {gap:?}");
        }
    }
}

#[test]
fn intervals_hold_the_gap_for_any_sizes_and_costs() {
    for (n, m) in [(900, 900), (600, 900), (900, 600)] {
        for d in [2, 7] {
            let instance = problems::mixture(n, m, d, 5);
            for cost in CostKind::ALL {
                let params = HirefParams { max_sweeps: Some(4), ..small_blocks(2) };
                let (output, estimate, gap) = estimate_and_gap(&instance, cost, &params, 300);
                let what = format!("{} {cost}: {estimate:?}, in truth {gap:?}", instance.name);
                let optimum = exact_assignment(&instance.x, &instance.y, d, reference(cost)).mean_cost;
                let excess = (output.mean_cost - optimum) / output.mean_cost.abs();
                assert!(excess <= gap.value + 1e-9 && excess <= estimate.high, "{what}: {excess} above the optimum");
                assert!((estimate.low..=estimate.high).contains(&gap.value), "{what}");
            }
        }
    }
}

#[test]
fn a_planted_pairing_is_seen_to_be_nearly_optimal() {
    let instance = problems::convex_gradient(3001, 6, 1);
    let params = HirefParams { exact_limit: Some(0), ..HirefParams::default() };
    let output = estimated(&instance, CostKind::SquaredEuclidean, &params, None);
    let optimum = instance.optimal_cost(reference(CostKind::SquaredEuclidean));
    let estimate = output.gap_estimate.unwrap();
    assert!((output.mean_cost - optimum) / output.mean_cost <= estimate.high, "{estimate:?}");
    assert!((1024..=8192).contains(&estimate.rows) && estimate.value < 0.05, "{estimate:?}");
}

/// Where the prices of the sweeps are good enough, and where they are compared with those of samples.
#[test]
fn in_few_dimensions_the_prices_of_the_sweeps_are_tried() {
    for (instance, most) in [(problems::half_moon_s_curve(3000, 1), 0.01), (problems::mixture(3000, 3000, 3, 1), 10.0)]
    {
        let params = HirefParams { quality: Quality::Fast, ..HirefParams::default() };
        let output = estimated(&instance, CostKind::SquaredEuclidean, &params, None);
        let optimum = estimated(&instance, CostKind::SquaredEuclidean, &HirefParams::default(), None).mean_cost;
        let (excess, estimate) = (1.0 - optimum / output.mean_cost, output.gap_estimate.unwrap());
        assert!(excess <= estimate.high && estimate.value < most, "{}: {excess}, {estimate:?}", instance.name);
    }
}

/// So few x points among the y points that some samples of pairs have none.
#[test]
fn samples_without_a_point_are_left_out() {
    for seed in 0..40 {
        let instance = problems::mixture(17, 265, 5, seed);
        let params = HirefParams { quality: Quality::Fast, seed, ..HirefParams::default() };
        let output = estimated(&instance, CostKind::SquaredEuclidean, &params, None);
        let optimum = exact_assignment(&instance.x, &instance.y, 5, reference(CostKind::SquaredEuclidean)).mean_cost;
        let excess = (output.mean_cost - optimum) / output.mean_cost;
        assert!(output.exact || excess <= output.gap_estimate.unwrap().high + 1e-9, "{seed}: {excess}");
    }
}

#[test]
fn what_is_proved_is_not_estimated() {
    let instance = problems::mixture(700, 700, 5, 3);
    for (quality, certify) in [(Quality::Best, false), (Quality::Balanced, false), (Quality::Fast, true)] {
        let params = HirefParams { quality, certify, ..HirefParams::default() };
        let output = estimated(&instance, CostKind::SquaredEuclidean, &params, None);
        assert!(output.gap_estimate.is_none() && output.dual_bound.is_some(), "{quality:?}");
        assert_eq!(output.certificate.map(|certificate| certificate.dual_bound), output.dual_bound.filter(|_| certify));
    }
    let leaf = estimated(&problems::mixture(100, 100, 5, 3), CostKind::SquaredEuclidean, &HirefParams::default(), None);
    assert!(leaf.exact && leaf.gap_estimate.is_none() && leaf.dual_bound.is_none());
}

/// One round over all pairs proves a bound by the prices it starts with, and ends with far better ones.
#[test]
fn a_loose_proof_stands_beside_an_estimate_by_the_prices_of_the_round() {
    let instance = problems::embeddings(3000, 3000, 128, 3);
    let params = HirefParams { quality: Quality::Fast, ..HirefParams::default() };
    let (one, best) = (
        estimated(&instance, CostKind::Cosine, &params, Some(600)),
        estimated(&instance, CostKind::Cosine, &HirefParams { quality: Quality::Best, ..params.clone() }, None),
    );
    assert!(one.rounds.len() == 1 && best.exact && best.gap_estimate.is_none());
    let (excess, proved, estimate) =
        (1.0 - best.mean_cost / one.mean_cost, one.relative_gap().unwrap(), one.gap_estimate.unwrap());
    println!("{excess:.5} above the optimum, proved {proved:.5}, {estimate:?}");
    assert!(
        excess <= estimate.high && estimate.value < proved && estimate.high <= proved,
        "{excess}, {proved}, {estimate:?}"
    );
}
