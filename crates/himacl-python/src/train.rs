//! Training a map by a recipe, on arrays.

use crate::align::{Map, known_pairs};
use crate::arrays::Rows;
use crate::errors::Failure;
use crate::job::{self, Options};
use candle_core::Device;
use himacl::train::{Dataset, Model, RecipeFile, run};
use numpy::PyReadonlyArray2;
use pyo3::prelude::*;
use serde_json::json;
use std::path::PathBuf;

/// Trains by the recipe at `recipe` in `folder`, which exists. Returns the map and its figures, as JSON.
///
/// `evaluation` are paired rows to judge by, source and target.
#[pyfunction]
#[pyo3(signature = (source, target, anchors, evaluation, recipe, folder, threads, on_event))]
pub(crate) fn train<'py>(
    py: Python<'py>,
    source: Rows<'py>,
    target: Rows<'py>,
    anchors: Option<PyReadonlyArray2<'py, i64>>,
    evaluation: Option<(Rows<'py>, Rows<'py>)>,
    recipe: PathBuf,
    folder: PathBuf,
    threads: Option<usize>,
    on_event: Option<Bound<'py, PyAny>>,
) -> PyResult<(Map, String)> {
    let (source, target) = (source.view()?, target.view()?);
    let anchors = known_pairs(py, anchors.as_ref())?;
    let evaluation = match &evaluation {
        Some((source, target)) => Some((source.view()?, target.view()?)),
        None => None,
    };
    job::run(py, &Options { threads, on_event }, |watcher| {
        let file = RecipeFile::read(&recipe, &[], None).map_err(|error| Failure::Input(error.to_string()))?;
        let recipe = &file.problems[0].recipe;
        let evaluation = match evaluation {
            Some((source, target)) => Some((source.tensor()?, target.tensor()?)),
            None => None,
        };
        let data = Dataset { source: source.tensor()?, target: target.tensor()?, anchors, evaluation };
        let outcome = run(recipe, &data, &folder, watcher)?.ok_or(Failure::Interrupted)?;
        let model = Model::load(&folder, &Device::Cpu)?;
        let seconds: serde_json::Map<String, serde_json::Value> =
            outcome.seconds.iter().map(|(phase, seconds)| ((*phase).to_owned(), (*seconds).into())).collect();
        let report = json!({"metrics": outcome.metrics, "seconds": seconds, "counts": outcome.counts, "map_choice": outcome.choice});
        Ok((Map { model }, report.to_string()))
    })
}
