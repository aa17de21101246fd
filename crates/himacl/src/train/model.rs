//! What a finished run leaves behind: the maps and the spaces in which they work.

use super::stand_in::Space;
use crate::error::Error;
use crate::files::{write_atomic, write_text};
use crate::map::{Tensors, TwoWayMap, unit_rows};
use candle_core::{Device, Tensor};
use std::fs;
use std::path::Path;

/// The file of a run folder that holds the tensors.
const TENSORS: &str = "map.safetensors";
/// The file that describes them.
const DESCRIPTION: &str = "map.json";

/// The maps between two spaces of embeddings, with the preparation of each side.
#[derive(Debug, Clone)]
pub struct Model {
    /// Prepares source embeddings.
    pub source: Space,
    /// Prepares target embeddings.
    pub target: Space,
    /// Maps prepared sources to prepared targets, and back where there is a map back.
    pub map: TwoWayMap,
}

impl Model {
    /// Both sides, `(n, d)` and `(m, e)`, in joint coordinates whose inner products are the scores.
    ///
    /// # Errors
    /// Rows of other dimensions than those trained on.
    pub fn joint(&self, source: &Tensor, target: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        self.map.joint(&self.source.apply(source)?, &self.target.apply(target)?)
    }

    /// Maps source rows, `(n, d)`, to unit rows of the target's space, `(n, k)`.
    ///
    /// # Errors
    /// Rows of another dimension than those trained on.
    pub fn forward(&self, source: &Tensor) -> candle_core::Result<Tensor> {
        unit_rows(&self.map.forward.apply(&self.source.apply(source)?)?)
    }

    /// Maps target rows, `(m, e)`, to unit rows of the source's space, `(m, k)`, where there is a map back.
    ///
    /// # Errors
    /// Rows of another dimension than those trained on.
    pub fn backward(&self, target: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let Some(map) = &self.map.backward else { return Ok(None) };
        unit_rows(&map.apply(&self.target.apply(target)?)?).map(Some)
    }

    /// Every tensor by name: `source.*`, `target.*`, `forward.*`, `backward.*`.
    pub fn tensors(&self) -> Tensors {
        let mut tensors = self.map.tensors();
        for (side, space) in [("source", &self.source), ("target", &self.target)] {
            tensors.extend(space.tensors().into_iter().map(|(name, tensor)| (format!("{side}.{name}"), tensor)));
        }
        tensors
    }

    /// The inverse of [`Model::tensors`].
    ///
    /// # Errors
    /// A missing tensor.
    pub fn from_tensors(tensors: &Tensors) -> candle_core::Result<Self> {
        let side = |prefix: &str| -> Tensors {
            tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))).collect()
        };
        Ok(Self {
            source: Space::from_tensors(&side("source."))?,
            target: Space::from_tensors(&side("target."))?,
            map: TwoWayMap::from_tensors(tensors)?,
        })
    }

    /// Writes `map.safetensors` and `map.json` into a run folder.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        let tensors = self.tensors();
        let shapes: serde_json::Map<String, serde_json::Value> =
            tensors.iter().map(|(name, tensor)| (name.clone(), tensor.dims().into())).collect();
        let description = serde_json::json!({
            "format": 1,
            "kind": self.map.forward.kind(),
            "inverse": self.map.backward.is_some(),
            "tensors": shapes,
        });
        let bytes = super::checkpoint::encode(&tensors)?;
        write_atomic(&folder.join(TENSORS), |file| file.write_all(&bytes))?;
        write_text(&folder.join(DESCRIPTION), &format!("{description:#}\n"))
    }

    /// Reads the model of a finished run.
    ///
    /// # Errors
    /// A folder without a finished run, or a damaged file.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, Error> {
        let path = folder.join(TENSORS);
        if !path.is_file() {
            return Err(no_finished_run(folder));
        }
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let mut tensors = super::checkpoint::decode(&bytes)?;
        for tensor in tensors.values_mut() {
            *tensor = tensor.to_device(device)?;
        }
        Ok(Self::from_tensors(&tensors)?)
    }
}

/// Says what to do about a folder without a map.
fn no_finished_run(folder: &Path) -> Error {
    let inner = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    };
    let runs = inner(folder).into_iter().flat_map(|problem| inner(&problem)).find(|run| run.join(TENSORS).is_file());
    let hint = match runs {
        Some(run) => format!("name one of its runs, such as `{}`", run.display()),
        None => "finish it with `himacl train --resume`".to_owned(),
    };
    Error::NoFinishedRun { path: folder.to_path_buf(), hint }
}
