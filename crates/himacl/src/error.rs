//! The crate's error: lower case, quantity + expected + got + where, the hint on its own line.

use std::io;
use std::path::{Path, PathBuf};

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The solver refused the problem.
    #[error(transparent)]
    Solver(#[from] hiref_core::Error),
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// The operating system refused something.
    #[error("cannot {action} `{}`: {source}{}", path.display(), io_hint(source))]
    Io {
        /// What was tried: "read", "write", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// An output folder already holds something.
    #[error(
        "output folder `{}` exists and is not empty\n\
         hint: choose another one, pass --force to overwrite it, or --resume to go on with it", .0.display()
    )]
    OutputExists(PathBuf),
    /// An output file already exists.
    #[error("output file `{}` exists\nhint: choose another one, or pass --force to overwrite it", .0.display())]
    OutputFileExists(PathBuf),
    /// An output folder's path, or a parent of it, is a file.
    #[error("output folder `{}` cannot be made: `{}` is not a folder", path.display(), obstacle.display())]
    OutputNotAFolder {
        /// The folder asked for.
        path: PathBuf,
        /// The file in its way.
        obstacle: PathBuf,
    },
    /// `--resume` on a run that was made with other settings.
    #[error(
        "`{}` was made with {key} = {was}, this run has {key} = {now}: it cannot be resumed\n\
         hint: choose another output folder, or pass --force to start over", path.display()
    )]
    ResumeMismatch {
        /// The earlier run's config.toml.
        path: PathBuf,
        /// The first setting that differs.
        key: String,
        /// Its value then.
        was: String,
        /// Its value now.
        now: String,
    },
    /// Neither of the formats that can be read.
    #[error(
        "`{}` is not in a known format\n\
         hint: expected a .npy or .safetensors file, or a clip-retrieval folder (img_emb/ or text_emb/ shards)", .0.display()
    )]
    UnknownFormat(PathBuf),
    /// A malformed or unsupported .npy file.
    #[error("npy file `{}`: {problem}", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: NpyProblem,
    },
    /// A malformed .safetensors file.
    #[error("safetensors file `{}` cannot be parsed: {source}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The parser's answer.
        source: safetensors::SafeTensorError,
    },
    /// It is not clear which part of an input is meant, or the part named does not exist.
    #[error("`{}` holds {}{}\nhint: name one of them with --x-key or --y-key", path.display(), names(available), not_found(key.as_deref()))]
    Key {
        /// The input.
        path: PathBuf,
        /// The key asked for.
        key: Option<String>,
        /// The keys there are.
        available: Vec<String>,
    },
    /// A tensor of a type that embeddings cannot have.
    #[error("tensor `{key}` of `{}` has type {dtype}, expected F16, BF16, F32 or F64", path.display())]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        key: String,
        /// Its type.
        dtype: String,
    },
    /// Embeddings that are not a matrix.
    #[error("`{}` has shape {shape:?}, expected two dimensions (rows, coordinates)", path.display())]
    NotAMatrix {
        /// The file.
        path: PathBuf,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Embeddings without rows or coordinates.
    #[error("`{}` is empty: {rows} rows of {dimension} coordinates", path.display())]
    Empty {
        /// The input.
        path: PathBuf,
        /// Number of rows.
        rows: usize,
        /// Number of columns.
        dimension: usize,
    },
    /// NaN or infinite coordinates.
    #[error(
        "`{}` has {total} rows with NaN or infinite coordinates, the first: {}; row {} has {value} at column {column}\n\
         hint: drop or mend these rows (an encoder writes NaN for inputs that it could not read)",
        path.display(), row_list(rows, *total), rows[0]
    )]
    NotFinite {
        /// The input.
        path: PathBuf,
        /// The first offending rows, at least one.
        rows: Vec<usize>,
        /// How many rows offend in all.
        total: usize,
        /// First offending column of the first offending row.
        column: usize,
        /// The value there, as f32.
        value: f32,
    },
    /// A zero row has no direction.
    #[error("row {row} of `{}` is zero{}: it cannot be normalised\nhint: drop that row", path.display(), if *centered { " after centring" } else { "" })]
    ZeroRow {
        /// The input.
        path: PathBuf,
        /// The row.
        row: usize,
        /// Whether the mean had been subtracted before.
        centered: bool,
    },
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
    /// Files that belong together disagree.
    #[error("`{}` has {got} {quantity}, expected {expected} (as in `{}`)", path.display(), reference.display())]
    Disagree {
        /// The file in question.
        path: PathBuf,
        /// What is counted.
        quantity: &'static str,
        /// The count found.
        got: usize,
        /// The count expected.
        expected: usize,
        /// Where the expectation comes from.
        reference: PathBuf,
    },
    /// A shard is missing from a folder, or has no counterpart.
    #[error("`{}` does not exist, though `{}` does", missing.display(), present.display())]
    MissingShard {
        /// The file that should be there.
        missing: PathBuf,
        /// The file that makes it necessary.
        present: PathBuf,
    },
    /// Metadata shards with different columns.
    #[error("`{}` has the columns {}, expected {} (as in `{}`)", path.display(), names(got), names(expected), reference.display())]
    Columns {
        /// The file in question.
        path: PathBuf,
        /// Its columns, `name: type`.
        got: Vec<String>,
        /// The first shard's columns.
        expected: Vec<String>,
        /// The first shard.
        reference: PathBuf,
    },
    /// Metadata lack a column that is needed.
    #[error("the metadata of `{}` have no column `{column}` of {expected}; they have: {}", path.display(), names(got))]
    NoColumn {
        /// The embeddings that they belong to.
        path: PathBuf,
        /// The column's name.
        column: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// The columns there are, `name: type`.
        got: Vec<String>,
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
    /// A parquet file cannot be read or written.
    #[error("parquet file `{}`: {source}{}", path.display(), parquet_hint(source))]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The library's answer.
        source: parquet::errors::ParquetError,
    },
    /// A value does not fit the number format of the output.
    #[error("row {row} has {value} at column {column}, which {format} cannot hold: `{}` is not written\nhint: normalise the rows, or write float32", path.display())]
    Overflow {
        /// The output.
        path: PathBuf,
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// The value.
        value: f32,
        /// The format's name.
        format: &'static str,
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
    /// The work would need more memory than allowed.
    #[error("this run needs about {:.2} GiB of memory, --max-memory allows {:.2} GiB\nhint: pair fewer rows, or raise the limit", gib(*estimate), gib(*limit))]
    Memory {
        /// Bytes estimated.
        estimate: u64,
        /// Bytes allowed.
        limit: u64,
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
    /// A configuration file that does not parse.
    #[error("configuration `{}`: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The parser's answer.
        source: toml::de::Error,
    },
    /// A configuration that cannot be written as TOML.
    #[error("the configuration cannot be written as TOML")]
    ConfigWrite(#[from] toml::ser::Error),
    /// A JSON file that does not parse, or a value that cannot be written as JSON.
    #[error("json file `{}`: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's answer.
        source: serde_json::Error,
    },
    /// The Hub, or its cache, has not what is needed.
    #[error(transparent)]
    Hub(#[from] crate::hub::HubError),
    /// A dataset cannot be read.
    #[error(transparent)]
    Read(#[from] crate::data::readers::ReadError),
    /// An encoder cannot be loaded or used.
    #[error(transparent)]
    Encoder(Box<crate::encoder::EncoderError>),
    /// A dataset cannot be embedded.
    #[error(transparent)]
    Embed(#[from] crate::embed::EmbedError),
    /// Encoders that do not read what is asked for.
    #[error(
        "--modality {asked} is asked for, but the encoders read {reads}\nhint: a second --encoder may read the rest"
    )]
    Modality {
        /// What is asked for.
        asked: crate::data::readers::Modality,
        /// What the encoders read.
        reads: crate::data::readers::Modality,
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
    /// A folder that no training run made.
    #[error("`{}` is not the folder of a training run (it has no config.toml)\nhint: --force only replaces earlier runs", .0.display())]
    NotARun(PathBuf),
    /// A run that maps both sides to a space of their own was asked for rows in the target's space.
    #[error("the run `{}` learnt a cost: it maps both sides to a space of their own\nhint: `--prepared` maps source rows there, `--prepare-only` target rows", .0.display())]
    LearnedCost(PathBuf),
    /// A run without a map from target to source.
    #[error("the run `{}` has no map back\nhint: train it with map.inverse = true", .0.display())]
    NoInverse(PathBuf),
    /// A run without held-out pairs.
    #[error("the run `{}` held no pairs out\nhint: name pairs to evaluate on with --data SOURCE TARGET", .0.display())]
    NothingHeldOut(PathBuf),
    /// A training run that is not finished, or several in one folder.
    #[error("`{}` holds no finished run (no map.safetensors)\nhint: {hint}", path.display())]
    NoFinishedRun {
        /// The folder.
        path: PathBuf,
        /// What to do.
        hint: String,
    },
}

impl From<crate::encoder::EncoderError> for Error {
    fn from(error: crate::encoder::EncoderError) -> Self {
        Self::Encoder(Box::new(error))
    }
}

impl Error {
    /// Wraps a system error: `map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

/// What can be wrong with an .npy file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NpyProblem {
    /// The first bytes are not those of the format.
    #[error("the file does not begin with the npy signature")]
    Signature,
    /// A format version that is not known.
    #[error("format version {0}.{1}, expected 1.0, 2.0 or 3.0")]
    Version(u8, u8),
    /// The header is not the dictionary that the format prescribes.
    #[error("the header has no valid `{0}`")]
    Header(&'static str),
    /// Column-major data.
    #[error(
        "the array is in Fortran (column-major) order, expected C order\nhint: save numpy.ascontiguousarray(array)"
    )]
    FortranOrder,
    /// Elements of another type.
    #[error("the elements have type `{got}`, expected {expected}")]
    ElementType {
        /// The type found, as numpy writes it.
        got: String,
        /// What can be read.
        expected: &'static str,
    },
    /// An array of another number of dimensions.
    #[error("the array has shape {shape:?}, expected {expected}")]
    Shape {
        /// The shape found.
        shape: Vec<usize>,
        /// What can be read.
        expected: &'static str,
    },
    /// The file ends too early.
    #[error("the file is truncated: {got} bytes, expected {expected}")]
    Truncated {
        /// Bytes found.
        got: u64,
        /// Bytes expected.
        expected: u64,
    },
}

fn io_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "\nhint: free some space, or write elsewhere",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "\nhint: check the permissions, or choose another place"
        }
        _ => "",
    }
}

fn parquet_hint(source: &parquet::errors::ParquetError) -> &'static str {
    if source.to_string().contains("compress") || source.to_string().contains("codec") {
        "\nhint: this build reads uncompressed and snappy files (the default of pandas and pyarrow)"
    } else {
        ""
    }
}

fn names(all: &[String]) -> String {
    let quoted: Vec<String> = all.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "nothing".to_owned() } else { quoted.join(", ") }
}

fn not_found(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!(", but no `{key}`"))
}

fn row_list(rows: &[usize], total: usize) -> String {
    let mut list = rows.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    if rows.len() < total {
        list.push_str(", ...");
    }
    list
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_where_and_what_to_do() {
        let error = Error::NotFinite { path: "a.npy".into(), rows: vec![3, 7], total: 9, column: 1, value: f32::NAN };
        let text = error.to_string();
        assert!(
            text.starts_with(
                "`a.npy` has 9 rows with NaN or infinite coordinates, the first: 3, 7, ...; row 3 has NaN"
            )
        );
        assert!(text.contains("\nhint: "));

        let full = Error::io("write", Path::new("/dev/full"))(io::ErrorKind::StorageFull.into()).to_string();
        assert!(full.starts_with("cannot write `/dev/full`: ") && full.contains("\nhint: free some space"), "{full}");

        let key = Error::Key { path: "s".into(), key: Some("z".into()), available: vec!["a".into(), "b".into()] };
        assert!(key.to_string().starts_with("`s` holds `a`, `b`, but no `z`\nhint: "));
    }
}
