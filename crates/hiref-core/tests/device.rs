//! Solves on every device that there is, by the same bodies. Without a GPU that leaves the CPU, and says so.

mod support;

use candle_core::{Device, DeviceLocation};
use hiref_core::{CostKind, Error, HirefOutput, HirefParams, Problem, Quality};
use hiref_testkit::{Instance, problems};
use support::{check, ending_exact, fixture, matrix, problem, reference};

/// The CPU, and the first CUDA device.
fn devices() -> Vec<Device> {
    match Device::new_cuda_with_stream(0) {
        Ok(cuda) => vec![Device::Cpu, cuda],
        Err(error) => {
            let reason = error.to_string();
            println!("skipped on CUDA: {}", reason.lines().next().unwrap_or_default());
            vec![Device::Cpu]
        }
    }
}

fn solve(instance: &Instance, cost: CostKind, params: &HirefParams, device: &Device) -> HirefOutput {
    let solver = params.clone().check().unwrap().on_device(device);
    let output = solver.solve(&problem(instance, cost), None, &()).unwrap();
    check(instance, cost, &output);
    output
}

/// Small blocks, several levels and sweeps, no exact solve at the end.
fn sweeps_only(seed: u64) -> HirefParams {
    HirefParams {
        seed,
        leaf_size: 64,
        polish_block_size: Some(64),
        max_sweeps: Some(12),
        exact_limit: Some(0),
        quality: Quality::Balanced,
        certify: true,
        ..HirefParams::default()
    }
}

#[test]
fn sweeps_reach_the_same_cost_on_every_device_and_the_same_bits_each_time() {
    let sets = [
        fixture("checkerboard_512", 512, 512),
        fixture("gmm_same_d16_4096", 700, 700),
        fixture("gmm_same_d64_4096", 500, 600),
        problems::mixture(450, 300, 300, 4),
    ];
    for instance in &sets {
        for cost in CostKind::ALL {
            let on_cpu = solve(instance, cost, &sweeps_only(2), &Device::Cpu);
            for device in devices() {
                let first = solve(instance, cost, &sweeps_only(2), &device);
                let second = solve(instance, cost, &sweeps_only(2), &device);
                assert_eq!(first.permutation.y_of_x(), second.permutation.y_of_x(), "{} {cost}", instance.name);
                let off = (first.mean_cost - on_cpu.mean_cost) / on_cpu.mean_cost.abs();
                assert!(off < 0.02, "{} {cost} on {device:?}: {off} above the CPU", instance.name);
                let certificate = first.certificate.unwrap();
                assert!(certificate.dual_bound <= first.mean_cost, "{} {cost}", instance.name);
            }
        }
    }
}

#[test]
fn an_exact_end_is_exact_on_every_device() {
    let instance = problems::convex_gradient(400, 6, 3);
    let optimum = instance.optimal_cost(reference(CostKind::SquaredEuclidean));
    for device in devices() {
        let output = solve(&instance, CostKind::SquaredEuclidean, &ending_exact(5), &device);
        let off = (output.mean_cost - optimum).abs() / optimum;
        assert!(off < 1e-6, "{device:?}: {} for {optimum}", output.mean_cost);
    }
}

#[test]
fn sides_on_different_devices_are_refused() {
    let instance = problems::mixture(20, 20, 3, 1);
    let (x, y) = (matrix(&instance.x, 3), matrix(&instance.y, 3));
    for device in devices() {
        let problem = Problem::new(x.to_device(&device).unwrap(), &y, CostKind::Cosine);
        match problem {
            Ok(_) => assert!(device.is_cpu()),
            Err(error) => assert!(matches!(error, Error::DeviceMismatch { .. }) && !device.is_cpu(), "{error}"),
        }
    }
    let (x, y) = (DeviceLocation::Cuda { gpu_id: 1 }, DeviceLocation::Cpu);
    let error = Error::DeviceMismatch { x, y }.to_string();
    assert!(error.starts_with("support `x` is on Cuda { gpu_id: 1 } and support `y` on Cpu, expected one device"));
}

#[test]
fn a_problem_of_one_leaf_is_exact_on_every_device() {
    let instance = problems::mixture(60, 80, 5, 9);
    let exact = hiref_testkit::exact_assignment(&instance.x, &instance.y, 5, reference(CostKind::Euclidean)).mean_cost;
    for device in devices() {
        let output = solve(&instance, CostKind::Euclidean, &HirefParams::default(), &device);
        assert!(output.exact && (output.mean_cost - exact).abs() < 1e-6 * exact, "{device:?}");
    }
}

#[test]
fn points_that_do_not_fit_the_device_are_sent_as_they_are_needed() {
    for (n, m) in [(700, 700), (500, 650)] {
        let instance = problems::mixture(n, m, 40, 6);
        for cost in CostKind::ALL {
            for device in devices() {
                // Batches of a few blocks.
                let solver = sweeps_only(3).check().unwrap().on_device(&device).with_device_memory(1 << 18);
                let run = || solver.solve(&problem(&instance, cost), None, &()).unwrap();
                let (first, second) = (run(), run());
                check(&instance, cost, &first);
                assert_eq!(first.permutation, second.permutation, "{cost} on {device:?}");
                let whole = solve(&instance, cost, &sweeps_only(3), &device);
                let off = (first.mean_cost - whole.mean_cost) / whole.mean_cost.abs();
                assert!(off < 0.02, "{cost} on {device:?}: {off} above points that fit");
            }
        }
    }
}
