//! What the solver's tests share: from a testkit problem to a checked result.

#![expect(dead_code, reason = "each test file uses its own part")]

use candle_core::{DType, Device, Tensor};
use hiref_core::{CostKind, HirefOutput, HirefParams, Observer, Problem, Quality, WarmStart};
use hiref_testkit::{Claim, Cost, Instance, check_coupling};
use std::path::Path;

// The solver's large short-lived buffers make the system's allocator spend most of the time mapping pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The testkit's own version of a cost.
pub(crate) fn reference(cost: CostKind) -> Cost {
    Cost::of_name(cost.name())
}

pub(crate) fn matrix(rows: &[f32], dimension: usize) -> Tensor {
    Tensor::from_slice(rows, (rows.len() / dimension, dimension), &Device::Cpu).unwrap()
}

pub(crate) fn problem(instance: &Instance, cost: CostKind) -> Problem<'static> {
    let d = instance.dimension;
    Problem::new(matrix(&instance.x, d), matrix(&instance.y, d), cost).unwrap()
}

/// Small blocks and no exact solve at the end, so that small problems exercise the hierarchy and the sweeps.
pub(crate) fn small_blocks(seed: u64) -> HirefParams {
    HirefParams {
        seed,
        leaf_size: 32,
        polish_block_size: Some(32),
        exact_limit: Some(0),
        quality: Quality::Best,
        ..HirefParams::default()
    }
}

/// As [`small_blocks`], ending with one exact solve.
pub(crate) fn ending_exact(seed: u64) -> HirefParams {
    HirefParams { exact_limit: Some(usize::MAX), ..small_blocks(seed) }
}

/// Solves from nothing and checks the result.
pub(crate) fn solve(instance: &Instance, cost: CostKind, params: HirefParams) -> HirefOutput {
    solve_from(instance, cost, params, None, &())
}

/// Solves and checks the result with the testkit's own code.
pub(crate) fn solve_from(
    instance: &Instance,
    cost: CostKind,
    params: HirefParams,
    warm_start: Option<&WarmStart>,
    observer: &dyn Observer,
) -> HirefOutput {
    let output = params.check().unwrap().solve(&problem(instance, cost), warm_start, observer).unwrap();
    check(instance, cost, &output);
    output
}

/// Fails unless the output holds what it claims.
pub(crate) fn check(instance: &Instance, cost: CostKind, output: &HirefOutput) {
    let claim = Claim {
        supports: Some((&instance.x, &instance.y)),
        dimension: Some(instance.dimension),
        cost: Some(reference(cost)),
        y_of_x: Some(output.permutation.y_of_x()),
        num_pairs: Some(output.permutation.num_pairs()),
        mean_cost: Some(output.mean_cost),
    };
    let verified = check_coupling(&claim).unwrap_or_else(|fault| panic!("{} {cost}: {fault}", instance.name));
    assert_eq!(output.permutation.x_of_y(), verified.x_of_y, "{} {cost}: the two directions differ", instance.name);
    // The solver compares costs rounded to f32, so a sweep may lose that much on each pair.
    let largest = instance.x.iter().chain(&instance.y).fold(0.0, |largest, &v| f64::max(largest, f64::from(v).abs()));
    let scale = match cost {
        CostKind::SquaredEuclidean | CostKind::NegativeInnerProduct => largest * largest,
        CostKind::Euclidean => largest,
        CostKind::Cosine => 1.0,
    };
    for pair in output.sweeps.windows(2) {
        let slack = 1e-7 * scale + 1e-9 * pair[0].mean_cost.abs();
        assert!(pair[1].mean_cost <= pair[0].mean_cost + slack, "{} {cost}: a sweep worsened {pair:?}", instance.name);
    }
}

/// The first `n` and `m` rows of a stored pair of sets.
pub(crate) fn fixture(name: &str, n: usize, m: usize) -> Instance {
    // As cargo says now, not as it said when this was built: the tests for a GPU run on another machine.
    let crate_folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let folder = Path::new(&crate_folder).join("../../tests/fixtures");
    let read = |side: &str, rows: usize| {
        let tensor = Tensor::read_npy(folder.join(format!("{name}_{side}.npy"))).unwrap();
        let tensor = tensor.to_dtype(DType::F32).unwrap().narrow(0, 0, rows).unwrap();
        (tensor.dim(1).unwrap(), tensor.flatten_all().unwrap().to_vec1().unwrap())
    };
    let ((dimension, x), (_, y)) = (read("x", n), read("y", m));
    Instance::unknown(&format!("{name} {n} x {m}"), x, y, dimension)
}
