//! Sinkhorn's algorithm against POT (tests/golden/sinkhorn.json) and against answers known without solving.

use crate::support::golden::{Golden, entries, largest_difference};
use crate::support::{matrix, reference};
use candle_core::{Device, Tensor};
use hiref_baselines::Solver;
use hiref_baselines::sinkhorn::{CostStorage, SinkhornOutput, SinkhornParams};
use hiref_core::{
    CostKind, Error, Event, IterationReport, Marginals, Observer, Permutation, Phase, Problem, Side, Termination,
};
use hiref_testkit::{assert_relative, problems};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

fn tight(epsilon: f64) -> SinkhornParams {
    SinkhornParams { epsilon: Some(epsilon), tolerance: 1e-12, max_iterations: 100_000, ..SinkhornParams::default() }
}

fn solve(problem: &Problem<'_>, params: SinkhornParams) -> SinkhornOutput {
    params.check().unwrap().solve(problem, &()).unwrap()
}

/// Potentials with the mean of f under a moved into g, as the golden values have them.
fn centred(output: &SinkhornOutput) -> (Vec<f64>, Vec<f64>) {
    let coupling = &output.coupling;
    let mean: f64 = coupling.marginals().a().iter().zip(coupling.f()).map(|(a, f)| a * f).sum();
    (coupling.f().iter().map(|f| f - mean).collect(), coupling.g().iter().map(|g| g + mean).collect())
}

#[test]
fn agrees_with_pot() {
    for golden in Golden::read("sinkhorn.json") {
        let problem = golden.problem();
        let output = solve(&problem, tight(golden.number("epsilon")));
        let (f, g) = centred(&output);
        let scale = golden.number("epsilon");
        let potentials =
            largest_difference(&f, &golden.numbers("f")).max(largest_difference(&g, &golden.numbers("g"))) / scale;
        let projection = entries(&output.coupling.barycentric_projection().unwrap());
        // POT's projection is of the points; ours, under the cosine cost, of the points on the sphere.
        let map = if golden.cost() == CostKind::Cosine {
            0.0
        } else {
            largest_difference(&projection, &golden.numbers("barycentric_projection"))
        };
        println!(
            "{}: cost {} against {}, potentials {potentials:.1e} epsilon, map {map:.1e}, {} iterations",
            golden.name(),
            output.primal_cost,
            golden.number("primal_cost"),
            output.iterations
        );
        assert_relative(output.primal_cost, golden.number("primal_cost"), 1e-8, golden.name());
        assert_relative(output.regularized_cost, golden.number("regularized_cost"), 1e-8, golden.name());
        assert_relative(output.dual_cost, golden.number("regularized_cost"), 1e-8, golden.name());
        assert!(potentials < 1e-6, "{}: potentials differ by {potentials:e} epsilon", golden.name());
        assert!(map < 1e-5, "{}: maps differ by {map:e}", golden.name());
        assert!(output.marginal_error < 1e-10, "{}: {}", golden.name(), output.marginal_error);
        assert_eq!(output.termination, Termination::Converged);
    }
}

#[test]
fn the_matrix_is_that_of_the_potentials() {
    for golden in Golden::read("sinkhorn.json") {
        let problem = golden.problem();
        let output = solve(&problem, tight(golden.number("epsilon")));
        let coupling = output.coupling.to_matrix().unwrap();
        let (n, m) = coupling.dims2().unwrap();
        let target = problem.marginals();
        let rows = largest_difference(&entries(&coupling.sum(1).unwrap()), target.a());
        let columns = largest_difference(&entries(&coupling.sum(0).unwrap()), target.b());
        assert!(rows.max(columns) < 1e-12, "{}: rows {rows:e}, columns {columns:e}", golden.name());
        let values = entries(&coupling);
        let instance = golden.instance();
        let (d, cost) = (instance.dimension, golden.cost());
        let total: f64 = (0..n * m)
            .map(|k| values[k] * cost.between(&instance.x[k / m * d..][..d], &instance.y[k % m * d..][..d]))
            .sum();
        assert_relative(output.primal_cost, total, 1e-9, golden.name());
        let largest = |entries: &mut dyn Iterator<Item = f64>| {
            entries.enumerate().fold((0, 0.0), |best, (k, v)| if v > best.1 { (k, v) } else { best }).0 as u32
        };
        let row_argmax: Vec<u32> = values.chunks(m).map(|row| largest(&mut row.iter().copied())).collect();
        assert_eq!(output.coupling.row_argmax(), row_argmax, "{}", golden.name());
        let column_argmax: Vec<u32> = (0..m).map(|j| largest(&mut values.iter().skip(j).step_by(m).copied())).collect();
        assert_eq!(output.coupling.column_argmax(), column_argmax, "{}", golden.name());
    }
}

#[test]
fn stored_and_recomputed_costs_give_the_same_bits() {
    let instance = problems::mixture(300, 500, 3, 4);
    for cost in CostKind::ALL {
        let problem = crate::support::problem(&instance, cost);
        let run = |storage| {
            let params = SinkhornParams { storage, max_iterations: 30, ..SinkhornParams::default() };
            let output = solve(&problem, params);
            (output.coupling.f().to_vec(), output.coupling.g().to_vec(), output.primal_cost)
        };
        assert_eq!(run(CostStorage::Dense), run(CostStorage::MatrixFree), "{cost}");
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let instance = problems::mixture(500, 400, 3, 4);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let run = |threads| {
        let pool = rayon_pool(threads);
        pool.install(|| {
            let output = solve(&problem, SinkhornParams { max_iterations: 20, ..SinkhornParams::default() });
            (output.coupling.f().to_vec(), output.primal_cost, output.coupling.round(1, &()).unwrap())
        })
    };
    assert_eq!(run(1), run(3));
}

fn rayon_pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn a_small_epsilon_approaches_the_exact_cost_and_its_pairing() {
    // A grid moved by one vector: no point is far from all others, so that mass gets about in few iterations.
    let x: Vec<f32> = (0..64).flat_map(|k| [(k % 8) as f32 / 8.0, (k / 8) as f32 / 8.0]).collect();
    let y: Vec<f32> = x.chunks(2).flat_map(|p| [p[0] + 0.5, p[1] + 0.25]).collect();
    let problem = Problem::new(matrix(&x, 2), matrix(&y, 2), CostKind::SquaredEuclidean).unwrap();
    let optimum = 0.25 + 0.0625;
    let mut excess = f64::INFINITY;
    for share in [0.3, 0.03, 0.01] {
        let params =
            SinkhornParams { epsilon_start: 100.0, epsilon_decay: 0.9, tolerance: 1e-6, ..tight(share * optimum) };
        let output = solve(&problem, params);
        let now = output.primal_cost / optimum - 1.0;
        println!("epsilon {share} of the optimum: {now:.2e} above it, {} iterations", output.iterations);
        assert_eq!(output.termination, Termination::Converged);
        assert!(now < excess && now > -1e-5, "{now} after {excess}");
        excess = now;
        assert_relative(output.dual_cost, output.regularized_cost, 1e-4, "duality");
        if share == 0.01 {
            let rounded = hiref_core::mean_cost(&problem, &output.coupling.round(0, &()).unwrap());
            assert_relative(rounded, optimum, 1e-2, "rounded");
        }
    }
    assert!(excess < 5e-3, "{excess}");
}

#[test]
fn a_large_epsilon_gives_the_product_coupling() {
    let instance = problems::mixture(40, 30, 3, 2);
    let problem = crate::support::problem(&instance, CostKind::Euclidean);
    let output = solve(&problem, tight(1e7));
    let mean: f64 = instance
        .x
        .chunks(3)
        .flat_map(|x| instance.y.chunks(3).map(move |y| CostKind::Euclidean.between(x, y)))
        .sum::<f64>()
        / 1200.0;
    assert_relative(output.primal_cost, mean, 1e-5, "product coupling");
    let pairing = output.coupling.round(0, &()).unwrap();
    assert_eq!((pairing.num_x(), pairing.num_y(), pairing.num_pairs()), (40, 30, 30));
}

#[test]
fn single_points() {
    let one = Tensor::new(&[[1f32, 2.0]], &Device::Cpu).unwrap();
    let three = Tensor::new(&[[1f32, 0.0], [1.0, 2.0], [4.0, 2.0]], &Device::Cpu).unwrap();
    let problem = Problem::new(&one, &one, CostKind::SquaredEuclidean).unwrap();
    let output = solve(&problem, SinkhornParams::default());
    assert_eq!((output.primal_cost, output.termination), (0.0, Termination::Converged));
    assert_eq!(output.coupling.round(0, &()).unwrap(), Permutation::identity(1));
    let marginals = Marginals::new(vec![5.0], vec![1.0, 1.0, 2.0]).unwrap();
    for (x, y, marginals) in
        [(&one, &three, marginals.clone()), (&three, &one, Marginals::new(marginals.b().to_vec(), vec![1.0]).unwrap())]
    {
        let problem = Problem::new(x, y, CostKind::SquaredEuclidean).unwrap().with_marginals(marginals).unwrap();
        let output = solve(&problem, SinkhornParams::default());
        assert_relative(output.primal_cost, 0.25 * 4.0 + 0.5 * 9.0, 1e-12, "the only coupling");
        assert_eq!(output.coupling.round(0, &()).unwrap().num_pairs(), 1);
    }
}

#[test]
fn rounding_recovers_a_planted_pairing() {
    let instance = problems::planted(300, 300, 4, 3);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let output = solve(&problem, SinkhornParams { epsilon: Some(1e-3), ..SinkhornParams::default() });
    let pairing = output.coupling.round(7, &()).unwrap();
    let optimum = instance.optimal_cost(reference(CostKind::SquaredEuclidean));
    assert_relative(hiref_core::mean_cost(&problem, &pairing), optimum, 1e-9, "planted pairing");
}

/// Without information the rounding must not fall back on the order of the rows, which may be the truth.
#[test]
fn equal_probabilities_are_not_paired_by_index() {
    let instance = problems::all_equal(200, 200, 2);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let output = solve(&problem, SinkhornParams::default());
    let pairing = output.coupling.round(1, &()).unwrap();
    let kept = pairing.pairs().filter(|(x, y)| x == y).count();
    assert!(kept < 10, "{kept} pairs on the diagonal");
    assert_eq!(pairing, output.coupling.round(1, &()).unwrap());
    assert_ne!(pairing, output.coupling.round(2, &()).unwrap());
}

#[test]
fn the_entropic_map_extends_the_barycentric_projection() {
    let instance = problems::mixture(50, 70, 3, 2);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let output = solve(&problem, tight(0.1));
    let projection = entries(&output.coupling.barycentric_projection().unwrap());
    let map = entries(&output.coupling.entropic_map(&matrix(&instance.x, 3)).unwrap());
    assert!(largest_difference(&projection, &map) < 1e-9);
    // The gradient of the potential, by differences: T(x) = x - ∇f(x) / 2.
    let f = |point: [f64; 3]| {
        let (coupling, m) = (&output.coupling, 70.0);
        let term = |(y, g): (&[f32], &f64)| {
            let c: f64 = y.iter().zip(point).map(|(&y, x)| (x - f64::from(y)).powi(2)).sum();
            ((g - c) / 0.1).exp() / m
        };
        -0.1 * instance.y.chunks(3).zip(coupling.g()).map(term).sum::<f64>().ln()
    };
    let x = [0.3_f32, -0.2, 0.5];
    let mapped = entries(&output.coupling.entropic_map(&matrix(&x, 3)).unwrap());
    for axis in 0..3 {
        let at = |step: f64| {
            let mut point = x.map(f64::from);
            point[axis] += step;
            f(point)
        };
        let gradient = (at(1e-5) - at(-1e-5)) / 2e-5;
        assert!((mapped[axis] - (f64::from(x[axis]) - gradient / 2.0)).abs() < 1e-7, "axis {axis}");
    }
}

#[test]
fn bad_parameters_and_marginals_are_refused() {
    let refused = |params: SinkhornParams, field: &str| {
        let error = params.check().unwrap_err();
        assert!(matches!(&error, Error::Parameter { name, .. } if *name == field), "{error}");
    };
    let default = SinkhornParams::default;
    for epsilon in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(SinkhornParams { epsilon: Some(epsilon), ..default() }, "epsilon");
    }
    refused(SinkhornParams { epsilon_start: 0.5, ..default() }, "epsilon_start");
    refused(SinkhornParams { epsilon_decay: 1.0, ..default() }, "epsilon_decay");
    refused(SinkhornParams { max_iterations: 0, ..default() }, "max_iterations");
    refused(SinkhornParams { tolerance: f64::NAN, ..default() }, "tolerance");
    refused(SinkhornParams { time_limit: Some(0.0), ..default() }, "time_limit");
    let bad = Marginals::new(vec![1.0, 0.0], vec![1.0]).unwrap_err();
    assert!(matches!(bad, Error::Weight { side: Side::X, position: 1, value: 0.0 }), "{bad}");
    let instance = problems::mixture(5, 6, 2, 1);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let error = problem.with_marginals(Marginals::uniform(5, 5)).unwrap_err();
    assert!(matches!(error, Error::MarginalLength { side: Side::Y, weights: 5, points: 6 }), "{error}");
}

#[test]
fn limits_end_a_solve_with_a_whole_coupling() {
    struct Listen(Mutex<Vec<IterationReport>>);
    impl Observer for Listen {
        fn on_event(&self, event: &Event) {
            if let Event::IterationFinished(report) = event {
                self.0.lock().unwrap().push(*report);
            }
            assert!(!matches!(event, Event::Advanced { phase, .. } if *phase != Phase::Iterations));
        }
    }
    let instance = problems::mixture(50, 70, 3, 2);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let rows_fit = |output: &SinkhornOutput| {
        let rows = entries(&output.coupling.to_matrix().unwrap().sum(1).unwrap());
        assert!(largest_difference(&rows, &[0.02; 50]) < 1e-12);
    };
    let observer = Listen(Mutex::default());
    let solver = SinkhornParams { max_iterations: 3, ..tight(0.01) }.check().unwrap();
    let output = solver.solve(&problem, &observer).unwrap();
    assert_eq!((output.iterations, output.termination), (3, Termination::MaxIterations));
    assert_eq!(output.coupling.epsilon(), 0.01);
    rows_fit(&output);
    let reports = observer.0.into_inner().unwrap();
    assert_eq!(reports.iter().map(|report| report.iteration).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(reports[0].epsilon, Some(0.16));
    let output = solve(&problem, SinkhornParams { time_limit: Some(1e-9), ..tight(0.01) });
    assert_eq!((output.iterations, output.termination), (1, Termination::TimeLimit));
    let output = solve(&problem, SinkhornParams { max_iterations: 15, ..tight(0.01) });
    assert_eq!((output.iterations, output.termination), (15, Termination::MaxIterations));
    rows_fit(&output);
}

/// Whoever asks so many times is told to stop.
struct StopAtLook(AtomicUsize);

impl Observer for StopAtLook {
    fn on_event(&self, _event: &Event) {}

    fn should_stop(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

#[test]
fn a_stop_is_heard_inside_an_iteration_and_while_rounding() {
    let instance = problems::mixture(600, 700, 3, 2);
    let problem = crate::support::problem(&instance, CostKind::SquaredEuclidean);
    let solver = SinkhornParams { max_iterations: 2, ..tight(0.01) }.check().unwrap();
    let whole = solver.solve(&problem, &()).unwrap();
    let mut looks = 0;
    // Every pass over the cost asks for each of its tiles: the cost itself, two iterations and the figures.
    while let Err(error) = solver.solve(&problem, &StopAtLook(AtomicUsize::new(looks))) {
        assert!(matches!(error, Error::Interrupted), "{error}");
        looks += 1;
    }
    assert!(looks > 30, "{looks}");
    let stopped = whole.coupling.round(0, &StopAtLook(AtomicUsize::new(3)));
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert_eq!(whole.coupling.round(0, &()).unwrap().num_pairs(), 600);
}
