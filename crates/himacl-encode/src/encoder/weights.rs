//! Tensors of a model by name, from safetensors files.

use crate::error::EncoderError;
use crate::hub::{INDEX, WEIGHTS, nested_weights};
use candle_core::safetensors::{Load, MmapedSafetensors};
use candle_core::{DType, Device, Tensor, Var};
use safetensors::Dtype;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The name of the weights in a folder.
pub(super) const WHOLE: &str = WEIGHTS[0];

struct Source {
    tensors: MmapedSafetensors,
    names: BTreeSet<String>,
    device: Device,
    dtype: DType,
    variables: Option<Mutex<BTreeMap<String, Var>>>,
    read: Mutex<BTreeSet<String>>,
}

/// Endings of names in a block that no computation needs: counts of batches, tables that follow from the positions.
const NEEDLESS: [&str; 3] = ["num_batches_tracked", "position_ids", "inv_freq"];

/// Names of a norm's tensors, and those that TensorFlow's models brought along.
const OLD_NAMES: [(&str, &str); 2] = [("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")];

/// The tensors whose names begin with a prefix.
#[derive(Clone)]
pub(super) struct Weights {
    source: Arc<Source>,
    prefix: String,
}

impl Weights {
    /// Maps the files of a folder. With `trainable`, tensors are variables, and operations on them keep gradients.
    pub(super) fn open(folder: &Path, device: &Device, dtype: DType, trainable: bool) -> Result<Self, EncoderError> {
        let paths = files(folder)?;
        // SAFETY: the map is only read. The cache replaces files and never writes into one; a folder of the user's that another
        // process shortens meanwhile ends this process with a bus error: the documented hazard of mapped input.
        let tensors = unsafe { MmapedSafetensors::multi(&paths) };
        let path = paths.into_iter().next().unwrap_or_else(|| folder.join(WHOLE));
        let tensors = tensors.map_err(|source| EncoderError::Weights { path, source })?;
        let names = tensors.tensors().into_iter().map(|(name, _)| name).collect();
        let variables = trainable.then(Mutex::default);
        let source = Source { tensors, names, device: device.clone(), dtype, variables, read: Mutex::default() };
        Ok(Self { source: Arc::new(source), prefix: String::new() })
    }

    /// Bytes that all numbers take in memory once they are read, apart from what a device holds.
    pub(super) fn bytes_in_memory(&self) -> u64 {
        if !self.source.device.is_cpu() {
            return 0;
        }
        let numbers = self.source.tensors.tensors().into_iter().map(|(_, view)| view.shape().iter().product::<usize>());
        (numbers.sum::<usize>() * self.source.dtype.size_in_bytes()) as u64
    }

    /// Those below a name.
    pub(super) fn at(&self, name: impl std::fmt::Display) -> Self {
        Self { source: Arc::clone(&self.source), prefix: format!("{}{name}.", self.prefix) }
    }

    /// Those below a name if there are any, else all: some repositories save the model inside another one.
    pub(super) fn at_if_there(&self, name: &str) -> Self {
        let below = self.at(name);
        if below.has_any() { below } else { self.clone() }
    }

    /// Whether there are any.
    pub(super) fn has_any(&self) -> bool {
        let first = self.source.names.range(self.prefix.clone()..).next();
        first.is_some_and(|found| found.starts_with(&self.prefix))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.source.names.contains(&self.stored(name))
    }

    /// What a tensor is called in the files: scales and shifts of BERT's norms have other names in old ones.
    fn stored(&self, name: &str) -> String {
        let full = format!("{}{name}", self.prefix);
        let old = OLD_NAMES.iter().find_map(|(new, old)| Some(format!("{}{old}", full.strip_suffix(new)?)));
        match old {
            Some(old) if !self.source.names.contains(&full) && self.source.names.contains(&old) => old,
            _ => full,
        }
    }

    /// A tensor that training changes.
    pub(super) fn get(&self, name: &str) -> Result<Tensor, EncoderError> {
        let Some(variables) = &self.source.variables else { return self.constant(name) };
        let full = self.stored(name);
        let mut variables = variables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(variable) = variables.get(&full) {
            return Ok(variable.as_tensor().clone());
        }
        let variable = Var::from_tensor(&self.constant(name)?)?;
        let tensor = variable.as_tensor().clone();
        variables.insert(full, variable);
        Ok(tensor)
    }

    /// A tensor that training leaves alone.
    pub(super) fn constant(&self, name: &str) -> Result<Tensor, EncoderError> {
        let name = self.stored(name);
        let view = self.source.tensors.get(&name)?;
        // Numbers of other types stand for something else: a scale or a table would have to be applied.
        if !matches!(view.dtype(), Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64) {
            let message = format!("tensor `{name}` has type {:?}, expected F16, BF16, F32 or F64", view.dtype());
            return Err(candle_core::Error::Msg(message).into());
        }
        let tensor = view.load(&self.source.device)?.to_dtype(self.source.dtype)?;
        self.source.read.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        Ok(tensor)
    }

    /// A vector of whole numbers from 0.
    pub(super) fn integers(&self, name: &str) -> Result<Vec<u32>, EncoderError> {
        let name = format!("{}{name}", self.prefix);
        let view = self.source.tensors.get(&name)?;
        if !matches!(view.dtype(), Dtype::I32 | Dtype::I64 | Dtype::U32) {
            let message = format!("tensor `{name}` has type {:?}, expected I32, I64 or U32", view.dtype());
            return Err(candle_core::Error::Msg(message).into());
        }
        let numbers = view.load(&Device::Cpu)?.to_dtype(DType::I64)?.to_vec1::<i64>()?;
        let whole = |number: i64| {
            u32::try_from(number)
                .map_err(|_| candle_core::Error::Msg(format!("tensor `{name}` has {number}, expected 0 to 2^32")))
        };
        Ok(numbers.into_iter().map(whole).collect::<candle_core::Result<_>>()?)
    }

    /// A tensor of a numbered block that was not read, though others of the same block were: the model computes more than
    /// what was made of it.
    pub(super) fn unread(&self) -> Option<&str> {
        let read = self.source.read.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks: BTreeSet<&str> = read.iter().filter_map(|name| block(name)).collect();
        let is_forgotten = |name: &&str| {
            let is_needless = NEEDLESS.iter().any(|ending| name.ends_with(ending));
            !is_needless && !read.contains(*name) && block(name).is_some_and(|block| blocks.contains(block))
        };
        self.source.names.iter().map(String::as_str).find(is_forgotten)
    }

    pub(super) fn is_trainable(&self) -> bool {
        self.source.variables.is_some()
    }

    pub(super) fn maybe(&self, name: &str) -> Result<Option<Tensor>, EncoderError> {
        self.has(name).then(|| self.get(name)).transpose()
    }

    pub(super) fn device(&self) -> &Device {
        &self.source.device
    }

    pub(super) fn dtype(&self) -> DType {
        self.source.dtype
    }

    /// Every variable that was read so far, by name.
    pub(super) fn variables(&self) -> BTreeMap<String, Var> {
        let Some(variables) = &self.source.variables else { return BTreeMap::new() };
        variables.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The part of a name up to its first number: `encoder.layer.3`.
fn block(name: &str) -> Option<&str> {
    let mut end = 0;
    for part in name.split('.') {
        end += part.len();
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(&name[..end]);
        }
        end += 1;
    }
    None
}

/// The weights of a folder: one file, or the parts that an index lists.
///
/// # Errors
/// [`EncoderError::File`] for an index that cannot be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, EncoderError> {
    let whole = folder.join(WHOLE);
    let index = folder.join(INDEX);
    if whole.exists() || !index.exists() {
        let found = WEIGHTS.into_iter().map(|name| folder.join(name)).find(|path| path.exists());
        let nested = if found.is_none() { nested_weights(folder) } else { Vec::new() };
        return Ok(if nested.is_empty() { vec![found.unwrap_or(whole)] } else { nested });
    }
    let wrong = |reason: String| EncoderError::File { path: index.clone(), reason };
    let text = std::fs::read_to_string(&index).map_err(|error| wrong(error.to_string()))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let map = json.get("weight_map").and_then(serde_json::Value::as_object);
    let map = map.ok_or_else(|| wrong("there is no `weight_map`".to_owned()))?;
    let names: BTreeSet<&str> = map.values().filter_map(serde_json::Value::as_str).collect();
    // A name with a folder in it could lead anywhere.
    if let Some(name) = names.iter().find(|name| name.contains(['/', '\\'])) {
        return Err(wrong(format!("`{name}` is not a file of this folder")));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    #[test]
    fn norms_of_old_models_are_found_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<[u8; 4]> = [1.5f32, 2.5, 3.5].map(f32::to_le_bytes).to_vec();
        let view = |at: usize| TensorView::new(Dtype::F32, vec![1], &bytes[at]).unwrap();
        let tensors = [("a.0.LayerNorm.gamma", view(0)), ("a.0.LayerNorm.beta", view(1)), ("a.0.x.weight", view(2))];
        std::fs::write(folder.path().join(WHOLE), safetensors::serialize(tensors, None).unwrap()).unwrap();
        let weights = Weights::open(folder.path(), &Device::Cpu, DType::F32, false).unwrap();
        let norm = weights.at("a.0.LayerNorm");
        assert!(norm.has("weight") && norm.has("bias") && !weights.at("a.0.x").has("bias"));
        let value = |weights: &Weights, name: &str| weights.get(name).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!([value(&norm, "weight"), value(&norm, "bias")], [[1.5], [2.5]]);
        assert_eq!(weights.unread(), Some("a.0.x.weight"), "the others were read");
        assert_eq!(value(&weights.at("a.0.x"), "weight"), [3.5]);
        assert_eq!(weights.unread(), None);
        // What is trained is saved by the names that the files have.
        let trained = Weights::open(folder.path(), &Device::Cpu, DType::F32, true).unwrap();
        assert_eq!(value(&trained.at("a.0.LayerNorm"), "weight"), [1.5]);
        assert_eq!(trained.variables().into_keys().collect::<Vec<_>>(), ["a.0.LayerNorm.gamma"]);
    }
}
