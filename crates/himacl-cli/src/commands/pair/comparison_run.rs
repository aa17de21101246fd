//! A run of one of the solvers that hierarchical refinement is compared with, and its summary.

use super::Solver;
use super::comparison::Comparison;
use super::results::Files;
use super::selection::Rejection;
use crate::error::Error;
use crate::report::{self, Recorder, RunReport};
use crate::table::counted;
use crate::{Context, ExitStatus, SolveProgress};
use hiref_baselines::{EntropicCoupling, Outcome, Solver as _};
use hiref_core::{CostKind, Permutation, Problem, Termination};
use serde::Serialize;

/// What every comparison solver gives.
struct Solved {
    permutation: Permutation,
    figures: Figures,
    potentials: Option<Vec<f32>>,
    seconds: f64,
}

/// The figures of summary.json beyond those of every coupling.
#[derive(Serialize)]
struct Figures {
    coupling_cost: f64,
    marginal_error: f64,
    iterations: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    epsilon: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    regularized_cost: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dual_cost: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batches: Option<usize>,
    termination: Termination,
}

/// summary.json.
#[derive(Serialize)]
struct Summary {
    command: &'static str,
    n: usize,
    m: usize,
    d: usize,
    cost: CostKind,
    solver: Solver,
    seed: u64,
    num_pairs: usize,
    mean_cost: f64,
    #[serde(flatten)]
    figures: Figures,
    bijection: bool,
    exact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection: Option<Rejection>,
    levels: [(); 0],
    polish: [(); 0],
    rounds: [(); 0],
    dual_bound: Option<f64>,
    relative_gap: Option<f64>,
    gap_estimate: Option<f64>,
    #[serde(flatten)]
    run: RunReport,
}

/// Solves, and rounds a soft coupling.
fn solve(
    comparison: &Comparison,
    problem: &Problem<'_>,
    seed: u64,
    progress: &SolveProgress<'_>,
) -> Result<Solved, Error> {
    match comparison.clone() {
        Comparison::Sinkhorn(params) => {
            let solved = params.check()?.solve(problem, progress)?;
            let mut rounded = Solved::of(&solved, seed, progress)?;
            rounded.take_potentials(&solved.coupling);
            rounded.figures.regularized_cost = Some(solved.regularized_cost);
            rounded.figures.dual_cost = Some(solved.dual_cost);
            Ok(rounded)
        }
        Comparison::Progot(params) => {
            let solved = params.check()?.solve(problem, progress)?;
            let mut rounded = Solved::of(&solved, seed, progress)?;
            rounded.take_potentials(solved.coupling());
            Ok(rounded)
        }
        Comparison::Lot(params) => {
            Solved::of_rank(params.rank, &params.check()?.solve(problem, progress)?, seed, progress)
        }
        Comparison::Frlc(params) => {
            Solved::of_rank(params.rank, &params.check()?.solve(problem, progress)?, seed, progress)
        }
        Comparison::Minibatch(params) => {
            let solved = params.check()?.solve(problem, progress)?;
            let mut rounded = Solved::of(&solved, seed, progress)?;
            rounded.figures.batches = Some(solved.num_batches);
            Ok(rounded)
        }
    }
}

impl Solved {
    /// The pairing and the figures that every comparison solver has.
    fn of(solved: &impl Outcome, seed: u64, progress: &SolveProgress<'_>) -> Result<Self, Error> {
        let figures = Figures {
            coupling_cost: solved.coupling_cost(),
            marginal_error: solved.marginal_error(),
            iterations: solved.iterations(),
            epsilon: None,
            regularized_cost: None,
            dual_cost: None,
            rank: None,
            batches: None,
            termination: solved.termination(),
        };
        let permutation = solved.pairing(seed, progress)?;
        Ok(Self { permutation, figures, potentials: None, seconds: solved.seconds() })
    }

    fn of_rank(rank: usize, solved: &impl Outcome, seed: u64, progress: &SolveProgress<'_>) -> Result<Self, Error> {
        let mut rounded = Self::of(solved, seed, progress)?;
        rounded.figures.rank = Some(rank);
        Ok(rounded)
    }

    /// Adds f, then g, `(n + m,)`, and their epsilon.
    fn take_potentials(&mut self, coupling: &EntropicCoupling) {
        self.potentials = Some(coupling.f().iter().chain(coupling.g()).map(|&value| value as f32).collect());
        self.figures.epsilon = Some(coupling.epsilon());
    }
}

/// Solves with a comparison solver and writes the results.
pub(super) fn run(
    comparison: &Comparison,
    files: &Files<'_>,
    mut recorder: Recorder,
    context: &Context,
) -> Result<ExitStatus, Error> {
    let Files { config, problem, output, .. } = files;
    let solved = recorder
        .time("solve", || solve(comparison, problem, config.hiref.seed, &SolveProgress::new(&context.printer)))
        .map_err(
            |error| if error.is_interrupt() { Error::ComparisonInterrupted(config.solver.name()) } else { error },
        )?;
    recorder.note("iterations", Some(solved.seconds));
    let Solved { permutation, figures, potentials, .. } = solved;
    let mean_cost = hiref_core::mean_cost(problem, &permutation);
    let rejection = recorder.time("write", || files.write(&permutation, None, potentials.as_deref()))?;
    let kept = rejection.as_ref().map(|rejection| rejection.describe(permutation.num_pairs()));
    let line = format!(
        "{}, mean {} cost {mean_cost:.6}; the {} coupling costs {:.6}, {}",
        counted(permutation.num_pairs(), "pair"),
        problem.cost(),
        config.solver.name(),
        figures.coupling_cost,
        describe(&figures)
    );
    let summary = Summary {
        command: "pair",
        n: problem.x().num_points(),
        m: problem.y().num_points(),
        d: problem.x().dimension(),
        cost: problem.cost(),
        solver: config.solver,
        seed: config.hiref.seed,
        num_pairs: permutation.num_pairs(),
        mean_cost,
        figures,
        bijection: permutation.is_bijection(),
        exact: false,
        rejection,
        levels: [],
        polish: [],
        rounds: [],
        dual_bound: None,
        relative_gap: None,
        gap_estimate: None,
        run: recorder.report(),
    };
    report::write_summary(output, &summary)?;
    let lines: Vec<String> = [line].into_iter().chain(kept).collect();
    context.printer.result(&format!("{}\nwritten to {}", lines.join("\n"), output.path().display()));
    Ok(ExitStatus::Done)
}

fn describe(figures: &Figures) -> String {
    let ending = match figures.termination {
        Termination::Converged => "converged",
        Termination::MaxIterations => "stopped at the iteration limit",
        Termination::TimeLimit => "stopped at the time limit",
        Termination::Interrupted => "interrupted",
    };
    match figures.batches {
        Some(batches) => {
            format!("{} ({ending})", if batches == 1 { "1 batch".to_owned() } else { format!("{batches} batches") })
        }
        None => format!("marginal error {:.1e} ({ending}, {} iterations)", figures.marginal_error, figures.iterations),
    }
}
