//! Kernels, run by the emulator, against the CPU paths; and whole solves on emulated devices.

use super::Accelerator;
use crate::control::Control;
use crate::cost::CostKind;
use crate::geometry::{FeatureTensors, InnerProductGeometry, Supports};
use crate::hiref::{Emulated, Hiref};
use crate::mean_cost::mean_cost;
use crate::permutation::Permutation;
use crate::pricing::{Pricer, align};
use crate::problem::Problem;
use crate::refine::{BlockSolver, HirefParams, OnDevice, Pairing, Quality};
use crate::report::Phase;
use candle_core::{Device, Tensor};
use hiref_kernels::{Queue, Schedule};
use hiref_testkit::{Claim, Cost, Instance, check_coupling, exact_assignment, problems};

fn problem(instance: &Instance, cost: CostKind) -> Problem<'static> {
    let d = instance.dimension;
    let matrix = |rows: &[f32]| Tensor::from_slice(rows, (rows.len() / d, d), &Device::Cpu).unwrap();
    Problem::new(matrix(&instance.x), matrix(&instance.y), cost).unwrap()
}

/// Calls `check` with the problem's supports on the CPU and on an emulated device.
fn on_both(problem: &Problem<'_>, streamed: bool, schedule: Schedule, check: impl FnOnce(Pricer<'_>, Pricer<'_>)) {
    let (x, y) = (problem.x().rows(), problem.y().rows());
    let host = Supports::new(x.view(), y.view(), problem.cost());
    let geometry = InnerProductGeometry::new(host, 0).unwrap();
    let accelerator = Accelerator::emulated(Queue::emulated(schedule), host, &geometry, streamed).unwrap();
    check(Pricer::new(host, None), Pricer::new(host, Some(&accelerator)));
    assert!(accelerator.take_failure().is_none());
}

fn prices(count: usize) -> Vec<f64> {
    (0..count).map(|j| ((j * 37) % 101) as f64 / 50.0).collect()
}

#[test]
fn pricing_finds_the_columns_of_the_cpu() {
    for (instance, streamed) in [
        (problems::mixture(130, 170, 7, 1), false),
        (problems::mixture(60, 100, 300, 2), false),
        (problems::mixture(90, 90, 5, 3), true),
    ] {
        for kind in CostKind::ALL {
            let problem = problem(&instance, kind);
            on_both(&problem, streamed, Schedule::Rising, |host, device| {
                for turned in [false, true] {
                    let (host, device) = if turned { (host.turned(), device.turned()) } else { (host, device) };
                    let g = prices(host.supports.num_y());
                    let partners: Vec<u32> = (0..host.supports.num_x() as u32).collect();
                    let expected = host.price(&partners, &g, 8, &|| false).unwrap();
                    let got = device.price(&partners, &g, 8, &|| false).unwrap();
                    assert_eq!(got.columns, expected.columns, "{kind}");
                    for ((got, expected), row) in got.floor.iter().zip(&expected.floor).zip(0..) {
                        let gap = expected - got;
                        assert!(gap.abs() <= 1e-9 * (1.0 + expected.abs()), "{kind} row {row}: {got} for {expected}");
                    }
                    for (got, expected) in got.costs.iter().zip(&expected.costs) {
                        assert!((got - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "{kind}");
                    }
                }
            });
        }
    }
}

#[test]
fn prices_across_parts_are_aligned_as_on_the_cpu() {
    let instance = problems::mixture(200, 200, 6, 4);
    for kind in CostKind::ALL {
        let problem = problem(&instance, kind);
        on_both(&problem, false, Schedule::Falling, |host, device| {
            let y_of_x: Vec<u32> = (0..200).map(|i| (i * 7) % 200).collect();
            let part: Vec<u32> = (0..200).map(|j| j / 30).collect();
            let (mut expected, mut got) = (prices(200), prices(200));
            align(host, &y_of_x, &mut expected, &part);
            align(device, &y_of_x, &mut got, &part);
            assert_ne!(expected, prices(200), "{kind}: there is something to align");
            for (got, expected) in got.iter().zip(&expected) {
                assert!((got - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{kind}: {got} for {expected}");
            }
        });
    }
}

#[test]
fn features_of_blocks_are_centred() {
    let instance = problems::mixture(40, 48, 3, 5);
    let problem = problem(&instance, CostKind::SquaredEuclidean);
    let (host_x, host_y) = (problem.x().rows(), problem.y().rows());
    let supports = Supports::new(host_x.view(), host_y.view(), problem.cost());
    let geometry = InnerProductGeometry::new(supports, 0).unwrap();
    let features = FeatureTensors::new(&geometry, &Device::Cpu).unwrap();
    // The last x indices stand for "no partner".
    let (x, y): (Vec<u32>, Vec<u32>) = ((24..48).collect(), (0..24).rev().collect());
    let blocks = features.centred(&x, &y, 12).unwrap();
    let (got_x, got_y) = (blocks.x.to_vec3::<f32>().unwrap(), blocks.y.to_vec3::<f32>().unwrap());
    for (b, (got_x, got_y)) in got_x.iter().zip(&got_y).enumerate() {
        let row = |copy: &dyn Fn(&mut [f32])| {
            let mut row = vec![0.0_f32; geometry.dimension()];
            copy(&mut row);
            row
        };
        let rows_x: Vec<Vec<f32>> = x[b * 12..][..12]
            .iter()
            .map(|&i| {
                row(&|out: &mut [f32]| {
                    geometry.copy_x(i, out);
                })
            })
            .collect();
        let rows_y: Vec<Vec<f32>> =
            y[b * 12..][..12].iter().map(|&j| row(&|out: &mut [f32]| geometry.copy_y(j, out))).collect();
        for (got, rows) in [(got_x, rows_x), (got_y, rows_y)] {
            for k in 0..geometry.dimension() {
                let mean = rows.iter().map(|row| f64::from(row[k])).sum::<f64>() / 12.0;
                for (got, row) in got.iter().zip(&rows) {
                    assert!((f64::from(got[k]) - (f64::from(row[k]) - mean)).abs() < 1e-5);
                }
            }
        }
    }
}

fn solver(schedule: Schedule, streamed: bool, exact_limit: usize) -> Hiref {
    let params = HirefParams {
        seed: 3,
        leaf_size: 16,
        polish_block_size: Some(20),
        max_sweeps: Some(4),
        exact_limit: Some(exact_limit),
        quality: Quality::Best,
        certify: true,
        ..HirefParams::default()
    };
    let mut solver = params.check().unwrap();
    solver.emulated = Some(Emulated { schedule, streamed });
    solver
}

/// Blocks are exact on the host; a device's auction may end short of their optimum by its last epsilon for each pair, which is a
/// twentieth of what an ordinary row sees between its partner and the nearest alternative.
#[test]
fn blocks_end_next_to_their_optimum() {
    for (n, m, streamed) in [(120, 120, false), (120, 120, true), (100, 120, false)] {
        let instance = problems::mixture(n, m, 6, 8);
        for kind in CostKind::ALL {
            let problem = problem(&instance, kind);
            let (x, y) = (problem.x().rows(), problem.y().rows());
            let supports = Supports::new(x.view(), y.view(), kind);
            let geometry = InnerProductGeometry::new(supports, 0).unwrap();
            let queue = Queue::emulated(Schedule::Rising);
            let accelerator = Accelerator::emulated(queue, supports, &geometry, streamed).unwrap();
            let pairing = Pairing::from_permutation(&Permutation::new((0..n as u32).collect(), m).unwrap());
            let order: Vec<u32> = (0..120).map(|i| (i * 7) % 120).collect();
            let (offsets, control) = ([0, 40, 77, 120], Control::start(&(), None));
            let change = |device: Option<&dyn OnDevice>| {
                let blocks = BlockSolver { supports, device, control, phase: Phase::Polish };
                let solved = blocks.solve(&pairing, &order, &offsets, false);
                assert!(solved.complete());
                solved.change()
            };
            let (exact, auctioned) = (change(None), change(Some(&accelerator)));
            assert!(accelerator.take_failure().is_none());
            assert!(exact < 0.0 && auctioned >= exact * (1.0 + 1e-6), "{kind}: {auctioned} below {exact}");
            assert!(auctioned <= 0.997 * exact, "{kind} {n} x {m}: {auctioned} against {exact}");
        }
    }
}

/// Whole solves on an emulated device: one to one, never dearer from sweep to sweep, certified by a bound that is one; and, where they end
/// exactly, optimal.
#[test]
fn whole_solves_keep_their_promises() {
    for (n, m, d) in [(44, 44, 5), (36, 48, 6), (48, 36, 40)] {
        let instance = problems::mixture(n, m, d, 6);
        for kind in CostKind::ALL {
            let problem = problem(&instance, kind);
            let optimum = exact_assignment(&instance.x, &instance.y, d, Cost::of_name(kind.name())).mean_cost;
            let rounding = 1e-9 * optimum.abs();
            // Emulation is slow: points that stay on the host are tried on the first set.
            for (streamed, exact_limit) in [(false, 0), (false, usize::MAX), (true, 0)] {
                if streamed && (n != m || kind != CostKind::Cosine) {
                    continue;
                }
                let got = solver(Schedule::Rising, streamed, exact_limit).solve(&problem, None, &()).unwrap();
                let claim = Claim {
                    supports: Some((&instance.x, &instance.y)),
                    dimension: Some(d),
                    cost: Some(Cost::of_name(kind.name())),
                    y_of_x: Some(got.permutation.y_of_x()),
                    num_pairs: Some(n.min(m)),
                    mean_cost: Some(got.mean_cost),
                };
                check_coupling(&claim).unwrap();
                assert!(got.sweeps.windows(2).all(|pair| pair[1].mean_cost <= pair[0].mean_cost + 1e-12), "{kind}");
                assert!((got.mean_cost - mean_cost(&problem, &got.permutation)).abs() < 1e-12);
                let (bound, what) = (got.certificate.unwrap().dual_bound, format!("{kind} {n} x {m}, d = {d}"));
                assert!(bound <= optimum + rounding, "{what}: the bound {bound} is above the optimum {optimum}");
                if exact_limit > 0 {
                    assert!(got.exact, "{what}");
                    assert!((got.mean_cost - optimum).abs() <= rounding, "{what}: {} for {optimum}", got.mean_cost);
                    assert!((bound - optimum).abs() <= 1e-6 * optimum.abs(), "{what}: {bound} for {optimum}");
                }
            }
        }
    }
}

/// No result depends on the order in which threads take turns: no barrier is missing.
#[test]
fn every_schedule_gives_the_same_bits() {
    let instance = problems::mixture(60, 70, 5, 7);
    for kind in CostKind::ALL {
        let problem = problem(&instance, kind);
        let all = Schedule::ALL.map(|schedule| {
            let output = solver(schedule, false, 0).solve(&problem, None, &()).unwrap();
            let certificate = output.certificate.unwrap();
            (output.permutation, output.mean_cost.to_bits(), certificate.f, certificate.g)
        });
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{kind}");
    }
}
