//! The crate's error: lower case, quantity + expected + got + where, the hint on its own line; and those of training.

mod checkpoint;
mod encoder_training;
mod recipe;

pub use checkpoint::CheckpointError;
pub use encoder_training::EncoderTrainingError;
pub use recipe::RecipeError;

use crate::align::AlignError;
use crate::map::FitError;
use himacl_data::ErrorKind;
use std::io;
use std::path::{Path, PathBuf};

/// Why an alignment or a training run could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    Data(#[from] himacl_data::Error),
    /// An encoder cannot be had, or not be used.
    #[error(transparent)]
    Encode(Box<himacl_encode::Error>),
    /// The solver refused the problem.
    #[error(transparent)]
    Solver(#[from] hiref_core::Error),
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// An alignment was refused.
    #[error(transparent)]
    Align(#[from] AlignError),
    /// A map cannot be fitted.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// A recipe was refused.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// An encoder cannot be trained.
    #[error(transparent)]
    EncoderTraining(#[from] EncoderTrainingError),
    /// A recipe asks for more items than the data has.
    #[error("`{key}` asks for {asked} items, but there are only {available} {of}")]
    TooFewItems {
        /// The recipe's key.
        key: &'static str,
        /// How many it asks for.
        asked: usize,
        /// How many there are.
        available: usize,
        /// Of what.
        of: &'static str,
    },
    /// Two sides that should correspond row by row do not.
    #[error("`{}` has {source_rows} rows and `{}` has {target_rows}: {why}, so both need the same number", source_path.display(), target_path.display())]
    NotPaired {
        /// The source side.
        source_path: PathBuf,
        /// Its rows.
        source_rows: usize,
        /// The target side.
        target_path: PathBuf,
        /// Its rows.
        target_rows: usize,
        /// Why they must correspond.
        why: &'static str,
    },
    /// Known pairs that do not fit the data.
    #[error("anchor {position} of `{}` pairs rows {source_row} and {target_row}: {problem}\nhint: two rows, of the source and of the target, counted from 0, each in one pair at most", path.display())]
    Anchor {
        /// The anchors' file.
        path: PathBuf,
        /// Its row.
        position: usize,
        /// The source row named there.
        source_row: i64,
        /// The target row named there.
        target_row: i64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A regime that needs anchors got none.
    #[error(
        "alignment.mode = \"anchors\" needs known pairs, but `data.anchors` names none\nhint: set data.anchors to a file of rows (source, target), .npy or .csv, or use mode = \"unpaired\" or \"shared-space\""
    )]
    NoAnchors,
    /// A training run that is not finished, or several in one folder.
    #[error("`{}` holds no finished run (no map.safetensors){}", path.display(), example(run.as_deref()))]
    NoFinishedRun {
        /// The folder.
        path: PathBuf,
        /// A finished run inside it.
        run: Option<PathBuf>,
    },
}

impl From<himacl_encode::Error> for Error {
    fn from(error: himacl_encode::Error) -> Self {
        match error {
            himacl_encode::Error::Data(error) => Self::Data(error),
            himacl_encode::Error::Tensor(error) => Self::Tensor(error),
            error => Self::Encode(Box::new(error)),
        }
    }
}

/// Errors that reach this one through another.
macro_rules! through {
    ($($inner:ty),* => $outer:ty) => {
        $(impl From<$inner> for Error {
            fn from(error: $inner) -> Self {
                <$outer>::from(error).into()
            }
        })*
    };
}

through!(toml::ser::Error => himacl_data::Error);
through!(himacl_encode::hub::HubError, himacl_encode::readers::ReadError => himacl_encode::Error);
through!(himacl_encode::encoder::EncoderError, himacl_encode::embed::EmbedError => himacl_encode::Error);

impl Error {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Data(error) => error.kind(),
            Self::Encode(error) => error.kind(),
            Self::Solver(error) | Self::Align(AlignError::Solver(error)) => of_solver(error),
            Self::Align(AlignError::Interrupted) | Self::Fit(FitError::Interrupted) => ErrorKind::Interrupted,
            Self::Tensor(_) | Self::Align(AlignError::Tensor(_)) => ErrorKind::Device,
            Self::Checkpoint(CheckpointError::File { .. }) => ErrorKind::Io,
            Self::EncoderTraining(EncoderTrainingError::Memory { .. }) => ErrorKind::Memory,
            _ => ErrorKind::InvalidInput,
        }
    }

    /// Wraps a system error: `map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let wrap = himacl_data::Error::io(action, path);
        move |source| wrap(source).into()
    }
}

fn of_solver(error: &hiref_core::Error) -> ErrorKind {
    match error.kind() {
        hiref_core::ErrorKind::Interrupted => ErrorKind::Interrupted,
        hiref_core::ErrorKind::Device => ErrorKind::Device,
        _ => ErrorKind::InvalidInput,
    }
}

fn example(run: Option<&Path>) -> String {
    run.map_or_else(String::new, |run| format!("\nhint: name one of its runs, such as `{}`", run.display()))
}
