//! Aligned spaces and the maps between them.

use crate::arrays::{Rows, matrix, values};
use crate::errors::Failure;
use crate::job::{self, Options};
use candle_core::Tensor;
use himacl::align::{AlignParams, Alignment};
use himacl::train::Model;
use hiref_core::Permutation;
use numpy::{PyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A map between two spaces with what prepares each side: an alignment's, or a trained one.
#[pyclass(frozen, module = "himacl._himacl")]
pub(crate) struct Map {
    pub(crate) model: Model,
}

/// What is wanted of rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Source rows among the target's embeddings.
    Forward,
    /// Target rows among the source's embeddings.
    Backward,
    /// Source rows mapped, where targets are compared with them.
    ForwardPrepared,
    /// Target rows, where they are compared with mapped sources.
    TargetPrepared,
}

#[pymethods]
impl Map {
    /// Source rows among the target's embeddings, unit rows, `(n, e)`.
    fn forward<'py>(&self, py: Python<'py>, rows: Rows<'py>, threads: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        self.apply(py, &rows, threads, Way::Forward)
    }

    /// Target rows among the source's embeddings, unit rows, `(m, d)`.
    fn backward<'py>(&self, py: Python<'py>, rows: Rows<'py>, threads: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        self.apply(py, &rows, threads, Way::Backward)
    }

    /// Source rows mapped to the prepared space, unit rows, `(n, k)`.
    fn forward_prepared<'py>(
        &self,
        py: Python<'py>,
        rows: Rows<'py>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.apply(py, &rows, threads, Way::ForwardPrepared)
    }

    /// Target rows in the prepared space, unit rows, `(m, k)`.
    fn target_prepared<'py>(
        &self,
        py: Python<'py>,
        rows: Rows<'py>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.apply(py, &rows, threads, Way::TargetPrepared)
    }

    /// Both sides in joint coordinates whose inner products are the scores.
    fn joint<'py>(
        &self,
        py: Python<'py>,
        source: Rows<'py>,
        target: Rows<'py>,
        threads: Option<usize>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let (source, target) = (source.view()?, target.view()?);
        let (x, y) = job::run(py, &Options { threads, on_event: None }, |_| {
            self.fits("X", source.dimension(), Way::Forward)?;
            self.fits("Y", target.dimension(), Way::TargetPrepared)?;
            let (x, y) = self.model.0.joint(&source.tensor()?, &target.tensor()?)?;
            Ok((values(&x)?, values(&y)?))
        })?;
        Ok((matrix(py, x)?, matrix(py, y)?))
    }

    /// Whether it maps back, too.
    fn has_inverse(&self) -> bool {
        self.model.0.map.backward.is_some()
    }

    /// As safetensors, the bytes of a run's `map.safetensors`.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.model.to_bytes().map_err(|error| Failure::from(error).raise(py))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The inverse of `to_bytes`.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        let model = Model::from_bytes(bytes).map_err(|error| Failure::from(error).raise(py))?;
        Ok(Self { model })
    }

    /// Writes `map.safetensors` and `map.json` into a folder that exists.
    fn save(&self, py: Python<'_>, folder: std::path::PathBuf) -> PyResult<()> {
        py.detach(|| self.model.save(&folder).map_err(Failure::from)).map_err(|failure| failure.raise(py))
    }

    /// Reads the map of a run's folder.
    #[staticmethod]
    fn load(py: Python<'_>, folder: std::path::PathBuf) -> PyResult<Self> {
        let model = py.detach(|| Model::load(&folder, &candle_core::Device::Cpu).map_err(Failure::from));
        Ok(Self { model: model.map_err(|failure| failure.raise(py))? })
    }
}

impl Map {
    /// Refuses rows of another space than those that a way begins at.
    fn fits(&self, name: &str, got: usize, way: Way) -> Result<(), Failure> {
        let (source, target) = (self.model.0.source.input_dimension(), self.model.0.target.input_dimension());
        let (side, expected) = match way {
            Way::Forward | Way::ForwardPrepared => ("source", source),
            Way::Backward | Way::TargetPrepared => ("target", target),
        };
        if got == expected {
            return Ok(());
        }
        let other = if side == "source" { target } else { source };
        let hint = if got == other {
            "they fit the other side: transform maps source rows, inverse_transform target rows"
        } else {
            "rows are to be embedded as those that the map was fitted to"
        };
        Err(Failure::Input(format!(
            "{name} has {got} coordinates, expected {expected}: those of the {side}\nhint: {hint}"
        )))
    }

    fn apply<'py>(
        &self,
        py: Python<'py>,
        rows: &Rows<'py>,
        threads: Option<usize>,
        way: Way,
    ) -> PyResult<Bound<'py, PyAny>> {
        let view = rows.view()?;
        let mapped = job::run(py, &Options { threads, on_event: None }, |_| {
            let (rows, model) = (view.tensor()?, &self.model);
            let no_inverse = || Failure::Input("this map has no inverse\nhint: fit it with inverse=True".to_owned());
            let learned = || {
                Failure::Input(
                    "a learned cost maps both sides to a space of its own\nhint: compare transform_prepared with \
                     target_prepared"
                        .to_owned(),
                )
            };
            if model.0.map.partner.is_some() && matches!(way, Way::Forward | Way::Backward) {
                return Err(learned());
            }
            self.fits(if way == Way::TargetPrepared { "Y" } else { "X" }, view.dimension(), way)?;
            values(&match way {
                Way::Forward => model.0.target.invert(&model.forward(&rows)?)?,
                Way::Backward => model.0.source.invert(&model.backward(&rows)?.ok_or_else(no_inverse)?)?,
                Way::ForwardPrepared => model.forward(&rows)?,
                Way::TargetPrepared => model.targets(&rows)?,
            })
        })?;
        matrix(py, mapped)
    }
}

/// Known pairs, `(k, 2)`.
pub(crate) fn known_pairs(py: Python<'_>, pairs: Option<&PyReadonlyArray2<'_, i64>>) -> PyResult<Vec<(u32, u32)>> {
    let Some(pairs) = pairs else { return Ok(Vec::new()) };
    let refuse = |text: String| Failure::Input(text).raise(py);
    if pairs.shape()[1] != 2 {
        return Err(refuse(format!("anchors have shape {:?}, expected (k, 2): source row, target row", pairs.shape())));
    }
    let row = |at: usize, value: i64| {
        u32::try_from(value).map_err(|_| refuse(format!("known pair {at} names row {value}, expected a row's number")))
    };
    let chunks = pairs.as_slice()?.chunks_exact(2).enumerate();
    chunks.map(|(at, pair)| Ok((row(at, pair[0])?, row(at, pair[1])?))).collect()
}

/// The pairs of a coupling of the items that no known pair names, by rows of the whole sides.
pub(crate) fn free_pairs(coupling: &Permutation, known: &[(u32, u32)], sizes: (usize, usize)) -> Vec<(u32, u32)> {
    let free = |size: usize, of: fn(&(u32, u32)) -> u32| -> Vec<u32> {
        let mut taken = vec![false; size];
        known.iter().map(of).for_each(|item| taken[item as usize] = true);
        (0..size as u32).filter(|&item| !taken[item as usize]).collect()
    };
    let (x, y) = (free(sizes.0, |pair| pair.0), free(sizes.1, |pair| pair.1));
    coupling.pairs().map(|(i, j)| (x[i], y[j])).collect()
}

/// An alignment: its map, the free pairs with their confidence, and the report as JSON.
type Aligned<'py> = (Map, Bound<'py, PyAny>, Bound<'py, PyArray1<f32>>, String, Option<Map>);

/// Aligns two spaces; `mode` is `shared-space`, `anchors` or `unpaired`, `params` are the aligner's as JSON.
#[pyfunction]
#[pyo3(signature = (source, target, mode, anchors, params, threads, on_event))]
pub(crate) fn align<'py>(
    py: Python<'py>,
    source: Rows<'py>,
    target: Rows<'py>,
    mode: &str,
    anchors: Option<PyReadonlyArray2<'py, i64>>,
    params: &str,
    threads: Option<usize>,
    on_event: Option<Bound<'py, PyAny>>,
) -> PyResult<Aligned<'py>> {
    let (source, target) = (source.view()?, target.view()?);
    let anchors = known_pairs(py, anchors.as_ref())?;
    let (aligned, pairs, confidence) = job::run(py, &Options { threads, on_event }, |watcher| {
        let params: AlignParams = serde_json::from_str(params)?;
        let aligner = params.check()?;
        let (source, target) = (source.tensor()?, target.tensor()?);
        let aligned: Alignment = match mode {
            "shared-space" => aligner.shared_space(&source, &target, watcher)?,
            "anchors" => aligner.anchors(&source, &target, &anchors, watcher)?,
            "unpaired" => aligner.unpaired(&source, &target, &anchors, watcher)?,
            other => {
                return Err(Failure::Input(format!("mode is `{other}`, expected shared-space, anchors or unpaired")));
            }
        };
        let rows = |side: &Tensor| side.dim(0);
        let sizes = (rows(&source)?, rows(&target)?);
        let known: &[(u32, u32)] = if mode == "shared-space" { &[] } else { &anchors };
        let pairs = aligned.coupling.as_ref().map_or(Vec::new(), |coupling| free_pairs(coupling, known, sizes));
        let confidence = match &aligned.coupling {
            // One for each free source item; those of the paired ones, in the order of the pairs.
            Some(coupling) => coupling.pairs().map(|(i, _)| aligned.confidence[i]).collect(),
            None => Vec::new(),
        };
        Ok((aligned, pairs, confidence))
    })?;
    let report = serde_json::to_string(&aligned.report).map_err(|error| Failure::from(error).raise(py))?;
    let map = Map { model: Model(aligned.prepared_map()) };
    let anchors_only = aligned.anchors_only.map(|map| Map { model: Model(map) });
    let pairs = crate::arrays::pairs(py, &pairs)?.into_any();
    Ok((map, pairs, PyArray1::from_vec(py, confidence), report, anchors_only))
}
