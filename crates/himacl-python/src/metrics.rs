//! Metrics of retrieval and pairing, where the true partners are known.

use crate::arrays::{Rows, permutation};
use crate::errors::Failure;
use crate::job::{self, Options};
use himacl::eval::{self, Metric, RetrievalParams};
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use serde_json::{Map, Value};

fn named(figures: Vec<Metric>) -> String {
    let named = figures.into_iter().map(|figure| (figure.name, figure.value.into()));
    Value::Object(named.collect::<Map<_, _>>()).to_string()
}

/// Retrieval in both directions by inner products; row i of x belongs to row i of y. As JSON.
#[pyfunction]
pub(crate) fn retrieval<'py>(
    py: Python<'py>,
    x: Rows<'py>,
    y: Rows<'py>,
    csls_neighbours: usize,
    threads: Option<usize>,
) -> PyResult<String> {
    let (x, y) = (x.view()?, y.view()?);
    job::run(py, &Options { threads, on_event: None }, |_| {
        let metrics = eval::retrieval(&x.tensor()?, &y.tensor()?, RetrievalParams { csls_neighbours })?;
        Ok(named(metrics.figures()))
    })
}

/// How many true partners nearest neighbours, mutual ones and a pairing find; `truth` is the partner of each x. As JSON.
#[pyfunction]
#[pyo3(signature = (x, y, truth, pairing, threads))]
pub(crate) fn pairing_accuracy<'py>(
    py: Python<'py>,
    x: Rows<'py>,
    y: Rows<'py>,
    truth: PyReadonlyArray1<'py, i64>,
    pairing: Option<PyReadonlyArray1<'py, i64>>,
    threads: Option<usize>,
) -> PyResult<String> {
    let (x, y, truth) = (x.view()?, y.view()?, truth.as_slice()?);
    let pairing = pairing.as_ref().map(|pairing| pairing.as_slice()).transpose()?;
    job::run(py, &Options { threads, on_event: None }, |_| {
        let (x, y) = (x.tensor()?, y.tensor()?);
        let num_y = y.dims()[0];
        let row = |&value: &i64| {
            u32::try_from(value).map_err(|_| Failure::Input(format!("a true partner is {value}, expected a row of y")))
        };
        let truth = truth.iter().map(row).collect::<Result<Vec<u32>, _>>()?;
        let pairing = pairing.map(|pairing| permutation(pairing, num_y)).transpose()?;
        Ok(named(eval::pairing_accuracy(&x, &y, &truth, pairing.as_ref())?.figures()))
    })
}

/// The Sinkhorn divergence between two clouds.
#[pyfunction]
pub(crate) fn sinkhorn_divergence<'py>(
    py: Python<'py>,
    a: Rows<'py>,
    b: Rows<'py>,
    threads: Option<usize>,
) -> PyResult<f64> {
    let (a, b) = (a.view()?, b.view()?);
    job::run(py, &Options { threads, on_event: None }, |_| Ok(eval::sinkhorn_divergence(&a.tensor()?, &b.tensor()?)?))
}
