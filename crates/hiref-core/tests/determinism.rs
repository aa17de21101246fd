//! The same seed gives the same bits, whatever the number of threads.

mod support;

use hiref_core::{CostKind, HirefOutput, HirefParams, Quality};
use hiref_testkit::{Instance, problems};
use support::solve;

fn with_threads(threads: usize, instance: &Instance, cost: CostKind, params: &HirefParams) -> HirefOutput {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| solve(instance, cost, params.clone()))
}

fn same_bits(instance: &Instance, cost: CostKind, params: &HirefParams) {
    let first = with_threads(1, instance, cost, params);
    for threads in [2, 3] {
        let other = with_threads(threads, instance, cost, params);
        let what = format!("{} {cost} on {threads} threads", instance.name);
        assert!(first.permutation == other.permutation, "{what}: another pairing");
        assert_eq!(first.mean_cost.to_bits(), other.mean_cost.to_bits(), "{what}");
        let sweeps = |output: &HirefOutput| output.sweeps.iter().map(|s| s.mean_cost.to_bits()).collect::<Vec<_>>();
        assert_eq!(sweeps(&first), sweeps(&other), "{what}");
        let levels = |output: &HirefOutput| {
            output.levels.iter().map(|l| l.block_coupling_cost.map(f64::to_bits)).collect::<Vec<_>>()
        };
        assert_eq!(levels(&first), levels(&other), "{what}");
    }
}

fn few_sweeps(seed: u64) -> HirefParams {
    HirefParams { seed, max_sweeps: Some(6), ..HirefParams::default() }
}

#[test]
fn five_thousand_points() {
    for cost in CostKind::ALL {
        same_bits(&problems::mixture(5003, 5003, 8, 1), cost, &few_sweeps(1));
    }
    for instance in [problems::mixture(4000, 5003, 8, 1), problems::duplicates(800, 6, 8, 1)] {
        same_bits(&instance, CostKind::SquaredEuclidean, &few_sweeps(1));
    }
}

#[test]
fn one_round_over_all_pairs() {
    let params = HirefParams { quality: Quality::Fast, ..HirefParams::default() };
    same_bits(&problems::embeddings(3001, 3001, 128, 1), CostKind::Cosine, &params);
}

#[test]
fn more_points_than_one_batch_holds() {
    let params = HirefParams { max_sweeps: Some(2), ..HirefParams::default() };
    same_bits(&problems::half_moon(70_000, 1), CostKind::SquaredEuclidean, &params);
}

#[test]
fn the_seed_is_what_decides() {
    let instance = problems::mixture(2000, 2000, 8, 1);
    let run =
        |seed| solve(&instance, CostKind::SquaredEuclidean, HirefParams { exact_limit: Some(0), ..few_sweeps(seed) });
    let (one, other) = (run(1), run(2));
    assert!(one.permutation != other.permutation, "the seed has no effect");
    assert!((one.mean_cost / other.mean_cost - 1.0).abs() < 0.02, "{} and {}", one.mean_cost, other.mean_cost);
}
