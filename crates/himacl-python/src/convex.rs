//! Optimal maps between unpaired sets of one space.

use crate::arrays::{Rows, matrix, values};
use crate::errors::{Failure, with_causes};
use crate::job::{self, Options};
use candle_core::Tensor;
use himacl::data::Error as DataError;
use himacl::data::files::write_atomic;
use himacl::map::{self, ConvexFitParams};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::fs;
use std::path::PathBuf;

/// The gradient of a convex function.
#[pyclass(frozen, module = "himacl._himacl")]
pub(crate) struct ConvexGradient {
    map: map::ConvexGradient,
}

/// What is wanted of rows.
#[derive(Clone, Copy)]
enum Way {
    Forward,
    Backward,
}

#[pymethods]
impl ConvexGradient {
    /// Images of source rows, `(n, d)`.
    fn forward<'py>(&self, py: Python<'py>, rows: Rows<'py>, threads: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        self.apply(py, &rows, threads, Way::Forward)
    }

    /// The source rows whose images these are, `(m, d)`.
    fn backward<'py>(&self, py: Python<'py>, rows: Rows<'py>, threads: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        self.apply(py, &rows, threads, Way::Backward)
    }

    /// The convex function at source rows, `(n,)`.
    fn potential<'py>(
        &self,
        py: Python<'py>,
        rows: Rows<'py>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let view = rows.view()?;
        let values = job::run(py, &Options { threads, on_event: None }, |_| {
            Ok(self.map.potential(&self.checked(view.tensor()?)?)?.to_vec1::<f32>()?)
        })?;
        Ok(PyArray1::from_vec(py, values))
    }

    /// Coordinates of a row.
    fn dimension(&self) -> usize {
        self.map.bias.elem_count()
    }

    /// As safetensors.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.map.to_bytes().map_err(|error| Failure::from(error).raise(py))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The inverse of `to_bytes`.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        let map = map::ConvexGradient::from_bytes(bytes).map_err(|error| Failure::from(error).raise(py))?;
        Ok(Self { map })
    }

    /// Writes the bytes to a file, which is there whole or not at all.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let bytes = self.map.to_bytes().map_err(|error| Failure::from(error).raise(py))?;
        let written = py.detach(|| write_atomic(&path, |file| file.write_all(&bytes)));
        written.map_err(|error| Failure::from(error).raise(py))
    }

    /// Reads a file that `save` wrote.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let bytes = fs::read(&path).map_err(DataError::io("read", &path));
        let bytes = bytes.map_err(|error| Failure::from(error).raise(py))?;
        let refused = |error| Failure::Input(format!("`{}` is not a map: {}", path.display(), with_causes(&error)));
        let map = map::ConvexGradient::from_bytes(&bytes).map_err(|error| refused(error).raise(py))?;
        Ok(Self { map })
    }
}

impl ConvexGradient {
    fn apply<'py>(
        &self,
        py: Python<'py>,
        rows: &Rows<'py>,
        threads: Option<usize>,
        way: Way,
    ) -> PyResult<Bound<'py, PyAny>> {
        let view = rows.view()?;
        let mapped = job::run(py, &Options { threads, on_event: None }, |_| {
            let rows = self.checked(view.tensor()?)?;
            values(&match way {
                Way::Forward => self.map.apply(&rows)?,
                Way::Backward => self.map.inverse(&rows)?,
            })
        })?;
        matrix(py, mapped)
    }

    /// Refuses rows of another space.
    fn checked(&self, rows: Tensor) -> Result<Tensor, Failure> {
        let (got, expected) = (rows.dims2()?.1, self.dimension());
        if got == expected {
            return Ok(rows);
        }
        Err(Failure::Input(format!(
            "rows have {got} coordinates, expected {expected}, as those that the map was fitted to"
        )))
    }
}

/// The map, whether it bends, the gain and its standard error.
type Fitted = (ConvexGradient, bool, f64, f64);

/// Finds the optimal map between two sets without a pair.
#[pyfunction]
#[pyo3(signature = (source, target, units, steps, batch_size, seed, threads, on_event))]
pub(crate) fn fit_convex_gradient<'py>(
    py: Python<'py>,
    source: Rows<'py>,
    target: Rows<'py>,
    units: usize,
    steps: usize,
    batch_size: usize,
    seed: u64,
    threads: Option<usize>,
    on_event: Option<Bound<'py, PyAny>>,
) -> PyResult<Fitted> {
    let (source, target) = (source.view()?, target.view()?);
    let fit = job::run(py, &Options { threads, on_event }, |watcher| {
        let params = ConvexFitParams { units, steps, batch_size, seed };
        Ok(map::ConvexGradient::fit(&source.tensor()?, &target.tensor()?, &params, watcher)?)
    })?;
    Ok((ConvexGradient { map: fit.map }, fit.bends, fit.gain, fit.standard_error))
}
