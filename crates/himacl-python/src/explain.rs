//! Explanations of pairs.

use crate::arrays::{Rows, permutation};
use crate::errors::Failure;
use crate::job::{self, Options};
use crate::matching::{Kind, params};
use crate::solve::parse_cost;
use himacl::explore::{Explainer as Inner, Item, Paired};
use hiref_core::WarmStart;
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

/// What all explanations of one pairing share.
#[pyclass(frozen, module = "himacl._himacl")]
pub(crate) struct Explainer(Inner);

#[pymethods]
impl Explainer {
    /// Prices a pairing, unless it comes with potentials, and finds its directions; `texts` are those of x, then of y. What is not one to one comes
    /// as all its pairs, `(k, 2)`, and what the matching may look like.
    #[new]
    #[pyo3(signature = (x, y, y_of_x, matching, cost, potentials, texts, seed, threads, on_event))]
    fn new<'py>(
        py: Python<'py>,
        x: Rows<'py>,
        y: Rows<'py>,
        y_of_x: PyReadonlyArray1<'py, i64>,
        matching: Option<(PyReadonlyArray2<'py, i64>, Kind<'py>)>,
        cost: &str,
        potentials: Option<(Vec<f64>, Vec<f64>)>,
        texts: Vec<Option<String>>,
        seed: u64,
        threads: Option<usize>,
        on_event: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let (x, y, y_of_x) = (x.view()?, y.view()?, y_of_x.as_slice()?);
        // What is out of range is found by the library.
        let index = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
        let matching = matching
            .map(|(pairs, kind)| {
                let pairs = pairs.as_slice()?.as_chunks::<2>().0.iter().map(|&[x, y]| [index(x), index(y)]).collect();
                Ok::<_, PyErr>((pairs, params(&kind)?))
            })
            .transpose()?;
        job::run(py, &Options { threads, on_event }, |watcher| {
            let (x, y, cost) = (x.tensor()?, y.tensor()?, parse_cost(cost)?);
            let (sides, one_to_one) = ((&x, &y), || permutation(y_of_x, y.dims()[0]));
            let paired = match (matching, potentials) {
                (None, Some(potentials)) => Paired::one_to_one(sides, cost, &one_to_one()?, potentials)?,
                (None, None) => Paired::priced(sides, cost, &WarmStart::from(one_to_one()?), watcher)?,
                (Some((pairs, params)), Some(potentials)) => Paired::new(sides, cost, pairs, params, potentials)?,
                (Some((pairs, params)), None) => Paired::matched(sides, cost, pairs, params, watcher)?,
            };
            Ok(Self(Inner::new(paired, &texts, seed)?))
        })
    }

    /// Explains all pairs of a row of x or of y, as a list in JSON.
    fn explain(&self, py: Python<'_>, row: u32, of_y: bool, count: usize, threads: Option<usize>) -> PyResult<String> {
        job::run(py, &Options { threads, on_event: None }, |_| {
            serde_json::to_string(&self.0.explain(item(row, of_y), count)?).map_err(Failure::from)
        })
    }

    /// What a row without a partner might have had; JSON, or nothing where it has one.
    fn single(
        &self,
        py: Python<'_>,
        row: u32,
        of_y: bool,
        count: usize,
        threads: Option<usize>,
    ) -> PyResult<Option<String>> {
        job::run(py, &Options { threads, on_event: None }, |_| {
            let found = self.0.single(item(row, of_y), count)?;
            found.map(|found| serde_json::to_string(&found)).transpose().map_err(Failure::from)
        })
    }
}

fn item(row: u32, of_y: bool) -> Item {
    if of_y { Item::Y(row) } else { Item::X(row) }
}
