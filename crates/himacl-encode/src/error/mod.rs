//! The crate's errors: each module's own, and the one that holds them all.

mod embed;
mod encoder;
mod hub;
mod readers;

pub use embed::EmbedError;
pub use encoder::EncoderError;
pub use hub::HubError;
pub use readers::ReadError;
pub(crate) use readers::list;

use himacl_data::ErrorKind;
use std::io;
use std::path::Path;

/// Why a dataset could not be embedded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    Data(#[from] himacl_data::Error),
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// The Hub, or its cache, has not what is needed.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A dataset cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An encoder cannot be loaded or used.
    #[error(transparent)]
    Encoder(Box<EncoderError>),
    /// A dataset cannot be embedded.
    #[error(transparent)]
    Embed(#[from] EmbedError),
}

impl From<EncoderError> for Error {
    fn from(error: EncoderError) -> Self {
        Self::Encoder(Box::new(error))
    }
}

impl Error {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Data(error) => error.kind(),
            Self::Tensor(_) => ErrorKind::Device,
            Self::Hub(HubError::Interrupted) | Self::Embed(EmbedError::Interrupted) => ErrorKind::Interrupted,
            Self::Hub(
                HubError::Network { .. }
                | HubError::Status { .. }
                | HubError::Truncated { .. }
                | HubError::Checksum { .. }
                | HubError::Protocol { .. },
            )
            | Self::Read(ReadError::Unreachable(_)) => ErrorKind::Network,
            Self::Encoder(error) if matches!(**error, EncoderError::Tensor(_)) => ErrorKind::Device,
            _ => ErrorKind::InvalidInput,
        }
    }

    /// What the client of the Hub says, in words for datasets: they lie in no cache, and have no folder in the place of one.
    pub(crate) fn of_dataset(self) -> Self {
        match self {
            Self::Hub(error @ (HubError::Network { .. } | HubError::Truncated { .. } | HubError::Protocol { .. })) => {
                ReadError::Unreachable(Box::new(error)).into()
            }
            other => other,
        }
    }

    /// Wraps a system error: `map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let wrap = himacl_data::Error::io(action, path);
        move |source| wrap(source).into()
    }
}
