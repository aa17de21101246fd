//! The crate's error: lower case, quantity + expected + got + where, the hint on its own line.

use crate::hints;
use hiref_core::Side;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The library's error in words of this command line, with the library's own causes.
#[derive(Debug)]
pub struct LibraryError(Box<himacl::Error>);

impl fmt::Display for LibraryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hints::with_flags(&self.0))
    }
}

impl StdError for LibraryError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// An error of files that were fetched, told by their addresses.
#[derive(Debug)]
pub struct FetchedError {
    told: String,
    error: Box<Error>,
}

impl FetchedError {
    pub(crate) fn new(told: String, error: Error) -> Self {
        Self { told, error: Box::new(error) }
    }
}

impl fmt::Display for FetchedError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.told)
    }
}

impl StdError for FetchedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

/// An error of a run from files to files in words of this command line, with its own causes.
#[derive(Debug)]
pub struct ExternalError(pub(crate) hiref_external::Error);

impl fmt::Display for ExternalError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hints::external(&self.0))
    }
}

impl StdError for ExternalError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library could not do it.
    #[error(transparent)]
    Library(LibraryError),
    /// Files that were fetched are not what is needed.
    #[error(transparent)]
    Fetched(FetchedError),
    /// The disk has not enough room for what is to be fetched.
    #[error(
        "no space for what is to be fetched in `{}`: {:.1} MiB are free, {:.1} MiB are still to come\nhint: {}",
        path.display(),
        mib(*free),
        mib(*needed),
        if *is_cache { "HF_HUB_CACHE names the folder of the Hub's cache" } else { "--work-dir names a folder on another disk" }
    )]
    NoRoomToFetch {
        /// The folder.
        path: PathBuf,
        /// Bytes free there.
        free: u64,
        /// Bytes needed.
        needed: u64,
        /// Whether it is the Hub's cache.
        is_cache: bool,
    },
    /// The disk has not enough room for the results.
    #[error(
        "no space for the results in `{}`: {:.1} MiB are free, they take {:.1} MiB at least\n\
         hint: free some space, or write elsewhere", path.display(), mib(*free), mib(*needed)
    )]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// Bytes free there.
        free: u64,
        /// Bytes that the results take at least.
        needed: u64,
    },
    /// The work would need more memory than allowed.
    #[error(
        "this run needs about {:.2} GiB of memory, --max-memory allows {:.2} GiB\nhint: --max-memory {}MiB is enough{}",
        gib(*estimate), gib(*limit), estimate.div_ceil(1 << 20),
        if *from_files { " for the smallest blocks" } else { ", or pair fewer rows" }
    )]
    Memory {
        /// Bytes estimated.
        estimate: u64,
        /// Bytes allowed.
        limit: u64,
        /// Whether it is paired from files to files.
        from_files: bool,
    },
    /// Pairing from files failed.
    #[error(transparent)]
    External(ExternalError),
    /// A comparison solver was asked to stop.
    #[error(
        "interrupted: {0} keeps nothing of a run that is not complete\nhint: --time-limit ends it with what it has"
    )]
    ComparisonInterrupted(&'static str),
    /// A pairing whose points are not known.
    #[error(
        "`{}` {}, so there is nothing to look at\nhint: {}", folder.display(),
        if *given_costs { "holds a matching of given costs, without points" } else { "does not say of which points it is: it has no config.toml" },
        if *given_costs { "`himacl pair --x ... --y ...` pairs points; pairs.parquet has the pairs" } else {
            "name a folder that `himacl pair` wrote; of a pairing made in Python, himacl.Explainer tells"
        }
    )]
    NoPoints {
        /// The folder.
        folder: PathBuf,
        /// Whether it was made by --cost-matrix or --candidates.
        given_costs: bool,
    },
    /// A row that a side does not have.
    #[error("row {row} of {side} is not there: {side} of `{}` has {rows} rows\nhint: rows are counted from 0", folder.display())]
    NoRow {
        /// The side.
        side: &'static str,
        /// The row.
        row: u32,
        /// How many there are.
        rows: usize,
        /// The pairing.
        folder: PathBuf,
    },
    /// Rows to be mapped that are of another space.
    #[error(
        "`{}` has {got} coordinates, expected {expected}: those of the {side} side of the run `{}`\nhint: {}", input.display(), run.display(),
        if *fits_other { "it fits the other side: --inverse maps the target's rows, --prepare-only leaves rows on their side" } else {
            "embed with the encoder that the run's side was embedded with"
        }
    )]
    ApplyDimension {
        /// The input.
        input: PathBuf,
        /// Its coordinates.
        got: usize,
        /// Those of the side.
        expected: usize,
        /// The side.
        side: &'static str,
        /// The run.
        run: PathBuf,
        /// Whether the input fits the other side.
        fits_other: bool,
    },
    /// Places to draw that are no places.
    #[error(
        "`{}` has {got} coordinates: places can be drawn in 3 at most\nhint: name a map of points of two or three coordinates, or leave --mapped out", path.display()
    )]
    MappedTooWide {
        /// The file.
        path: PathBuf,
        /// Its coordinates.
        got: usize,
    },
    /// The driver on Ray failed, and has said why.
    #[error(
        "the run on Ray did not come to its end\nhint: what it says above tells why; `pip install 'himacl[ray]'` installs what it needs, --resume goes on with the run"
    )]
    Ray,
    /// A run with addresses failed; the Python package's message.
    #[error("{}", hints::of_python(.0))]
    Store(String),
    /// An address where none is read.
    #[error(
        "{flag} is an address, `{}`: without a cluster {}",
        address.display(),
        if *is_side {
            "sets are read from s3://, https:// and hf://datasets/ alone\n\
             hint: --ray takes addresses of other stores, and himacl.ray.pair in Python does; or fetch the files first"
        } else {
            "--x and --y alone may be one\n\
             hint: --ray takes addresses, and himacl.ray.pair in Python does; or name a path on the disk"
        }
    )]
    Address {
        /// The flag.
        flag: &'static str,
        /// The address.
        address: PathBuf,
        /// Whether it is --x or --y, which may be addresses that are read.
        is_side: bool,
    },
    /// A flag that goes with addresses alone.
    #[error("{0} goes with addresses alone, such as `s3://bucket/x`")]
    NoAddress(&'static str),
    /// The two sides live in spaces of different dimension.
    #[error(
        "`{}` has {x} coordinates and `{}` has {y}: the cost needs the same space\n\
         hint: map one side into the other's space first (`himacl train` learns such a map)",
        x_path.display(), y_path.display()
    )]
    DimensionMismatch {
        /// The x input.
        x_path: PathBuf,
        /// Its coordinates.
        x: usize,
        /// The y input.
        y_path: PathBuf,
        /// Its coordinates.
        y: usize,
    },
    /// A pair that may not be names an item that there is not.
    #[error(
        "pair {position} of `{}` has the {side} index {value}, expected one from 0 below {limit}\n\
         hint: leave out the pairs of items that there are not", path.display()
    )]
    ForbiddenPair {
        /// The list.
        path: PathBuf,
        /// Position in it.
        position: usize,
        /// The side in question.
        side: Side,
        /// The row named.
        value: i64,
        /// Rows of that side.
        limit: usize,
    },
    /// Metadata lack a column that is needed.
    #[error("the metadata of `{}` have no column `{column}` of {expected}; they have: {}\nhint: name one of them{}", path.display(), names(got), if *expected == "categories" { ", or a .npy file with a category for each row" } else { "" })]
    NoColumn {
        /// The embeddings that they belong to.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// What it should hold.
        expected: &'static str,
        /// The columns there are, `name: type`.
        got: Vec<String>,
    },
    /// Neither side's metadata have a column to colour by.
    #[error(
        "no metadata have a column `{column}` of numbers or names to colour by; those of x have: {}; those of y have: {}\n\
         hint: --x-metadata and --y-metadata name tables beside embeddings",
        names(x),
        names(y)
    )]
    NoColour {
        /// The column's name.
        column: String,
        /// The columns of x, `name: type`.
        x: Vec<String>,
        /// Those of y.
        y: Vec<String>,
    },
    /// A row has no category.
    #[error("row {row} of the metadata of `{}` has no `{column}`, expected a category\nhint: give such rows a category of their own, or leave them out", path.display())]
    NoCategory {
        /// The embeddings that it belongs to.
        path: PathBuf,
        /// The column's name.
        column: String,
        /// The row.
        row: usize,
    },
    /// No category is on both sides.
    #[error(
        "x and y have no category in common, so nothing can be paired: x has {}, y has {}\nhint: categories are the same where they are written alike: check the columns and their types",
        x.join(", "),
        y.join(", ")
    )]
    NoCommonCategory {
        /// Some of the categories of x.
        x: Vec<String>,
        /// Some of those of y.
        y: Vec<String>,
    },
    /// A number of partners that is none.
    #[error("{flag} has `{got}`, expected whole numbers from 0, or a .npy file of such, one for each item")]
    Capacity {
        /// The flag.
        flag: &'static str,
        /// What is there.
        got: String,
    },
    /// A price of singles at which no pair is made.
    #[error(
        "--unmatched-cost is {price}, expected 0 or more: the cost {cost} is never negative, so no pair would be made\n\
         hint: two singles together cost so much; a pair that costs more is not made"
    )]
    NegativePrice {
        /// The price.
        price: f64,
        /// The cost.
        cost: hiref_core::CostKind,
    },
    /// Two flags of `pair` that cannot be had together.
    #[error("{first} and {second} cannot be had together\nhint: leave one of them out")]
    FlagsNotTogether {
        /// One flag.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A sample's id is none.
    #[error(
        "row {row} of the metadata of `{}` has the uid `{}`, expected 32 hexadecimal digits", path.display(), got.as_deref().unwrap_or("null")
    )]
    Uid {
        /// The embeddings that it belongs to.
        path: PathBuf,
        /// The row.
        row: usize,
        /// What is there.
        got: Option<String>,
    },
    /// A warm start for other sizes.
    #[error("warm start `{}` has {got} entries, expected {expected} (the rows of x)", path.display())]
    WarmStartLength {
        /// Its permutation.npy.
        path: PathBuf,
        /// Entries found.
        got: usize,
        /// Rows of x.
        expected: usize,
    },
    /// The state of an interrupted run cannot be used.
    #[error("`{}` cannot be gone on from: {source}\nhint: start over with --force", path.display())]
    SolverCheckpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: hiref_core::Error,
    },
    /// The state of an interrupted run is not what was written.
    #[error("`{}` is damaged: its checksum does not match\nhint: start over with --force", .0.display())]
    DamagedCheckpoint(PathBuf),
    /// A warm start that does not pair these two sides.
    #[error("warm start `{}` does not fit x and y: {source}", path.display())]
    WarmStart {
        /// Its permutation.npy.
        path: PathBuf,
        /// The rule it breaks.
        source: hiref_core::Error,
    },
    /// More points than the exact solver takes.
    #[error(
        "the exact solver takes at most {limit} points a side, this problem has {n} and {m}\nhint: use --solver hiref"
    )]
    TooLargeForExact {
        /// The limit.
        limit: usize,
        /// x points.
        n: usize,
        /// y points.
        m: usize,
    },
    /// A flag of `pair` that the chosen solver does not have.
    #[error("{flag} does not apply to --solver {solver}\nhint: it belongs to {}", owners.join(", "))]
    FlagOfOtherSolver {
        /// The flag.
        flag: &'static str,
        /// The solver chosen.
        solver: &'static str,
        /// The solvers that have the flag.
        owners: Vec<&'static str>,
    },
    /// The device asked for cannot be had.
    #[error(
        "device `{requested}` is not available: {reason}\nhint: use --device cpu, or --device auto to fall back by itself"
    )]
    Device {
        /// What was asked for.
        requested: String,
        /// Why not.
        reason: String,
    },
    /// The thread pool cannot be made as asked.
    #[error("cannot start {threads} worker threads: {reason}")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// The pool's answer.
        reason: String,
    },
    /// Encoders that do not read what is asked for.
    #[error(
        "--modality {asked} is asked for, but the encoders read {reads}\nhint: a second --encoder may read the rest"
    )]
    Modality {
        /// What is asked for.
        asked: himacl::readers::Modality,
        /// What the encoders read.
        reads: himacl::readers::Modality,
    },
    /// A number format that the CPU does not multiply.
    #[error("--precision bf16 needs --device cuda; on the CPU use f32 (the default) or f16")]
    Bf16OnCpu,
    /// Folders that do not go with the encoders.
    #[error("{got} folders are named with --local, expected {expected}: one for each encoder")]
    LocalFolders {
        /// Folders named.
        got: usize,
        /// Encoders named.
        expected: usize,
    },
    /// A file that is no page of a run, in the place of one.
    #[error("`{}` is not a page of `himacl report` or `himacl explore`: it is not replaced\nhint: choose another file", .0.display())]
    NotAReport(PathBuf),
    /// An item without a partner.
    #[error("row {row} of {side} has no partner in `{}`\nhint: pairs.parquet lists the rows that have one", folder.display())]
    NoPair {
        /// Its side.
        side: &'static str,
        /// Its row.
        row: u32,
        /// The pairing.
        folder: PathBuf,
    },
    /// An encoder that does not read what is asked.
    #[error("`{name}` does not read {reads}")]
    EncoderReads {
        /// The encoder.
        name: String,
        /// What it was to read.
        reads: &'static str,
    },
    /// A picture that cannot be read.
    #[error("the picture cannot be read: {0}")]
    Picture(String),
    /// No side's encoder reads a query.
    #[error("no encoder of the run reads such a query\nhint: name one with --source-encoder or --target-encoder")]
    NoReader,
    /// A query that may be of either side.
    #[error(
        "both sides of the run have {columns} coordinates: the query may be of either\nhint: say which with --side"
    )]
    EitherSide {
        /// Its coordinates.
        columns: usize,
    },
    /// A query that is of no side.
    #[error("the query has {columns} coordinates, expected {of_source} (source) or {of_target} (target)")]
    NeitherSide {
        /// Its coordinates.
        columns: usize,
        /// Those of source embeddings.
        of_source: usize,
        /// Those of target embeddings.
        of_target: usize,
    },
    /// The address cannot be listened on.
    #[error("cannot serve on {address}: {reason}")]
    Serve {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system says.
        reason: String,
    },
    /// A picture cannot be drawn.
    #[error("the picture cannot be drawn: {0}")]
    Plot(String),
    /// A picture's file of another kind.
    #[error("`{}` ends in neither .svg nor .png", .0.display())]
    PictureKind(PathBuf),
    /// The page cannot be made.
    #[error("the page cannot be made: {0:#}")]
    Page(#[source] minijinja::Error),
    /// A run that maps both sides to a space of their own was asked for rows in the target's space.
    #[error("the run `{}` learnt a cost: it maps both sides to a space of their own\nhint: `--prepared` maps source rows there, `--prepare-only` target rows", .0.display())]
    LearnedCost(PathBuf),
    /// A run without a map from target to source.
    #[error("the run `{}` has no map back\nhint: train it with map.inverse = true", .0.display())]
    NoInverse(PathBuf),
    /// A run without held-out pairs.
    #[error("the run `{}` held no pairs out\nhint: name pairs to evaluate on with --data SOURCE TARGET", .0.display())]
    NothingHeldOut(PathBuf),
}

impl From<hiref_external::Error> for Error {
    fn from(error: hiref_external::Error) -> Self {
        Self::External(ExternalError(error))
    }
}

impl From<himacl::Error> for Error {
    fn from(error: himacl::Error) -> Self {
        Self::Library(LibraryError(Box::new(error)))
    }
}

/// Errors that the library's error wraps.
macro_rules! through_library {
    ($($inner:ty),* $(,)?) => {
        $(impl From<$inner> for Error {
            fn from(error: $inner) -> Self {
                himacl::Error::from(error).into()
            }
        })*
    };
}

through_library!(
    candle_core::Error,
    toml::ser::Error,
    hiref_core::Error,
    himacl::data::Error,
    himacl::EncodeError,
    himacl::hub::HubError,
    himacl::readers::ReadError,
    himacl::encoder::EncoderError,
    himacl::embed::EmbedError,
    himacl::align::AlignError,
    himacl::map::FitError,
    himacl::train::RecipeError,
);

impl Error {
    /// Whether the work was asked to stop.
    pub(crate) fn is_interrupt(&self) -> bool {
        matches!(self, Self::Library(LibraryError(error)) if error.kind() == himacl::data::ErrorKind::Interrupted)
    }

    /// Wraps a system error: `map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let wrap = himacl::Error::io(action, path);
        move |source| wrap(source).into()
    }
}

fn names(all: &[String]) -> String {
    let quoted: Vec<String> = all.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "nothing".to_owned() } else { quoted.join(", ") }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;
    use himacl::train::CheckpointError;

    #[test]
    fn a_full_disk_is_told_once() {
        let needed = hiref_external::Error::DiskTooSmall { path: "work".into(), free: 1 << 20, needed: 1 << 30 };
        let error = Error::from(needed);
        assert!(error.to_string().contains("--work-dir") && error.source().is_none(), "{error}");
    }

    #[test]
    fn causes_of_the_librarys_errors_are_kept() {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let reason = source.to_string();
        let error = Error::from(himacl::Error::from(CheckpointError::File { path: PathBuf::from("step_2"), source }));
        assert!(error.to_string().contains("step_2"), "{error}");
        assert_eq!(error.source().map(ToString::to_string), Some(reason));
    }
}
