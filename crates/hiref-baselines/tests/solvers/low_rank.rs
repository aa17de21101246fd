//! The low-rank solvers against ott-jax and POT (`tests/golden/low_rank.json`) and against known answers.

use crate::support::golden::{Golden, entries, largest_difference};
use crate::support::{matrix, reference};
use candle_core::{Device, Tensor};
use hiref_baselines::Solver;
use hiref_baselines::low_rank::{FrlcParams, LotParams, LowRankOutput};
use hiref_core::{CostKind, Error, Event, Marginals, Observer, Problem, Side, Termination, mean_cost};
use hiref_testkit::{assert_relative, exact_assignment, problems};

const SOLVERS: [&str; 2] = ["lot", "frlc"];

fn solve_with(
    solver: &str,
    problem: &Problem<'_>,
    rank: usize,
    seed: u64,
    observer: &dyn Observer,
) -> Result<LowRankOutput, Error> {
    match solver {
        "lot" => LotParams { rank, seed, ..LotParams::default() }.check()?.solve(problem, observer),
        _ => FrlcParams { rank, seed, ..FrlcParams::default() }.check()?.solve(problem, observer),
    }
}

fn solve(solver: &str, problem: &Problem, rank: usize) -> LowRankOutput {
    solve_with(solver, problem, rank, 0, &()).unwrap()
}

/// The claims of an output, verified on the whole matrix.
fn check(name: &str, problem: &Problem<'_>, output: &LowRankOutput) {
    let coupling = output.coupling.to_matrix().unwrap();
    let (m, marginals) = (coupling.dim(1).unwrap(), problem.marginals());
    let rows = largest_difference(&entries(&coupling.sum(1).unwrap()), marginals.a());
    let columns = largest_difference(&entries(&coupling.sum(0).unwrap()), marginals.b());
    assert!(rows.max(columns) < 1e-14, "{name}: rows off by {rows:e}, columns by {columns:e}");
    assert!(output.marginal_error < 1e-12, "{name}: {:e}", output.marginal_error);
    let values = entries(&coupling);
    assert!(values.iter().all(|&v| v >= 0.0), "{name}: negative mass");
    let (x, y) = (problem.x().rows(), problem.y().rows());
    let total: f64 = values
        .iter()
        .enumerate()
        .map(|(k, mass)| mass * problem.cost().between(&x.view().row(k / m), &y.view().row(k % m)))
        .sum();
    assert_relative(output.primal_cost, total, 1e-9, name);
    let inner = largest_difference(&entries(&output.coupling.q().sum(0).unwrap()), output.coupling.inner_marginal());
    let other = largest_difference(&entries(&output.coupling.r().sum(0).unwrap()), output.coupling.inner_marginal());
    assert!(inner.max(other) < 1e-13, "{name}: inner marginals off by {inner:e}, {other:e}");
}

#[test]
fn costs_are_those_of_ott_and_pot() {
    for golden in Golden::read("low_rank.json") {
        let (problem, rank) = (golden.problem(), golden.count("rank"));
        for solver in SOLVERS {
            let mut costs = Vec::new();
            for seed in 0..3 {
                let output = solve_with(solver, &problem, rank, seed, &()).unwrap();
                check(golden.name(), &problem, &output);
                costs.push(output.primal_cost);
                println!(
                    "{} {solver} seed {seed}: {:.6}, best of others {:.6}, exact {:.6}; {:?} after {}",
                    golden.name(),
                    output.primal_cost,
                    golden.number("best_cost"),
                    golden.number("exact_cost"),
                    output.termination,
                    output.iterations
                );
                assert!(output.primal_cost >= golden.number("exact_cost") - 1e-9);
            }
            for cost in costs {
                assert!(cost <= 1.04 * golden.number("best_cost"), "{} {solver}: {cost}", golden.name());
            }
        }
    }
}

/// Groups far apart: mass must stay inside its group, and inside a group the coupling is the product.
#[test]
fn separated_clusters_are_coupled_exactly() {
    let (groups, per_group) = (4, 15);
    let side = |seed: u64| -> Vec<f32> {
        let noise = problems::mixture(groups * per_group, 1, 2, seed).x;
        let place = |i: usize| [100.0 * ((i % groups) % 2) as f32, 100.0 * ((i % groups) / 2) as f32];
        noise.chunks(2).enumerate().flat_map(|(i, p)| [place(i)[0] + 0.1 * p[0], place(i)[1] + 0.1 * p[1]]).collect()
    };
    let (x, y) = (side(1), side(2));
    let within: Vec<f64> = (0..groups)
        .flat_map(|group| (group..groups * per_group).step_by(groups))
        .flat_map(|i| (i % groups..groups * per_group).step_by(groups).map(move |j| (i, j)))
        .map(|(i, j)| CostKind::SquaredEuclidean.between(&x[2 * i..][..2], &y[2 * j..][..2]))
        .collect();
    let expected = within.iter().sum::<f64>() / within.len() as f64;
    let problem = Problem::new(matrix(&x, 2), matrix(&y, 2), CostKind::SquaredEuclidean).unwrap();
    for solver in SOLVERS {
        let output = solve(solver, &problem, groups);
        check(solver, &problem, &output);
        assert_relative(output.primal_cost, expected, 1e-3, solver);
        let pairing = output.coupling.round(3).unwrap();
        assert!(pairing.pairs().all(|(i, j)| i % groups == j % groups), "{solver}: a pair across groups");
    }
}

#[test]
fn full_rank_recovers_the_exact_cost() {
    let instance = problems::mixture(12, 12, 2, 5);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let exact = exact_assignment(&instance.x, &instance.y, 2, reference(CostKind::SquaredEuclidean));
    let pairing = hiref_core::Permutation::new(exact.y_of_x, 12).unwrap();
    let optimum = mean_cost(&problem, &pairing);
    for solver in SOLVERS {
        let best = (0..5)
            .map(|seed| solve_with(solver, &problem, 12, seed, &()).unwrap().primal_cost)
            .fold(f64::INFINITY, f64::min);
        println!("{solver}: {best} against {optimum}");
        assert!(best >= optimum - 1e-9 && best <= 1.02 * optimum, "{solver}: {best} against {optimum}");
    }
}

#[test]
fn rank_one_is_the_product_coupling_for_every_cost() {
    let instance = problems::mixture(40, 30, 3, 2);
    for cost in CostKind::ALL {
        let problem = crate::support::problem(&instance, cost);
        let terms = instance.x.chunks(3).flat_map(|x| instance.y.chunks(3).map(move |y| cost.between(x, y)));
        let mean = terms.sum::<f64>() / 1200.0;
        for solver in SOLVERS {
            let output = solve(solver, &problem, 1);
            assert_relative(output.primal_cost, mean, 1e-9, solver);
            assert_eq!(output.termination, Termination::Converged);
        }
    }
}

#[test]
fn every_cost_gets_better_with_rank() {
    let instance = problems::mixture(90, 60, 3, 6);
    for cost in CostKind::ALL {
        let problem = crate::support::problem(&instance, cost);
        for solver in SOLVERS {
            let outputs = [1, 4, 12].map(|rank| solve(solver, &problem, rank));
            outputs.iter().for_each(|output| check(solver, &problem, output));
            let costs = outputs.map(|output| output.primal_cost);
            println!("{cost} {solver}: {costs:?}");
            assert!(costs[0] > costs[1] && costs[1] > costs[2], "{cost} {solver}: {costs:?}");
        }
    }
}

#[test]
fn rounding_costs_about_what_the_coupling_does() {
    for (n, m) in [(400, 400), (300, 450), (450, 300)] {
        let instance = problems::mixture(n, m, 2, 6);
        let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
        for solver in SOLVERS {
            let output = solve(solver, &problem, 10);
            let pairing = output.coupling.round(1).unwrap();
            assert_eq!((pairing.num_x(), pairing.num_y(), pairing.num_pairs()), (n, m, n.min(m)));
            let rounded = mean_cost(&problem, &pairing);
            assert!((rounded / output.primal_cost - 1.0).abs() < 0.25, "{rounded} against {}", output.primal_cost);
        }
    }
}

#[test]
fn a_latent_coupling_is_the_same_coupling() {
    let instance = problems::mixture(50, 70, 2, 6);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let output = solve("frlc", &problem, 6);
    let latent = output.latent.unwrap();
    let inverse = |masses: &[f64]| {
        let values: Vec<f64> = masses.iter().map(|mass| mass.recip()).collect();
        Tensor::from_vec(values, (1, masses.len()), &Device::Cpu).unwrap()
    };
    let q = latent.q.broadcast_mul(&inverse(&latent.inner_marginal_x)).unwrap();
    let r = latent.r.broadcast_mul(&inverse(&latent.inner_marginal_y)).unwrap();
    let whole = q.matmul(&latent.latent).unwrap().matmul(&r.t().unwrap()).unwrap();
    let joined = output.coupling.to_matrix().unwrap();
    assert!(largest_difference(&entries(&whole), &entries(&joined)) < 1e-16);
}

#[test]
fn single_points_and_equal_points() {
    let instance = problems::all_equal(20, 30, 2);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let single = crate::support::problem(&problems::mixture(1, 1, 3, 1), CostKind::Euclidean);
    for solver in SOLVERS {
        let output = solve(solver, &problem, 5);
        check(solver, &problem, &output);
        assert!(output.primal_cost.abs() < 1e-12);
        let output = solve(solver, &single, 1);
        check(solver, &single, &output);
        assert_eq!(output.coupling.round(0).unwrap().y_of_x(), [0]);
    }
}

#[test]
fn the_seed_decides_and_threads_do_not() {
    let instance = problems::mixture(3000, 2500, 3, 6);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let run = |solver: &'static str, seed, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let output = match solver {
                "lot" => LotParams { rank: 4, seed, max_iterations: 5, ..LotParams::default() }
                    .check()
                    .unwrap()
                    .solve(&problem, &()),
                _ => FrlcParams { rank: 4, seed, max_iterations: 5, ..FrlcParams::default() }
                    .check()
                    .unwrap()
                    .solve(&problem, &()),
            };
            let output = output.unwrap();
            assert_eq!(output.termination, Termination::MaxIterations);
            entries(output.coupling.q())
        })
    };
    for solver in SOLVERS {
        assert_eq!(run(solver, 1, 1), run(solver, 1, 3), "{solver}");
        assert_ne!(run(solver, 1, 2), run(solver, 2, 2), "{solver}");
    }
}

#[test]
fn bad_parameters_are_refused() {
    let refused = |error: Error, field: &str| {
        assert!(matches!(&error, Error::Parameter { name, .. } if *name == field), "{error}");
    };
    let lot = |params: LotParams| params.check().unwrap_err();
    refused(lot(LotParams { rank: 0, ..LotParams::default() }), "rank");
    refused(lot(LotParams { step: 0.0, ..LotParams::default() }), "step");
    refused(lot(LotParams { least_mass: 0.0, ..LotParams::default() }), "least_mass");
    refused(lot(LotParams { max_iterations: 0, ..LotParams::default() }), "max_iterations");
    let frlc = |params: FrlcParams| params.check().unwrap_err();
    refused(frlc(FrlcParams { rank: 0, ..FrlcParams::default() }), "rank");
    refused(frlc(FrlcParams { step: f64::NAN, ..FrlcParams::default() }), "step");
    refused(frlc(FrlcParams { inner_penalty: -1.0, ..FrlcParams::default() }), "inner_penalty");
    refused(frlc(FrlcParams { tolerance: -1.0, ..FrlcParams::default() }), "tolerance");
    let instance = problems::mixture(5, 6, 2, 1);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    for solver in SOLVERS {
        let error = solve_with(solver, &problem, 6, 0, &()).unwrap_err();
        assert!(matches!(error, Error::RankTooLarge { rank: 6, limit: 5 }), "{error}");
    }
    let error = problem.with_marginals(Marginals::uniform(4, 6)).unwrap_err();
    assert!(matches!(error, Error::MarginalLength { side: Side::X, weights: 4, points: 5 }), "{error}");
}

#[test]
fn an_interrupt_leaves_nothing() {
    struct Stop;
    impl Observer for Stop {
        fn on_event(&self, _event: &Event) {}
        fn should_stop(&self) -> bool {
            true
        }
    }
    let instance = problems::mixture(50, 60, 2, 1);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    for solver in SOLVERS {
        let error = solve_with(solver, &problem, 5, 0, &Stop).unwrap_err();
        assert!(matches!(error, Error::Interrupted), "{error}");
    }
}
