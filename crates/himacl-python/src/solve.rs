//! Pairing one to one.

use crate::arrays::{Rows, partners, permutation};
use crate::device::open_device;
use crate::errors::Failure;
use crate::job::{self, Options};
use hiref_core::{CostKind, HirefOutput, HirefParams, Problem, WarmStart};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde_json::json;

/// Where an earlier pairing comes from.
enum Earlier {
    Bytes(Vec<u8>),
    Partners(Vec<i64>),
}

/// Pairs `x` with `y`; `params` is [`HirefParams`] as JSON. Returns a dictionary.
#[pyfunction]
#[pyo3(signature = (x, y, cost, params, warm_start, device, threads, on_event))]
pub(crate) fn pair<'py>(
    py: Python<'py>,
    x: Rows<'py>,
    y: Rows<'py>,
    cost: &str,
    params: &str,
    warm_start: Option<Bound<'py, PyAny>>,
    device: &str,
    threads: Option<usize>,
    on_event: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (x_view, y_view) = (x.view()?, y.view()?);
    let earlier = warm_start.map(|object| match object.cast::<PyBytes>() {
        Ok(bytes) => Ok(Earlier::Bytes(bytes.as_bytes().to_vec())),
        Err(_) => object
            .extract::<PyReadonlyArray1<'_, i64>>()
            .and_then(|array| Ok(Earlier::Partners(array.as_slice()?.to_vec()))),
    });
    let earlier = earlier.transpose()?;
    let solved = job::run(py, &Options { threads, on_event }, |watcher| {
        let cost = parse_cost(cost)?;
        let params: HirefParams = serde_json::from_str(params)?;
        let solver = params.check()?.on_device(&open_device(device)?);
        let problem = Problem::new(x_view.points(), y_view.points(), cost)?;
        let warm_start = earlier.map(|earlier| match earlier {
            Earlier::Bytes(bytes) => Ok(WarmStart::from_bytes(&bytes)?),
            Earlier::Partners(y_of_x) => permutation(&y_of_x, problem.y().num_points()).map(WarmStart::from),
        });
        let output = solver.solve(&problem, warm_start.transpose()?.as_ref(), watcher)?;
        let facts = (problem.x().num_points(), problem.y().num_points(), problem.x().dimension());
        Ok((output, facts))
    })?;
    let (output, facts) = solved;
    describe(py, &output, facts)
}

/// What a solve found, as a dictionary.
fn describe<'py>(
    py: Python<'py>,
    output: &HirefOutput,
    (n, m, d): (usize, usize, usize),
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("y_of_x", PyArray1::from_vec(py, partners(&output.permutation)))?;
    dict.set_item("x_of_y", PyArray1::from_vec(py, partners(&output.permutation.inverse())))?;
    dict.set_item("mean_cost", output.mean_cost)?;
    if let Some(certificate) = &output.certificate {
        dict.set_item("f", PyArray1::from_slice(py, &certificate.f))?;
        dict.set_item("g", PyArray1::from_slice(py, &certificate.g))?;
    }
    dict.set_item("warm_start", PyBytes::new(py, &output.warm_start().to_bytes()))?;
    let summary = json!({
        "n": n,
        "m": m,
        "d": d,
        "num_pairs": output.permutation.num_pairs(),
        "mean_cost": output.mean_cost,
        "bijection": output.permutation.is_bijection(),
        "exact": output.exact,
        "termination": output.termination,
        "levels": output.levels,
        "polish": output.sweeps,
        "rounds": output.rounds,
        "dual_bound": output.dual_bound,
        "relative_gap": output.relative_gap(),
        "gap_estimate": output.gap_estimate,
        "seconds": output.seconds,
    });
    dict.set_item("summary", summary.to_string())?;
    Ok(dict)
}

/// A cost by its name.
pub(crate) fn parse_cost(name: &str) -> Result<CostKind, Failure> {
    name.parse().map_err(|_| {
        let known: Vec<String> = CostKind::ALL.iter().map(ToString::to_string).collect();
        Failure::Input(format!("cost is `{name}`, expected one of {}", known.join(", ")))
    })
}
