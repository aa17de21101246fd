//! The crate's error: lower case, got + expected + where, the hint on its own line.

use std::io;
use std::path::{Path, PathBuf};

/// Why sets could not be paired from files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Files could not be read or written.
    #[error(transparent)]
    Data(#[from] himacl_data::Error),
    /// The solver refused a block.
    #[error(transparent)]
    Solver(hiref_core::Error),
    /// Nothing sensible fits the memory allowed.
    #[error(
        "{:.0} MiB of memory are allowed, expected at least {:.0} MiB to pair {dimension} coordinates with {threads} threads from files\n\
         hint: allow more, or use fewer threads",
        mib(*limit), mib(*needed)
    )]
    TooLittleMemory {
        /// Bytes allowed.
        limit: u64,
        /// Bytes needed for the smallest blocks.
        needed: u64,
        /// Coordinates of a point.
        dimension: usize,
        /// Threads that work at a time.
        threads: usize,
    },
    /// The disk has not enough room.
    #[error(
        "no space for the temporary files in `{}`: {:.1} MiB are free, this run needs about {:.1} MiB\n\
         hint: choose a folder on another disk for them",
        path.display(), mib(*free), mib(*needed)
    )]
    DiskTooSmall {
        /// The folder for temporary files.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// More rows than indices can name.
    #[error("{rows} rows a side, expected at most {}", u32::MAX - 1)]
    TooManyRows {
        /// Rows found.
        rows: usize,
    },
    /// An input that cannot be read in parts.
    #[error("`{}` is compressed: it can only be read as a whole\nhint: `unzip {} {key}.npy` makes a file that can be read in parts", path.display(), path.display())]
    Packed {
        /// The archive.
        path: PathBuf,
        /// The array in it.
        key: String,
    },
    /// The sides live in spaces of different dimension.
    #[error("x has {x} coordinates and y has {y}: the cost needs the same space")]
    DimensionMismatch {
        /// Coordinates of x.
        x: usize,
        /// Coordinates of y.
        y: usize,
    },
    /// A temporary file is not what a task wrote.
    #[error("`{}` is damaged: {what}\nhint: remove the folder of temporary files and start over", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A task that the present step does not have.
    #[error("there is no task {task} of step `{step}`, expected one below {tasks}")]
    NoSuchTask {
        /// The step's name.
        step: String,
        /// The task asked for.
        task: usize,
        /// Tasks of the step.
        tasks: usize,
    },
    /// A name that is no step.
    #[error("there is no step `{0}`")]
    NoSuchStep(String),
    /// The work was asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl From<hiref_core::Error> for Error {
    /// A solver that was asked to stop is no refusal: the job goes on from where it was.
    fn from(error: hiref_core::Error) -> Self {
        match error {
            hiref_core::Error::Interrupted => Self::Interrupted,
            other => Self::Solver(other),
        }
    }
}

impl Error {
    /// Wraps a system error: `map_err(Error::io("read", path))`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Data(himacl_data::Error::Io { action, path, source })
    }

    pub(crate) fn broken(path: &Path, what: impl Into<String>) -> Self {
        Self::Broken { path: path.to_path_buf(), what: what.into() }
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
