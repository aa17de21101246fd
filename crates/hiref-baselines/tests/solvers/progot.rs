//! `ProgOT` against the paper's algorithm written out on POT and against ott-jax (tests/golden/progot.json).

use crate::support::golden::{Golden, entries, largest_difference};
use crate::support::{matrix, reference};
use hiref_baselines::Solver;
use hiref_baselines::progot::{Pace, ProgotOutput, ProgotParams};
use hiref_baselines::sinkhorn::{CostStorage, SinkhornParams};
use hiref_core::{CostKind, Error, Event, Marginals, Observer, Problem, Side, Termination};
use hiref_testkit::{assert_relative, exact_assignment, problems};

fn solve(problem: &Problem, params: ProgotParams) -> ProgotOutput {
    params.check().unwrap().solve(problem, &()).unwrap()
}

#[test]
fn agrees_with_the_reference() {
    for golden in Golden::read("progot.json") {
        let problem = golden.problem();
        let output = solve(
            &problem,
            ProgotParams {
                alphas: Some(golden.numbers("alphas")),
                epsilons: Some(golden.numbers("epsilons")),
                tolerance: 1e-11,
                max_iterations: 1_000_000,
                ..ProgotParams::default()
            },
        );
        let mapped = entries(&output.map.apply(&matrix(&golden.instance().x, golden.count("d"))).unwrap());
        let map = largest_difference(&mapped, &golden.numbers("map"));
        println!(
            "{}: cost {} against {}, map {map:.1e}, {} iterations",
            golden.name(),
            output.primal_cost,
            golden.number("primal_cost"),
            output.iterations
        );
        assert_relative(output.primal_cost, golden.number("primal_cost"), 1e-6, golden.name());
        assert!(map < 1e-5, "{}: maps differ by {map:e}", golden.name());
        assert!(output.marginal_error < 1e-9, "{}", output.marginal_error);
        assert_eq!(output.termination, Termination::Converged);
    }
}

#[test]
fn one_step_is_sinkhorn() {
    let instance = problems::mixture(60, 80, 3, 2);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let params = ProgotParams { num_steps: 1, epsilons: Some(vec![0.5]), tolerance: 1e-10, ..ProgotParams::default() };
    let output = solve(&problem, params);
    let sinkhorn = SinkhornParams { epsilon: Some(0.5), tolerance: 1e-10, ..SinkhornParams::default() };
    let sinkhorn = sinkhorn.check().unwrap().solve(&problem, &()).unwrap();
    assert_relative(output.primal_cost, sinkhorn.primal_cost, 1e-8, "one step");
    let projections = [output.coupling(), &sinkhorn.coupling].map(|c| entries(&c.barycentric_projection().unwrap()));
    assert!(largest_difference(&projections[0], &projections[1]) < 1e-6);
}

#[test]
fn the_default_comes_closer_to_the_optimum_than_sinkhorn() {
    let instance = problems::moved(200, 2, 3.0, 4);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let exact = exact_assignment(&instance.x, &instance.y, 2, reference(CostKind::SquaredEuclidean));
    let pairing = hiref_core::Permutation::new(exact.y_of_x, 200).unwrap();
    let optimum = hiref_core::mean_cost(&problem, &pairing);
    let output = solve(&problem, ProgotParams::default());
    let sinkhorn = SinkhornParams::default().check().unwrap().solve(&problem, &()).unwrap();
    println!("progot {}, sinkhorn {}, exact {optimum}", output.primal_cost, sinkhorn.primal_cost);
    assert_eq!((output.termination, output.steps.len()), (Termination::Converged, 8));
    assert!(output.steps.windows(2).all(|pair| pair[1].epsilon <= pair[0].epsilon));
    assert!(output.primal_cost - optimum < 0.8 * (sinkhorn.primal_cost - optimum));
    let rounded = hiref_core::mean_cost(&problem, &output.coupling().round(0, &()).unwrap());
    assert!(rounded >= optimum - 1e-9);
}

#[test]
fn paces_cover_the_way() {
    let done = |alphas: &[f64]| 1.0 - alphas.iter().map(|alpha| 1.0 - alpha).product::<f64>();
    assert_eq!(Pace::Constant.alphas(4), [0.25, 1.0 / 3.0, 0.5, 1.0]);
    for k in 1..=4 {
        // In equal parts; and in parts that grow, k²/K² of the way (counted from the second of K + 1 parts).
        assert!((done(&Pace::Constant.alphas(4)[..k]) - k as f64 / 4.0).abs() < 1e-12);
        let grown = ((k + 1) as f64).powi(2) - 1.0;
        assert!((done(&Pace::Accelerating.alphas(4)[..k]) - grown / 24.0).abs() < 1e-12);
    }
    assert!(Pace::Decelerating.alphas(3).iter().all(|alpha| (alpha - 0.36788).abs() < 1e-5));
}

#[test]
fn memory_does_not_change_the_bits_and_single_points_work() {
    let instance = problems::mixture(90, 70, 2, 3);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let run = |storage| {
        let output = solve(&problem, ProgotParams { storage, max_iterations: 300, ..ProgotParams::default() });
        (output.primal_cost, output.coupling().f().to_vec(), output.iterations)
    };
    assert_eq!(run(CostStorage::Dense), run(CostStorage::MatrixFree));
    let single = crate::support::problem(&problems::mixture(1, 1, 3, 1), CostKind::SquaredEuclidean);
    let output = solve(&single, ProgotParams::default());
    let expected =
        CostKind::SquaredEuclidean.between(&single.x().rows().view().row(0), &single.y().rows().view().row(0));
    assert_relative(output.primal_cost, expected, 1e-9, "a single pair");
}

#[test]
fn bad_parameters_are_refused() {
    let refused = |params: ProgotParams, field: &str| {
        let error = params.check().unwrap_err();
        assert!(matches!(&error, Error::Parameter { name, .. } if *name == field), "{error}");
    };
    let default = ProgotParams::default;
    refused(ProgotParams { num_steps: 0, ..default() }, "num_steps");
    refused(ProgotParams { alphas: Some(vec![]), ..default() }, "alphas");
    refused(ProgotParams { alphas: Some(vec![0.5, 1.5]), ..default() }, "alphas");
    refused(ProgotParams { epsilons: Some(vec![0.5]), ..default() }, "epsilons");
    refused(ProgotParams { num_steps: 1, epsilons: Some(vec![-0.5]), ..default() }, "epsilons");
    refused(ProgotParams { epsilon: Some(0.0), ..default() }, "epsilon");
    refused(ProgotParams { max_iterations: 0, ..default() }, "max_iterations");
    let instance = problems::mixture(5, 6, 2, 1);
    let solver = default().check().unwrap();
    let error = solver.solve(&crate::support::problem(&instance, CostKind::Cosine), &()).unwrap_err();
    assert!(matches!(error, Error::UnsupportedCost { solver: "progot", cost: CostKind::Cosine, .. }), "{error}");
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let error = problem.with_marginals(Marginals::uniform(5, 7)).unwrap_err();
    assert!(matches!(error, Error::MarginalLength { side: Side::Y, weights: 7, points: 6 }), "{error}");
}

#[test]
fn limits_end_a_solve_with_a_whole_coupling() {
    struct Stop;
    impl Observer for Stop {
        fn on_event(&self, _event: &Event) {}
        fn should_stop(&self) -> bool {
            true
        }
    }
    let instance = problems::mixture(50, 60, 2, 1);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let stopped = ProgotParams::default().check().unwrap().solve(&problem, &Stop);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let output = solve(&problem, ProgotParams { time_limit: Some(1e-9), ..ProgotParams::default() });
    assert_eq!((output.termination, output.iterations, output.steps.len()), (Termination::TimeLimit, 1, 1));
    assert_eq!(output.coupling().round(0, &()).unwrap().num_pairs(), 50);
    let output = solve(&problem, ProgotParams { max_iterations: 3, tolerance: 0.0, ..ProgotParams::default() });
    assert_eq!((output.termination, output.iterations), (Termination::MaxIterations, 3));
}
