//! Pretrained encoders.

use crate::arrays::matrix;
use crate::device::open_device;
use crate::errors::{Failure, with_causes};
use crate::job::{self, Options, Watcher};
use candle_core::{DType, Tensor};
use himacl::encoder::registry::{self, EncoderSpec, Family};
use himacl::encoder::{Encoder as Towers, EncoderError};
use himacl::hub::{Files, Hub, HubSettings, local_snapshot};
use himacl::readers::decode_image;
use hiref_core::Observer;
use image::{DynamicImage, RgbImage};
use pyo3::prelude::*;
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Texts whose tokens are looked at together, so that those of like length share a batch.
const WINDOW_BATCHES: usize = 32;

/// A picture: the bytes of a file, or pixels as rows of red, green, blue.
#[derive(FromPyObject)]
enum Picture {
    Pixels((usize, usize, Vec<u8>)),
    File(Vec<u8>),
}

/// A loaded encoder.
#[pyclass(frozen, module = "himacl._himacl")]
pub(crate) struct Encoder {
    spec: EncoderSpec,
    towers: Towers,
    commit: Option<String>,
}

#[pymethods]
impl Encoder {
    /// Loads an encoder of the registry, or any repository of a known family; from a folder of the user's, or from the
    /// Hub's cache, where missing files are fetched to.
    #[new]
    #[pyo3(signature = (name, repo, family, revision, local, prompt, route, dimensions, device, threads, on_event))]
    fn new(
        py: Python<'_>,
        name: Option<String>,
        repo: Option<String>,
        family: Option<String>,
        revision: Option<String>,
        local: Option<PathBuf>,
        prompt: Option<String>,
        route: Option<String>,
        dimensions: Option<usize>,
        device: &str,
        threads: Option<usize>,
        on_event: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        job::run(py, &Options { threads, on_event }, |watcher| {
            let spec = describe(name.as_deref(), repo.as_deref(), family, revision)?;
            let files = spec.needed_files();
            let snapshot = match &local {
                Some(folder) => local_snapshot(folder, &spec.repo, &files)?,
                None => fetch(&spec, &files, watcher)?,
            };
            let spec = match prompt {
                Some(prompt) => spec.with_prompt(&prompt, &snapshot.folder).map_err(refused)?,
                None => spec,
            };
            let spec = match route {
                Some(route) => spec.with_route(&route, &snapshot.folder).map_err(refused)?,
                None => spec,
            };
            let spec = EncoderSpec { first: dimensions, ..spec };
            let towers = Towers::load(&spec, &snapshot.folder, &open_device(device)?, DType::F32).map_err(refused)?;
            Ok(Self { spec, towers, commit: snapshot.commit })
        })
    }

    #[getter]
    fn name(&self) -> &str {
        &self.spec.name
    }

    #[getter]
    fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// Coordinates of a text's embedding, if it reads texts.
    #[getter]
    fn text_dimension(&self) -> Option<usize> {
        self.towers.text.as_ref().map(|text| text.dimension())
    }

    /// Coordinates of a picture's embedding, if it sees pictures.
    #[getter]
    fn image_dimension(&self) -> Option<usize> {
        self.towers.image.as_ref().map(|image| image.dimension())
    }

    /// The embeddings of texts, `(n, d)`.
    #[pyo3(signature = (texts, batch_size, normalize, threads, on_event))]
    fn encode_texts<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<String>,
        batch_size: usize,
        normalize: bool,
        threads: Option<usize>,
        on_event: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let encoded = job::run(py, &Options { threads, on_event }, |watcher| {
            let model = self.towers.text.as_ref();
            let model = model.ok_or_else(|| Failure::Input(format!("`{}` does not read texts", self.spec.name)))?;
            let mut rows = Filled::new(texts.len(), model.dimension(), normalize);
            for window in texts.chunks(batch_size.max(1) * WINDOW_BATCHES).enumerate() {
                let (at, window) = (window.0 * batch_size.max(1) * WINDOW_BATCHES, window.1);
                let tokens = window.par_iter().enumerate().map(|(row, text)| {
                    let wrong = |error| Failure::Input(format!("text {}: {}", at + row, with_causes(&error)));
                    model.tokenize(text).map_err(wrong).map(|tokens| (row, tokens))
                });
                let mut tokens = tokens.collect::<Result<Vec<_>, _>>()?;
                tokens.sort_by_key(|(row, tokens)| (std::cmp::Reverse(tokens.0.len()), *row));
                while !tokens.is_empty() {
                    stop_if_asked(watcher)?;
                    let (batch_rows, batch): (Vec<usize>, Vec<_>) =
                        tokens.drain(..batch_size.max(1).min(tokens.len())).unzip();
                    let batch_rows = batch_rows.into_iter().map(|row| at + row);
                    rows.fill(batch_rows, &model.encode(&batch).map_err(refused)?)?;
                    watcher.progress("encode", rows.done, texts.len());
                }
            }
            Ok(rows.finish())
        })?;
        matrix(py, encoded)
    }

    /// The embeddings of pictures, `(n, d)`.
    #[pyo3(signature = (pictures, batch_size, normalize, threads, on_event))]
    fn encode_pictures<'py>(
        &self,
        py: Python<'py>,
        pictures: Vec<Picture>,
        batch_size: usize,
        normalize: bool,
        threads: Option<usize>,
        on_event: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let encoded = job::run(py, &Options { threads, on_event }, |watcher| {
            let model = self.towers.image.as_ref();
            let model = model.ok_or_else(|| Failure::Input(format!("`{}` does not see pictures", self.spec.name)))?;
            let mut rows = Filled::new(pictures.len(), model.dimension(), normalize);
            for (chunk, pictures_of_batch) in pictures.chunks(batch_size.max(1)).enumerate() {
                stop_if_asked(watcher)?;
                let at = chunk * batch_size.max(1);
                let pixels = pictures_of_batch.par_iter().enumerate().map(|(row, picture)| {
                    let wrong = |said: String| Failure::Input(format!("picture {}: {said}", at + row));
                    let image = picture.decode().map_err(wrong)?;
                    model.preprocess(&image).map_err(|error| wrong(with_causes(&error)))
                });
                let pixels = pixels.collect::<Result<Vec<_>, Failure>>()?;
                rows.fill(at..at + pixels.len(), &model.encode(&pixels).map_err(refused)?)?;
                watcher.progress("encode", rows.done, pictures.len());
            }
            Ok(rows.finish())
        })?;
        matrix(py, encoded)
    }
}

impl Picture {
    fn decode(&self) -> Result<DynamicImage, String> {
        match self {
            Self::File(bytes) => decode_image(bytes),
            Self::Pixels((height, width, values)) => {
                let size = (u32::try_from(*width), u32::try_from(*height));
                let (Ok(width), Ok(height)) = size else { return Err("it is too large".to_owned()) };
                let image = RgbImage::from_raw(width, height, values.clone());
                image
                    .map(DynamicImage::ImageRgb8)
                    .ok_or_else(|| format!("{} bytes of pixels, expected {width} x {height} x 3", values.len()))
            }
        }
    }
}

/// Rows that are filled in any order.
struct Filled {
    values: Vec<f32>,
    shape: (usize, usize),
    normalize: bool,
    done: usize,
}

impl Filled {
    fn new(rows: usize, dimension: usize, normalize: bool) -> Self {
        Self { values: vec![0.0; rows * dimension], shape: (rows, dimension), normalize, done: 0 }
    }

    fn fill(&mut self, rows: impl Iterator<Item = usize>, batch: &Tensor) -> Result<(), Failure> {
        let dimension = self.shape.1;
        let batch: Vec<f32> = batch.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        for (row, values) in rows.zip(batch.chunks_exact(dimension)) {
            let out = &mut self.values[row * dimension..(row + 1) * dimension];
            let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            let scale = if self.normalize && length > 0.0 { length.recip() } else { 1.0 };
            out.iter_mut().zip(values).for_each(|(out, value)| *out = (f64::from(*value) * scale) as f32);
            self.done += 1;
        }
        Ok(())
    }

    fn finish(self) -> (Vec<f32>, (usize, usize)) {
        (self.values, self.shape)
    }
}

fn stop_if_asked(watcher: &Watcher) -> Result<(), Failure> {
    if watcher.should_stop() { Err(Failure::Interrupted) } else { Ok(()) }
}

#[expect(clippy::needless_pass_by_value, reason = "a function for map_err")]
fn refused(error: EncoderError) -> Failure {
    Failure::Input(with_causes(&error))
}

/// The encoder that is meant.
fn describe(
    name: Option<&str>,
    repo: Option<&str>,
    family: Option<String>,
    revision: Option<String>,
) -> Result<EncoderSpec, Failure> {
    match (name, repo, family) {
        (Some(name), None, None) => {
            let spec = registry::find(name).map_err(refused)?;
            Ok(EncoderSpec { revision: revision.unwrap_or(spec.revision), ..spec })
        }
        (None, Some(repo), Some(family)) => {
            let family: Family =
                named(&family).map_err(|error| Failure::Input(format!("family is `{family}`: {error}")))?;
            Ok(registry::for_repo(repo, revision.as_deref().unwrap_or("main"), family))
        }
        _ => Err(Failure::Input("expected the name of an encoder, or repo= and family= together".to_owned())),
    }
}

/// A value by the name that files give it.
fn named<T: DeserializeOwned>(name: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::Value::String(name.to_owned()))
}

/// The names of the registry's encoders with what is known of each, as JSON.
#[pyfunction]
pub(crate) fn encoders(py: Python<'_>) -> PyResult<String> {
    let all = registry::all().map_err(|error| refused(error).raise(py))?;
    serde_json::to_string(&all).map_err(|error| Failure::from(error).raise(py))
}

/// The encoder's files in the Hub's cache, fetched if need be.
fn fetch(spec: &EncoderSpec, files: &Files, watcher: &Watcher) -> Result<himacl::hub::Snapshot, Failure> {
    let hub = Hub::new(HubSettings::from_env()).map_err(|error| Failure::File(with_causes(&error)))?;
    let (total, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let observe = |event: himacl::hub::Event<'_>| match event {
        himacl::hub::Event::Started { done: already, total: all, .. } => {
            total.store(all.unwrap_or_default(), Relaxed);
            done.store(already, Relaxed);
        }
        himacl::hub::Event::Advanced(bytes) => {
            let done = done.fetch_add(bytes, Relaxed) + bytes;
            watcher.progress("fetch", done as usize, total.load(Relaxed) as usize);
        }
        himacl::hub::Event::Finished => {}
    };
    Ok(hub.fetch(&spec.repo, &spec.revision, files, &observe, &|| watcher.should_stop())?)
}
