//! What a finished run leaves behind: the maps and the spaces in which they work.

use crate::align::{Preparation, PreparedMap};
use crate::error::Error;
use crate::map::{Tensors, TwoWayMap, decode, encode, unit_rows};
use candle_core::{Device, Tensor};
use himacl_data::files::{write_atomic, write_text};
use std::fs;
use std::path::Path;

/// The file of a run folder that holds the tensors.
const TENSORS: &str = "map.safetensors";
/// The file that describes them.
const DESCRIPTION: &str = "map.json";

/// The maps of a finished run and what prepares each side, as they are kept in its folder.
#[derive(Debug, Clone)]
pub struct Model(pub PreparedMap);

impl Model {
    /// Maps source rows, `(n, d)`, to unit rows of the target's prepared space, `(n, k)`; for a learnt cost, of the space
    /// in which both sides meet.
    ///
    /// # Errors
    /// Rows of another dimension than those trained on.
    pub fn forward(&self, source: &Tensor) -> candle_core::Result<Tensor> {
        unit_rows(&self.0.map.forward.apply(&self.0.source.apply(source)?)?)
    }

    /// Target rows, `(m, e)`, where they are compared with mapped sources, `(m, k)`.
    ///
    /// # Errors
    /// Rows of another dimension than those trained on.
    pub fn targets(&self, target: &Tensor) -> candle_core::Result<Tensor> {
        self.0.map.targets(&self.0.target.apply(target)?)
    }

    /// Maps target rows, `(m, e)`, to unit rows of the source's prepared space, `(m, k)`, where there is a map back.
    ///
    /// # Errors
    /// Rows of another dimension than those trained on.
    pub fn backward(&self, target: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let Some(map) = &self.0.map.backward else { return Ok(None) };
        unit_rows(&map.apply(&self.0.target.apply(target)?)?).map(Some)
    }

    /// Every tensor by name: `source.*`, `target.*`, `forward.*`, `backward.*`, `partner.*`.
    pub fn tensors(&self) -> Tensors {
        let mut tensors = self.0.map.tensors();
        for (side, preparation) in [("source", &self.0.source), ("target", &self.0.target)] {
            tensors.extend(preparation.tensors().into_iter().map(|(name, tensor)| (format!("{side}.{name}"), tensor)));
        }
        tensors
    }

    /// The inverse of [`Model::tensors`].
    ///
    /// # Errors
    /// A missing tensor.
    pub fn from_tensors(tensors: &Tensors) -> candle_core::Result<Self> {
        let side = |prefix: &str| -> Tensors {
            tensors
                .iter()
                .filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone())))
                .collect()
        };
        Ok(Self(PreparedMap {
            source: Preparation::from_tensors(&side("source."))?,
            target: Preparation::from_tensors(&side("target."))?,
            map: TwoWayMap::from_tensors(tensors)?,
        }))
    }

    /// The bytes of `map.safetensors`.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn to_bytes(&self) -> candle_core::Result<Vec<u8>> {
        encode(&self.tensors())
    }

    /// The inverse of [`Model::to_bytes`].
    ///
    /// # Errors
    /// Bytes that hold something else.
    pub fn from_bytes(bytes: &[u8]) -> candle_core::Result<Self> {
        Self::from_tensors(&decode(bytes)?)
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
            "kind": self.0.map.forward.kind(),
            "inverse": self.0.map.backward.is_some(),
            "learned_cost": self.0.map.partner.is_some(),
            "tensors": shapes,
        });
        let bytes = self.to_bytes()?;
        write_atomic(&folder.join(TENSORS), |file| file.write_all(&bytes))?;
        Ok(write_text(&folder.join(DESCRIPTION), &format!("{description:#}\n"))?)
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
        let mut tensors = decode(&bytes)?;
        for tensor in tensors.values_mut() {
            *tensor = tensor.to_device(device)?;
        }
        Ok(Self::from_tensors(&tensors)?)
    }
}

/// Names a run inside a folder without a map of its own.
fn no_finished_run(folder: &Path) -> Error {
    let inner = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    };
    let run = inner(folder).into_iter().flat_map(|problem| inner(&problem)).find(|run| run.join(TENSORS).is_file());
    Error::NoFinishedRun { path: folder.to_path_buf(), run }
}
