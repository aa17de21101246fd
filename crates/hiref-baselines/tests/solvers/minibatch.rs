//! Mini-batch optimal transport: the exact optimum with one batch, a one-to-one pairing with any.

use crate::support::golden::Golden;
use crate::support::{problem, reference};
use hiref_baselines::Solver;
use hiref_baselines::minibatch::{BatchSolver, MinibatchOutput, MinibatchParams};
use hiref_baselines::sinkhorn::SinkhornParams;
use hiref_core::{CostKind, Error, Event, Observer, Problem, Termination};
use hiref_testkit::{Claim, Instance, assert_relative, check_coupling, problems};

fn solve(problem: &Problem, params: MinibatchParams) -> MinibatchOutput {
    params.check().unwrap().solve(problem, &()).unwrap()
}

fn of_size(batch_size: usize) -> MinibatchParams {
    MinibatchParams { batch_size, ..MinibatchParams::default() }
}

fn check(instance: &Instance, cost: CostKind, output: &MinibatchOutput) {
    let claim = Claim {
        supports: Some((&instance.x, &instance.y)),
        dimension: Some(instance.dimension),
        cost: Some(reference(cost)),
        y_of_x: Some(output.permutation.y_of_x()),
        num_pairs: Some(instance.num_x().min(instance.num_y())),
        mean_cost: Some(output.mean_cost),
    };
    check_coupling(&claim).unwrap_or_else(|fault| panic!("{} {cost}: {fault}", instance.name));
}

#[test]
fn one_batch_is_the_exact_optimum_and_more_are_never_better() {
    for golden in Golden::read("minibatch.json") {
        let (instance, problem, cost) = (golden.instance(), golden.problem(), golden.cost());
        let exact = golden.number("exact_cost");
        let whole = solve(&problem, of_size(1000));
        check(&instance, cost, &whole);
        assert_eq!((whole.num_batches, whole.termination), (1, Termination::Converged));
        assert_relative(whole.mean_cost, exact, 1e-6, golden.name());
        for batch_size in [1, 7, 32, 100] {
            let output = solve(&problem, of_size(batch_size));
            check(&instance, cost, &output);
            println!("{} batches of {batch_size}: {} against {exact}", golden.name(), output.mean_cost);
            assert_eq!(output.num_batches, instance.num_x().max(instance.num_y()).div_ceil(batch_size));
            assert!(output.mean_cost >= exact * (1.0 - 1e-9), "{} below {exact}", output.mean_cost);
        }
    }
}

#[test]
fn larger_batches_come_closer() {
    let instance = problems::mixture(2048, 2048, 2, 5);
    let problem = problem(&instance, CostKind::SquaredEuclidean);
    let costs = [16, 128, 1024].map(|size| solve(&problem, of_size(size)).mean_cost);
    assert!(costs[0] > costs[1] && costs[1] > costs[2], "{costs:?}");
}

#[test]
fn the_seed_decides() {
    let instance = problems::mixture(100, 100, 2, 5);
    let problem = problem(&instance, CostKind::Euclidean);
    let run = |seed| solve(&problem, MinibatchParams { seed, ..of_size(10) }).permutation;
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn sinkhorn_inside_the_batches() {
    let instance = problems::mixture(90, 130, 2, 5);
    let problem = problem(&instance, CostKind::SquaredEuclidean);
    let sinkhorn = BatchSolver::Sinkhorn(SinkhornParams::default());
    let soft = solve(&problem, MinibatchParams { batch_solver: sinkhorn, ..of_size(40) });
    check(&instance, CostKind::SquaredEuclidean, &soft);
    assert!(soft.mean_cost >= solve(&problem, of_size(40)).mean_cost);
}

#[test]
fn a_time_limit_leaves_a_whole_pairing_and_an_interrupt_none() {
    struct Stop;
    impl Observer for Stop {
        fn on_event(&self, _event: &Event) {}
        fn should_stop(&self) -> bool {
            true
        }
    }
    let instance = problems::mixture(90, 60, 2, 5);
    let problem = problem(&instance, CostKind::SquaredEuclidean);
    for params in [of_size(16), of_size(90)] {
        let stopped = params.check().unwrap().solve(&problem, &Stop);
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }
    let output = solve(&problem, MinibatchParams { time_limit: Some(1e-9), ..of_size(16) });
    check(&instance, CostKind::SquaredEuclidean, &output);
    assert_eq!(output.termination, Termination::TimeLimit);
}

#[test]
fn bad_parameters_are_refused() {
    let refused = |params: MinibatchParams, field: &str| {
        let error = params.check().unwrap_err();
        assert!(matches!(&error, Error::Parameter { name, .. } if *name == field), "{error}");
    };
    refused(of_size(0), "batch_size");
    refused(MinibatchParams { time_limit: Some(-1.0), ..of_size(4) }, "time_limit");
    let sinkhorn = SinkhornParams { epsilon: Some(0.0), ..SinkhornParams::default() };
    refused(MinibatchParams { batch_solver: BatchSolver::Sinkhorn(sinkhorn), ..of_size(4) }, "epsilon");
}
