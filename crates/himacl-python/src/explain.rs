//! Explanations of pairs.

use crate::arrays::{Rows, permutation};
use crate::errors::Failure;
use crate::job::{self, Options};
use crate::solve::parse_cost;
use himacl::explore::{Explainer as Inner, Item, Paired};
use hiref_core::WarmStart;
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;

/// What all explanations of one pairing share.
#[pyclass(frozen, module = "himacl._himacl")]
pub(crate) struct Explainer(Inner);

#[pymethods]
impl Explainer {
    /// Prices a pairing, unless it comes with potentials, and finds its directions; `texts` are those of x, then of y.
    #[new]
    #[pyo3(signature = (x, y, y_of_x, cost, potentials, texts, seed, threads, on_event))]
    fn new<'py>(
        py: Python<'py>,
        x: Rows<'py>,
        y: Rows<'py>,
        y_of_x: PyReadonlyArray1<'py, i64>,
        cost: &str,
        potentials: Option<(Vec<f64>, Vec<f64>)>,
        texts: Vec<Option<String>>,
        seed: u64,
        threads: Option<usize>,
        on_event: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let (x, y, y_of_x) = (x.view()?, y.view()?, y_of_x.as_slice()?);
        job::run(py, &Options { threads, on_event }, |watcher| {
            let (x, y, cost) = (x.tensor()?, y.tensor()?, parse_cost(cost)?);
            let pairing = permutation(y_of_x, y.dims()[0])?;
            let paired = match potentials {
                Some(potentials) => Paired::one_to_one((&x, &y), cost, &pairing, potentials)?,
                None => Paired::priced((&x, &y), cost, &WarmStart::from(pairing), watcher)?,
            };
            Ok(Self(Inner::new(paired, &texts, seed)?))
        })
    }

    /// Explains the pair of a row of x or of y; JSON, or nothing where it has no partner.
    fn explain(
        &self,
        py: Python<'_>,
        row: u32,
        of_y: bool,
        count: usize,
        threads: Option<usize>,
    ) -> PyResult<Option<String>> {
        job::run(py, &Options { threads, on_event: None }, |_| {
            let item = if of_y { Item::Y(row) } else { Item::X(row) };
            let found = self.0.explain(item, count)?.into_iter().next();
            found.map(|found| serde_json::to_string(&found)).transpose().map_err(Failure::from)
        })
    }
}
