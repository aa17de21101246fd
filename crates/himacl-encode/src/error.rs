//! The crate's error.

use std::io;
use std::path::Path;

/// Why a dataset could not be embedded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    Data(#[from] himacl_data::Error),
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// The Hub, or its cache, has not what is needed.
    #[error(transparent)]
    Hub(#[from] crate::hub::HubError),
    /// A dataset cannot be read.
    #[error(transparent)]
    Read(#[from] crate::readers::ReadError),
    /// An encoder cannot be loaded or used.
    #[error(transparent)]
    Encoder(Box<crate::encoder::EncoderError>),
    /// A dataset cannot be embedded.
    #[error(transparent)]
    Embed(#[from] crate::embed::EmbedError),
}

impl From<crate::encoder::EncoderError> for Error {
    fn from(error: crate::encoder::EncoderError) -> Self {
        Self::Encoder(Box::new(error))
    }
}

impl Error {
    /// Wraps a system error: `map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let wrap = himacl_data::Error::io(action, path);
        move |source| wrap(source).into()
    }
}
