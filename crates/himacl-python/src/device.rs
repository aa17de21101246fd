//! The device that a call runs on.

use crate::errors::Failure;
use candle_core::Device;

/// `auto`, `cpu`, `cuda` or `cuda:N`; `auto` falls back to the CPU.
pub(crate) fn open_device(name: &str) -> Result<Device, Failure> {
    let cuda = |ordinal| Device::new_cuda(ordinal);
    match name {
        "auto" if cfg!(feature = "cuda") => Ok(cuda(0).unwrap_or(Device::Cpu)),
        "auto" | "cpu" => Ok(Device::Cpu),
        other => {
            let ordinal = match other.strip_prefix("cuda") {
                Some("") => Some(0),
                Some(rest) => rest.strip_prefix(':').and_then(|ordinal| ordinal.parse().ok()),
                None => None,
            };
            let expected = || Failure::Input(format!("device is `{other}`, expected auto, cpu, cuda or cuda:N"));
            cuda(ordinal.ok_or_else(expected)?).map_err(|error| {
                Failure::Input(format!(
                    "device `{other}` is not available: {error}\nhint: device=\"cpu\", or device=\"auto\" to fall back by itself"
                ))
            })
        }
    }
}
