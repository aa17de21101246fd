//! What can go wrong on a device.

use std::fmt;

/// A failed allocation, copy, launch or product.
#[derive(Debug, Clone)]
pub struct Error {
    doing: String,
    reason: String,
}

impl Error {
    pub(crate) fn new(doing: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self { doing: doing.into(), reason: reason.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} failed on the device: {}", self.doing, self.reason)
    }
}

impl std::error::Error for Error {}
