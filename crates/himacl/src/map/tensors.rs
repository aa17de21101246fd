//! Tensors by name, and the files that hold them.

use candle_core::{Device, Result, Tensor};
use std::collections::BTreeMap;

/// Tensors by name, in a fixed order.
pub type Tensors = BTreeMap<String, Tensor>;

/// The bytes of a safetensors file.
///
/// # Errors
/// A failed tensor operation.
pub(crate) fn encode(tensors: &Tensors) -> Result<Vec<u8>> {
    let host = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.as_str(), tensor.to_device(&Device::Cpu)?)))
        .collect::<Result<Vec<(&str, Tensor)>>>()?;
    safetensors::serialize(host, None).map_err(candle_core::Error::wrap)
}

/// The tensors of a safetensors file, on the CPU.
///
/// # Errors
/// Bytes that are not such a file.
pub(crate) fn decode(bytes: &[u8]) -> Result<Tensors> {
    Ok(candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?.into_iter().collect())
}
