//! The crate's error: lower case, quantity + expected + got + where, the hint on its own line.

use std::io;
use std::path::{Path, PathBuf};

/// Why an alignment or a training run could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error(transparent)]
    Data(#[from] himacl_data::Error),
    /// An encoder cannot be had, or not be used.
    #[error(transparent)]
    Encode(himacl_encode::Error),
    /// The solver refused the problem.
    #[error(transparent)]
    Solver(#[from] hiref_core::Error),
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// An alignment was refused.
    #[error(transparent)]
    Align(#[from] crate::align::AlignError),
    /// A map cannot be fitted.
    #[error(transparent)]
    Fit(#[from] crate::map::FitError),
    /// A recipe was refused.
    #[error(transparent)]
    Recipe(#[from] crate::train::RecipeError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] crate::train::CheckpointError),
    /// An encoder cannot be trained.
    #[error(transparent)]
    EncoderTraining(#[from] crate::train::EncoderTrainingError),
    /// The work would need more memory than allowed.
    #[error("this run needs about {:.2} GiB of memory, --max-memory allows {:.2} GiB\nhint: pair fewer rows, or raise the limit", gib(*estimate), gib(*limit))]
    Memory {
        /// Bytes estimated.
        estimate: u64,
        /// Bytes allowed.
        limit: u64,
    },
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
    #[error("anchor {position} of `{}` pairs rows {source_row} and {target_row}: {problem}", path.display())]
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
    /// A file of known pairs that cannot be read.
    #[error("anchors `{}` cannot be read: {source}\nhint: expected a .npy file of integers, one row (source row, target row) for each known pair", path.display())]
    Anchors {
        /// The anchors' file.
        path: PathBuf,
        /// The reader's answer.
        source: candle_core::Error,
    },
    /// A regime that needs anchors got none.
    #[error(
        "alignment.mode = \"anchors\" needs known pairs, but `data.anchors` names none\nhint: set data.anchors to a .npy file of rows (source, target), or use mode = \"unpaired\" or \"shared-space\""
    )]
    NoAnchors,
    /// A training run that is not finished, or several in one folder.
    #[error("`{}` holds no finished run (no map.safetensors)\nhint: {hint}", path.display())]
    NoFinishedRun {
        /// The folder.
        path: PathBuf,
        /// What to do.
        hint: String,
    },
}

impl From<himacl_encode::Error> for Error {
    fn from(error: himacl_encode::Error) -> Self {
        match error {
            himacl_encode::Error::Data(error) => Self::Data(error),
            himacl_encode::Error::Tensor(error) => Self::Tensor(error),
            error => Self::Encode(error),
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
    /// Wraps a system error: `map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let wrap = himacl_data::Error::io(action, path);
        move |source| wrap(source).into()
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
