//! The solvers that hierarchical refinement is compared with.

use crate::arrays::{Rows, matrix, partners, values};
use crate::errors::Failure;
use crate::job::{self, Options, Watcher};
use crate::solve::parse_cost;
use candle_core::Tensor;
use hiref_baselines::low_rank::{FrlcParams, LotParams, LowRankOutput};
use hiref_baselines::minibatch::MinibatchParams;
use hiref_baselines::progot::ProgotParams;
use hiref_baselines::sinkhorn::SinkhornParams;
use hiref_baselines::{EntropicCoupling, LowRankCoupling, Solver};
use hiref_core::{Marginals, Permutation, Problem, mean_cost};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use serde_json::{Value, json};

/// A coupling that spreads mass.
enum Soft {
    Entropic(Box<EntropicCoupling>),
    LowRank(LowRankCoupling),
}

/// What a comparison solver found.
#[pyclass(frozen, module = "himacl._himacl")]
pub(crate) struct Coupling {
    soft: Option<Soft>,
    rounded: Permutation,
    figures: Value,
}

#[pymethods]
impl Coupling {
    /// The pairing that it is rounded to: the partner of each x, -1 for none.
    fn y_of_x<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        PyArray1::from_vec(py, partners(&self.rounded))
    }

    /// Its figures, as JSON.
    fn figures(&self) -> String {
        self.figures.to_string()
    }

    /// The potentials of an entropic coupling.
    fn potentials<'py>(&self, py: Python<'py>) -> Option<Potentials<'py>> {
        match &self.soft {
            Some(Soft::Entropic(coupling)) => {
                Some((PyArray1::from_slice(py, coupling.f()), PyArray1::from_slice(py, coupling.g())))
            }
            _ => None,
        }
    }

    /// The factors and the inner marginal of a low-rank coupling.
    fn factors<'py>(&self, py: Python<'py>) -> PyResult<Option<Factors<'py>>> {
        let Some(Soft::LowRank(coupling)) = &self.soft else { return Ok(None) };
        let side = |factor: &Tensor| matrix(py, values(factor).map_err(|failure| failure.raise(py))?);
        Ok(Some((side(coupling.q())?, side(coupling.r())?, PyArray1::from_slice(py, coupling.inner_marginal()))))
    }

    /// The whole matrix, `(n, m)`.
    fn matrix<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let whole = py.detach(|| match &self.soft {
            Some(Soft::Entropic(coupling)) => values(&coupling.to_matrix()?),
            Some(Soft::LowRank(coupling)) => values(&coupling.to_matrix()?),
            None => Err(Failure::Input("this solver gives pairs alone".to_owned())),
        });
        matrix(py, whole.map_err(|failure| failure.raise(py))?)
    }

    /// Where each x goes on average, `(n, d)`; `y` are the points that it was solved for.
    fn barycentric_projection<'py>(&self, py: Python<'py>, y: Rows<'py>) -> PyResult<Bound<'py, PyAny>> {
        let view = y.view()?;
        let projected = job::run(py, &Options { threads: None, on_event: None }, |_| match &self.soft {
            Some(Soft::Entropic(coupling)) => values(&coupling.barycentric_projection()?),
            Some(Soft::LowRank(coupling)) => values(&coupling.barycentric_projection(&view.tensor()?)?),
            None => Err(Failure::Input("this solver gives pairs alone".to_owned())),
        })?;
        matrix(py, projected)
    }

    /// The entropic map at other points, `(k, d)`.
    fn entropic_map<'py>(&self, py: Python<'py>, points: Rows<'py>) -> PyResult<Bound<'py, PyAny>> {
        let view = points.view()?;
        let mapped = job::run(py, &Options { threads: None, on_event: None }, |_| match &self.soft {
            Some(Soft::Entropic(coupling)) => values(&coupling.entropic_map(&view.tensor()?)?),
            _ => Err(Failure::Input("only an entropic coupling has an entropic map".to_owned())),
        })?;
        matrix(py, mapped)
    }
}

/// `f (n,)`, `g (m,)`.
type Potentials<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// `q (n, rank)`, `r (m, rank)`, inner marginal `(rank,)`.
type Factors<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyArray1<f64>>);

/// Solves with one of `sinkhorn`, `progot`, `lot`, `frlc`, `minibatch`; `params` are the solver's as JSON.
#[pyfunction]
#[pyo3(signature = (x, y, cost, solver, params, a, b, seed, threads, on_event))]
pub(crate) fn baseline<'py>(
    py: Python<'py>,
    x: Rows<'py>,
    y: Rows<'py>,
    cost: &str,
    solver: &str,
    params: &str,
    a: Option<PyReadonlyArray1<'py, f64>>,
    b: Option<PyReadonlyArray1<'py, f64>>,
    seed: u64,
    threads: Option<usize>,
    on_event: Option<Bound<'py, PyAny>>,
) -> PyResult<Coupling> {
    let (x_view, y_view) = (x.view()?, y.view()?);
    let weights = |side: &Option<PyReadonlyArray1<'py, f64>>| {
        side.as_ref().map(|array| array.as_slice().map(<[f64]>::to_vec)).transpose()
    };
    let (a, b) = (weights(&a)?, weights(&b)?);
    job::run(py, &Options { threads, on_event }, |watcher| {
        let mut problem = Problem::new(x_view.points(), y_view.points(), parse_cost(cost)?)?;
        if a.is_some() || b.is_some() {
            let (n, m) = (problem.x().num_points(), problem.y().num_points());
            let weights = Marginals::new(a.unwrap_or_else(|| vec![1.0; n]), b.unwrap_or_else(|| vec![1.0; m]))?;
            problem = problem.with_marginals(weights)?;
        }
        solve(&problem, (solver, params), seed, watcher)
    })
}

fn solve(
    problem: &Problem<'_>,
    (solver, params): (&str, &str),
    seed: u64,
    watcher: &Watcher,
) -> Result<Coupling, Failure> {
    let coupling = |soft, rounded: Permutation, mut figures: Value| {
        figures["mean_cost"] = mean_cost(problem, &rounded).into();
        Ok(Coupling { soft, rounded, figures })
    };
    let low_rank = |solved: LowRankOutput| {
        let figures = json!({
            "coupling_cost": solved.primal_cost,
            "marginal_error": solved.marginal_error,
            "iterations": solved.iterations,
            "rank": solved.coupling.rank(),
            "termination": solved.termination,
            "seconds": solved.seconds,
        });
        let rounded = solved.coupling.round(seed)?;
        coupling(Some(Soft::LowRank(solved.coupling)), rounded, figures)
    };
    match solver {
        "sinkhorn" => {
            let params: SinkhornParams = serde_json::from_str(params)?;
            let solved = params.check()?.solve(problem, watcher)?;
            let figures = json!({
                "coupling_cost": solved.primal_cost,
                "dual_cost": solved.dual_cost,
                "regularized_cost": solved.regularized_cost,
                "marginal_error": solved.marginal_error,
                "epsilon": solved.coupling.epsilon(),
                "iterations": solved.iterations,
                "termination": solved.termination,
                "seconds": solved.seconds,
            });
            let rounded = solved.coupling.round(seed, watcher)?;
            coupling(Some(Soft::Entropic(Box::new(solved.coupling))), rounded, figures)
        }
        "progot" => {
            let params: ProgotParams = serde_json::from_str(params)?;
            let solved = params.check()?.solve(problem, watcher)?;
            let figures = json!({
                "coupling_cost": solved.primal_cost,
                "marginal_error": solved.marginal_error,
                "epsilon": solved.coupling().epsilon(),
                "steps": solved.steps,
                "iterations": solved.iterations,
                "termination": solved.termination,
                "seconds": solved.seconds,
            });
            let last = solved.coupling().clone();
            let rounded = last.round(seed, watcher)?;
            coupling(Some(Soft::Entropic(Box::new(last))), rounded, figures)
        }
        "lot" => {
            let params: LotParams = serde_json::from_str(params)?;
            low_rank(params.check()?.solve(problem, watcher)?)
        }
        "frlc" => {
            let params: FrlcParams = serde_json::from_str(params)?;
            low_rank(params.check()?.solve(problem, watcher)?)
        }
        "minibatch" => {
            let params: MinibatchParams = serde_json::from_str(params)?;
            let solved = params.check()?.solve(problem, watcher)?;
            let figures = json!({
                "coupling_cost": solved.mean_cost,
                "batches": solved.num_batches,
                "termination": solved.termination,
                "seconds": solved.seconds,
            });
            coupling(None, solved.permutation, figures)
        }
        other => Err(Failure::Input(format!("there is no solver `{other}`"))),
    }
}
