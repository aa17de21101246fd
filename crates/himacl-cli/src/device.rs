//! `--device`: what the user asks for, and the device that gives.

use crate::error::Error;
use candle_core::Device;
use std::fmt;
use std::str::FromStr;

/// The value of `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    /// The first CUDA device if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with this ordinal, or an error.
    Cuda(usize),
}

impl DeviceChoice {
    /// Opens the device; the second value is a line for the user where `auto` fell back.
    pub(crate) fn open(self) -> Result<(Device, Option<String>), Error> {
        match self {
            Self::Cpu => Ok((Device::Cpu, None)),
            Self::Cuda(ordinal) => match cuda(ordinal) {
                Ok(device) => Ok((device, None)),
                Err(reason) => Err(Error::Device { requested: self.to_string(), reason }),
            },
            Self::Auto => match cuda(0) {
                Ok(device) => Ok((device, None)),
                Err(reason) => Ok((Device::Cpu, Some(format!("using the CPU: {reason}")))),
            },
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(ordinal) => write!(formatter, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|ordinal| ordinal.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "expected auto, cpu, cuda or cuda:N".to_owned()),
        }
    }
}

/// The name of an open device, as `--device` takes it.
pub(crate) fn device_name(device: &Device) -> String {
    match device.location() {
        candle_core::DeviceLocation::Cpu => "cpu".to_owned(),
        candle_core::DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        candle_core::DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

fn cuda(ordinal: usize) -> Result<Device, String> {
    if !candle_core::utils::cuda_is_available() {
        return Err("this build has no CUDA support".to_owned());
    }
    // A stream of its own: the default one differs from thread to thread.
    Device::new_cuda_with_stream(ordinal).map_err(|error| reason(&error.to_string()))
}

/// The driver's answer in words, without its backtrace.
fn reason(error: &str) -> String {
    let known = [
        ("CUDA_ERROR_NO_DEVICE", "no NVIDIA driver or no GPU was found"),
        ("CUDA_ERROR_INVALID_DEVICE", "there is no GPU with this number"),
        ("CUDA_ERROR_OUT_OF_MEMORY", "the GPU has no free memory"),
        ("CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "the NVIDIA driver does not fit the kernel"),
        ("CUBLAS_STATUS_NOT_INITIALIZED", "the library libcublas.so.13 was not found"),
        ("CURAND_STATUS_INITIALIZATION_FAILED", "the library libcurand.so.10 was not found"),
    ];
    let line = error.lines().next().unwrap_or_default();
    let found = known.iter().find(|(name, _)| error.contains(name));
    found.map_or_else(|| line.to_owned(), |(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for wrong in ["gpu", "cuda:", "cuda:x", "CPU"] {
            assert!(wrong.parse::<DeviceChoice>().unwrap_err().contains("cuda:N"));
        }
    }

    #[test]
    fn drivers_speak_in_words() {
        let error = "DriverError(CUDA_ERROR_NO_DEVICE, \"no CUDA-capable device is detected\")\n  0: backtrace";
        assert_eq!(reason(error), "no NVIDIA driver or no GPU was found");
        assert_eq!(reason("something else\n  0: backtrace"), "something else");
    }

    #[test]
    fn only_auto_falls_back() {
        if Device::new_cuda_with_stream(0).is_ok() {
            println!("skipped: this machine has a GPU");
            return;
        }
        let (device, note) = DeviceChoice::Auto.open().unwrap();
        assert_eq!((device_name(&device).as_str(), note.is_some()), ("cpu", true));
        assert!(matches!(DeviceChoice::Cuda(1).open(), Err(Error::Device { requested, .. }) if requested == "cuda:1"));
    }
}
