//! Matchings beyond one to one, and those of given costs.

use crate::arrays::{Rows, pairs};
use crate::errors::Failure;
use crate::job::{self, Options};
use crate::solve::parse_cost;
use hiref_core::matching::{Candidates, Capacity, CostRows, Matching, MatchingParams, pair_candidates, pair_costs};
use hiref_core::{HirefParams, Problem};
use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::json;

type Integers<'py> = PyReadonlyArray1<'py, i64>;

/// What a matching may look like: the two prices and numbers, the capacities of both sides (one number for all, or one each), pairs that may not be,
/// and the categories of both sides.
pub(crate) type Kind<'py> = (
    Option<f64>,
    Option<usize>,
    Integers<'py>,
    Integers<'py>,
    PyReadonlyArray2<'py, i64>,
    Option<(Integers<'py>, Integers<'py>)>,
);

fn whole(values: &Integers<'_>, what: &str) -> PyResult<Vec<u32>> {
    let whole = |&value: &i64| {
        let wrong = || Failure::Input(format!("{what} has {value}, expected whole numbers from 0 below {}", u32::MAX));
        u32::try_from(value).map_err(|_| wrong())
    };
    let found: Result<_, Failure> = values.as_slice()?.iter().map(whole).collect();
    found.map_err(|failure| failure.raise(values.py()))
}

pub(crate) fn params(kind: &Kind<'_>) -> PyResult<MatchingParams> {
    let (unmatched_cost, num_pairs, x_capacity, y_capacity, forbidden, groups) = kind;
    let capacity = |values: &Integers<'_>, what: &str| {
        let whole = whole(values, what)?;
        Ok::<_, PyErr>(match whole.as_slice() {
            [1] => Capacity::One,
            [all] => Capacity::All(*all),
            _ => Capacity::Each(whole),
        })
    };
    // What is out of range is found by the library.
    let index = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    let forbidden = forbidden.as_slice()?.as_chunks::<2>().0.iter().map(|&[x, y]| [index(x), index(y)]).collect();
    let groups =
        groups.as_ref().map(|(x, y)| Ok::<_, PyErr>([whole(x, "groups")?, whole(y, "groups")?])).transpose()?;
    Ok(MatchingParams {
        unmatched_cost: *unmatched_cost,
        num_pairs: *num_pairs,
        x_capacity: capacity(x_capacity, "x_capacity")?,
        y_capacity: capacity(y_capacity, "y_capacity")?,
        forbidden,
        groups,
    })
}

/// Matches the points of `x` and `y`; `params` is [`HirefParams`] as JSON. Returns a dictionary.
#[pyfunction]
#[pyo3(signature = (x, y, cost, params, kind, threads, on_event))]
pub(crate) fn match_points<'py>(
    py: Python<'py>,
    x: Rows<'py>,
    y: Rows<'py>,
    cost: &str,
    params: &str,
    kind: Kind<'py>,
    threads: Option<usize>,
    on_event: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (x_view, y_view, kind) = (x.view()?, y.view()?, self::params(&kind)?);
    let found = job::run(py, &Options { threads, on_event }, |watcher| {
        let cost = parse_cost(cost)?;
        let params: HirefParams = serde_json::from_str(params)?;
        let problem = Problem::new(x_view.points(), y_view.points(), cost)?;
        Ok(params.check()?.solve_matching(&problem, &kind, watcher)?)
    })?;
    describe(py, &found)
}

/// Matches by a matrix of costs, float32 or float64, `(n, m)`.
#[pyfunction]
#[pyo3(signature = (costs, kind, threads, on_event))]
pub(crate) fn match_costs<'py>(
    py: Python<'py>,
    costs: Bound<'py, PyAny>,
    kind: Kind<'py>,
    threads: Option<usize>,
    on_event: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let kind = params(&kind)?;
    let options = Options { threads, on_event };
    let found = if let Ok(costs) = costs.extract::<PyReadonlyArray2<'_, f32>>() {
        let (values, columns) = (costs.as_slice()?, costs.shape()[1]);
        job::run(py, &options, |watcher| Ok(pair_costs(&CostRows::new(values, columns)?, &kind, watcher)?))?
    } else if let Ok(costs) = costs.extract::<PyReadonlyArray2<'_, f64>>() {
        let (values, columns) = (costs.as_slice()?, costs.shape()[1]);
        job::run(py, &options, |watcher| Ok(pair_costs(&CostRows::new(values, columns)?, &kind, watcher)?))?
    } else {
        return Err(PyTypeError::new_err("expected a two-dimensional array of float32 or float64"));
    };
    describe(py, &found)
}

/// Matches among candidate pairs of n x with m y: their x, y and costs.
#[pyfunction]
#[pyo3(signature = (shape, x, y, costs, kind, threads, on_event))]
pub(crate) fn match_candidates<'py>(
    py: Python<'py>,
    shape: (usize, usize),
    x: Integers<'py>,
    y: Integers<'py>,
    costs: PyReadonlyArray1<'py, f64>,
    kind: Kind<'py>,
    threads: Option<usize>,
    on_event: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let kind = params(&kind)?;
    let index = |&value: &i64| u32::try_from(value).unwrap_or(u32::MAX);
    let ends = x.as_slice()?.iter().map(index).zip(y.as_slice()?.iter().map(index));
    let listed: Vec<(u32, u32, f64)> = ends.zip(costs.as_slice()?).map(|((x, y), &cost)| (x, y, cost)).collect();
    let found = job::run(py, &Options { threads, on_event }, |watcher| {
        let candidates = Candidates::new(shape.0, shape.1, &listed)?;
        Ok(pair_candidates(&candidates, &kind, watcher)?)
    })?;
    describe(py, &found)
}

/// What was found, as a dictionary.
fn describe<'py>(py: Python<'py>, found: &Matching) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let ends: Vec<(u32, u32)> = found.pairs.iter().map(|&[x, y]| (x, y)).collect();
    dict.set_item("pairs", pairs(py, &ends)?)?;
    if let Some([f, g]) = &found.potentials {
        dict.set_item("f", PyArray1::from_slice(py, f))?;
        dict.set_item("g", PyArray1::from_slice(py, g))?;
    }
    for (key, groups) in ["x_only", "y_only"].into_iter().zip(&found.lonely_groups) {
        dict.set_item(key, PyArray1::from_iter(py, groups.iter().map(|&group| i64::from(group))))?;
    }
    let [n, m] = found.sizes;
    let [x, y] = found.singles().map(|singles| singles.len());
    let summary = json!({
        "n": n,
        "m": m,
        "num_pairs": found.pairs.len(),
        "mean_cost": found.mean_cost(),
        "total_cost": found.total_cost,
        "objective": found.objective,
        "objective_bound": found.dual_bound,
        "relative_gap": found.relative_gap(),
        "unmatched_cost": found.unmatched_cost,
        "singles": {"x": x, "y": y},
        "bijection": n == m && found.pairs.len() == n && x == 0 && y == 0,
        "exact": found.exact,
        "termination": found.termination,
        "rounds": found.rounds,
        "seconds": found.seconds,
    });
    dict.set_item("summary", summary.to_string())?;
    Ok(dict)
}
