//! Named arrays and facts as one safetensors file: little-endian values, the facts as JSON in the file's metadata.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fmt::Display;

/// The metadata key of the facts.
const FACTS: &str = "hiref";

/// One named array to be written.
pub(super) struct Array {
    name: &'static str,
    dtype: Dtype,
    len: usize,
    bytes: Vec<u8>,
}

impl Array {
    pub(super) fn u32(name: &'static str, values: &[u32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::U32, len: values.len(), bytes }
    }

    pub(super) fn f64(name: &'static str, values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::F64, len: values.len(), bytes }
    }
}

/// The file's bytes.
pub(super) fn encode(arrays: &[Array], facts: &impl Serialize) -> Vec<u8> {
    let facts = serde_json::to_string(facts).expect("plain numbers and names become JSON");
    let views = arrays.iter().map(|array| {
        let view =
            TensorView::new(array.dtype, vec![array.len], &array.bytes).expect("as many bytes as the shape says");
        (array.name, view)
    });
    safetensors::serialize(views, Some(HashMap::from([(FACTS.to_owned(), facts)]))).expect("names are distinct")
}

/// A file's arrays; what is wrong with one is said in words.
pub(super) struct Arrays<'a> {
    tensors: SafeTensors<'a>,
}

impl<'a> Arrays<'a> {
    /// Reads the header and the facts.
    pub(super) fn decode<F: DeserializeOwned>(bytes: &'a [u8]) -> Result<(Self, F), String> {
        let say = |error: &dyn Display| error.to_string();
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| say(&error))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| say(&error))?;
        let facts = header.metadata().as_ref().and_then(|metadata| metadata.get(FACTS));
        let facts = facts.ok_or_else(|| "it is some other file".to_owned())?;
        Ok((Self { tensors }, serde_json::from_str(facts).map_err(|error| say(&error))?))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    fn bytes(&self, name: &str, dtype: Dtype) -> Result<Vec<u8>, String> {
        let tensor = self.tensors.tensor(name).map_err(|error| error.to_string())?;
        if tensor.dtype() == dtype { Ok(tensor.data().to_vec()) } else { Err(format!("`{name}` is of another type")) }
    }

    pub(super) fn u32(&self, name: &str) -> Result<Vec<u32>, String> {
        let bytes = self.bytes(name, Dtype::U32)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    pub(super) fn f64(&self, name: &str) -> Result<Vec<f64>, String> {
        let bytes = self.bytes(name, Dtype::F64)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|word| f64::from_le_bytes(*word)).collect())
    }
}
