//! The crate's error: lower case, quantity + expected + got + where, the hint on its own line.

use super::formats::instead;
use super::hints::{io_hint, matrix_hint, parquet_hint, type_hint};
use arrow_schema::ArrowError;
use parquet::errors::ParquetError;
use std::io;
use std::path::{Path, PathBuf};

/// Why files could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// The operating system refused something.
    #[error("cannot {action} `{}`: {source}{}", path.display(), io_hint(action, source))]
    Io {
        /// What was tried: "read", "write", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// An output folder already holds something.
    #[error("output folder `{}` exists and is not empty\nhint: choose another one", .0.display())]
    OutputExists(PathBuf),
    /// An output folder that this program did not make, or an earlier version of it.
    #[error(
        "output folder `{}` was not made by this version of `himacl {command}`: it has no .himacl.toml\n\
         hint: choose another folder, or move this one away; results of earlier versions, which wrote no such file, can be \
         read, but not replaced or resumed", path.display()
    )]
    OutputNotOurs {
        /// The folder.
        path: PathBuf,
        /// The command that is to write into it.
        command: &'static str,
    },
    /// An output folder of another command.
    #[error(
        "output folder `{}` holds the output of `himacl {found}`, not of `himacl {command}`\n\
         hint: choose another folder", path.display()
    )]
    OutputOfOther {
        /// The folder.
        path: PathBuf,
        /// The command that made it.
        found: String,
        /// The command that is to write into it.
        command: &'static str,
    },
    /// Another process writes there.
    #[error("`{}` is in use by {owner}\nhint: wait for it to end, or choose another output", path.display())]
    OutputInUse {
        /// The folder or file.
        path: PathBuf,
        /// Who, as far as is known.
        owner: String,
    },
    /// A symbolic link among the files of an output folder.
    #[error("`{}` is a symbolic link: nothing is written or replaced through it\nhint: choose another output folder", .0.display())]
    OutputLink(PathBuf),
    /// An input that the output would overwrite.
    #[error("input `{}` lies in the output `{}`\nhint: choose another output", input.display(), output.display())]
    InputInOutput {
        /// The input.
        input: PathBuf,
        /// The output.
        output: PathBuf,
    },
    /// `--resume` on a run that was made with other settings.
    #[error(
        "`{}` was made with {key} = {was}, this run has {key} = {now}: it cannot be resumed\n\
         hint: choose another output folder", path.display()
    )]
    ResumeMismatch {
        /// The folder.
        path: PathBuf,
        /// The first setting that differs.
        key: String,
        /// Its value then.
        was: String,
        /// Its value now.
        now: String,
    },
    /// `--resume` on a run that was made of other data.
    #[error(
        "`{}` was made of other data: {input} is not what it was, so the run cannot be resumed\n\
         hint: bring the data back, or choose another output folder", path.display()
    )]
    ResumeInput {
        /// The folder.
        path: PathBuf,
        /// The first input that differs.
        input: String,
    },
    /// A file to be replaced is no set of embeddings.
    #[error("`{}` holds no embeddings: it is not replaced\nhint: choose another output", .0.display())]
    NotEmbeddings(PathBuf),
    /// An output file already exists.
    #[error("output file `{}` exists\nhint: choose another one", .0.display())]
    OutputFileExists(PathBuf),
    /// An output elsewhere, such as `s3://bucket/out`.
    #[error("output `{}` is an address, expected a place on this machine\nhint: write to a folder and copy it from there", .0.display())]
    OutputAddress(PathBuf),
    /// An output folder's path, or a parent of it, is a file.
    #[error(
        "output folder `{}` cannot be made: `{}` is not a folder\nhint: name another folder",
        path.display(), obstacle.display()
    )]
    OutputNotAFolder {
        /// The folder asked for.
        path: PathBuf,
        /// The file in its way.
        obstacle: PathBuf,
    },
    /// The folder of an output file does not exist.
    #[error("output file `{}` cannot be written: there is no folder `{}`\nhint: make it first", path.display(), folder.display())]
    OutputNoFolder {
        /// The file asked for.
        path: PathBuf,
        /// Its folder.
        folder: PathBuf,
    },
    /// Neither of the formats that can be read.
    #[error(
        "`{}` is not in a known format\n\
         hint: expected .npy, .npz, .safetensors, .parquet or .arrow, a folder of such files, or a clip-retrieval folder (img_emb/ or text_emb/ shards){}",
        .0.display(), instead(.0).map_or_else(String::new, |help| format!("; {help}"))
    )]
    UnknownFormat(PathBuf),
    /// What Git has in the place of a large file that was not fetched.
    #[error("`{}` is a Git LFS pointer, not the file itself\nhint: `git lfs pull` fetches it", .0.display())]
    Pointer(PathBuf),
    /// A malformed or unsupported .npy file.
    #[error("npy file `{}`: {problem}{}", path.display(), npy_hint(problem))]
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
    #[error("`{}` holds {}{}\nhint: name one of them", path.display(), names(available), not_found(key.as_deref()))]
    Key {
        /// The input.
        path: PathBuf,
        /// The key asked for.
        key: Option<String>,
        /// The keys there are.
        available: Vec<String>,
    },
    /// A folder with files of several sets.
    #[error(
        "`{}` has `{first}` and `{second}`: files of one number belong to different sets\nhint: name a folder that holds \
         one set, or one file", path.display()
    )]
    SeveralSets {
        /// The folder.
        path: PathBuf,
        /// A file.
        first: String,
        /// Another one with the same number.
        second: String,
    },
    /// A tensor of a type that embeddings cannot have.
    #[error("tensor `{key}` of `{}` has type {dtype}, expected F16, BF16, F32, F64 or whole numbers", path.display())]
    TensorType {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        key: String,
        /// Its type.
        dtype: String,
    },
    /// Embeddings that are not a matrix.
    #[error("`{}` has shape {shape:?}, expected two dimensions (rows, coordinates){}", path.display(), matrix_hint(shape))]
    NotAMatrix {
        /// The file.
        path: PathBuf,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Embeddings without rows or coordinates.
    #[error(
        "`{}` is empty: {rows} rows of {dimension} coordinates, expected one of each at least\nhint: see what wrote it", path.display()
    )]
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
        "`{}` has {} with NaN or infinite coordinates: {}; the first has {value} at column {column}\n\
         hint: drop or mend these rows (an encoder writes NaN for inputs that it could not read)",
        path.display(), count(*total), row_list(path, rows, *total)
    )]
    NotFinite {
        /// The input.
        path: PathBuf,
        /// The first offending rows, at least one.
        rows: Vec<BadRow>,
        /// How many rows offend in all.
        total: usize,
        /// First offending column of the first offending row.
        column: usize,
        /// The value there, as f32.
        value: f32,
    },
    /// Rows that are too near to one another for their distance from zero.
    #[error(
        "the rows of `{}` are too near to one another, and too far from zero, for float32, in which they are compared: rounding \
         moves them by {:.2}% of their distances from the middle\nhint: subtract the same offset from both sides in float64, and write \
         them again", path.display(), 100.0 * share
    )]
    Precision {
        /// The input.
        path: PathBuf,
        /// How far rounding moves rows, as a share of their distances from the middle.
        share: f64,
    },
    /// Zero rows have no direction.
    #[error(
        "`{}` has {} of zeros{}: {}\nhint: {need} needs a direction; drop these rows (an encoder writes zeros for inputs that are empty)",
        path.display(), count(*total), if *centered { " after centring" } else { "" }, row_list(path, rows, *total)
    )]
    ZeroRows {
        /// The input.
        path: PathBuf,
        /// The first such rows, at least one.
        rows: Vec<BadRow>,
        /// How many there are in all.
        total: usize,
        /// Whether the mean had been subtracted before.
        centered: bool,
        /// What cannot do with them: "the cosine cost", "--normalize".
        need: &'static str,
    },
    /// The parts of one folder have not the same shards.
    #[error("the shards of `{}` do not belong together: {}\nhint: rows of one number must be of the same items; complete or remove the shards named", path.display(), lacking.join("; "))]
    ShardSets {
        /// The folder.
        path: PathBuf,
        /// What each part lacks: "`img_emb` has no shard 2, 7".
        lacking: Vec<String>,
    },
    /// Two sets that belong together row by row have other shards.
    #[error("`{}` has the shards {} and `{}` has {}: row i of one belongs to row i of the other, so both need the same\nhint: complete or remove the shards that only one of them has", left.display(), left_shards.join(", "), right.display(), right_shards.join(", "))]
    ShardsDiffer {
        /// One set.
        left: PathBuf,
        /// Shards that only it has.
        left_shards: Vec<String>,
        /// The other.
        right: PathBuf,
        /// Shards that only it has.
        right_shards: Vec<String>,
    },
    /// A table of known pairs that cannot be read.
    #[error("pairs `{}`, line {line}: `{text}` is not a pair of row numbers\nhint: two whole numbers a line, separated by a comma, a tab or a space; counted from 0", path.display())]
    Pairs {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// Candidate pairs that cannot be read.
    #[error(
        "candidates `{}`: the file {problem}\nhint: a .parquet or .arrow file with the columns i, j and cost, or a sparse matrix of scipy's save_npz", path.display()
    )]
    Candidates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A column that cannot be embeddings.
    #[error("column `{column}` of `{}` {problem}", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Rows of a column that have no list.
    #[error(
        "column `{column}` of `{}` has no list in {}: {}\nhint: drop these rows (an encoder leaves out inputs that it could not read)",
        path.display(), count(*total), numbers(rows, *total)
    )]
    MissingRows {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The first such rows.
        rows: Vec<usize>,
        /// How many there are in all.
        total: usize,
    },
    /// An archive that cannot be read.
    #[error("archive `{}`: {problem}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A set cannot be written in the layout of its source.
    #[error("output `{}` cannot be written like its input: name a file that ends in .npy", .0.display())]
    NotWritable(PathBuf),
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
    /// A value does not fit the type that a column has over all files.
    #[error("column `{column}` of `{}` has values that {kind}, its type over all files, cannot hold\nhint: write all files with one type", path.display())]
    Rounding {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The type of the column over all files.
        kind: String,
    },
    /// A parquet file cannot be read or written.
    #[error("parquet file `{}`: {source}{}", path.display(), parquet_hint(source))]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The library's answer.
        source: ParquetError,
    },
    /// An Arrow file that cannot be read.
    #[error("arrow file `{}`: {problem}", path.display())]
    Arrow {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A dataset in parts of which each is one.
    #[error("`{}` holds the parts {} of a dataset\nhint: name the folder of one of them", path.display(), names(parts))]
    DatasetParts {
        /// The folder.
        path: PathBuf,
        /// The parts.
        parts: Vec<String>,
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
    /// A configuration file that does not parse.
    #[error("configuration `{}`: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The parser's answer.
        source: toml::de::Error,
    },
}

impl Error {
    /// Wraps a system error: `map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Wraps what the parquet library says: `map_err(Error::parquet(path))`. A full disk inside it comes to light.
    pub fn parquet(path: &Path) -> impl Fn(ParquetError) -> Self + use<> {
        let path = path.to_path_buf();
        move |error| {
            let io = |source| Self::Io { action: "write", path: path.clone(), source };
            let source = match error {
                ParquetError::External(inner) => match inner.downcast::<ArrowError>() {
                    Ok(arrow) => match *arrow {
                        ArrowError::IoError(_, source) => return io(source),
                        other => ParquetError::External(Box::new(other)),
                    },
                    Err(inner) => match inner.downcast::<io::Error>() {
                        Ok(source) => return io(*source),
                        Err(inner) => ParquetError::External(inner),
                    },
                },
                other => other,
            };
            Self::Parquet { path: path.clone(), source }
        }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Tensor(_) => ErrorKind::Device,
            Self::Io { .. } => ErrorKind::Io,
            _ => ErrorKind::InvalidInput,
        }
    }
}

/// A row that is at fault, counted within its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The file.
    pub path: PathBuf,
    /// The row in it, from 0.
    pub row: usize,
}

/// What kind of thing went wrong, for those who treat all errors of a kind alike; shared by the crates above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was handed in: a file's content, embeddings, a setting.
    InvalidInput,
    /// A file that cannot be read or written.
    Io,
    /// A server that cannot be reached, or answers otherwise than it should.
    Network,
    /// More memory than is allowed.
    Memory,
    /// The work was asked to stop.
    Interrupted,
    /// A device, or an operation on it.
    Device,
}

/// What can be wrong with an .npy file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
    /// Another array begins behind the first.
    #[error("the file holds more than one array\nhint: save each array to a file of its own, or all of them as .npz")]
    SecondArray,
    /// The file ends too early.
    #[error("the file is truncated: {got} bytes, expected {expected}")]
    Truncated {
        /// Bytes found.
        got: u64,
        /// Bytes expected.
        expected: u64,
    },
}

fn npy_hint(problem: &NpyProblem) -> &'static str {
    match problem {
        NpyProblem::ElementType { got, .. } => type_hint(got),
        NpyProblem::Shape { shape, expected } if expected.starts_with("two dimensions") => matrix_hint(shape),
        _ => "",
    }
}

fn names(all: &[String]) -> String {
    let quoted: Vec<String> = all.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "nothing".to_owned() } else { quoted.join(", ") }
}

fn not_found(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!(", but no `{key}`"))
}

fn count(total: usize) -> String {
    if total == 1 { "1 row".to_owned() } else { format!("{total} rows") }
}

/// Rows by their number.
fn numbers(rows: &[usize], total: usize) -> String {
    let list = rows.iter().map(|row| format!("row {row}")).collect::<Vec<_>>().join(", ");
    if rows.len() < total { format!("{list} and {} more", total - rows.len()) } else { list }
}

/// Rows by their file, which is named where the set is more than that file.
fn row_list(set: &Path, rows: &[BadRow], total: usize) -> String {
    let name = |BadRow { path, row }: &BadRow| {
        if path == set { format!("row {row}") } else { format!("row {row} of `{}`", path.display()) }
    };
    let list = rows.iter().map(name).collect::<Vec<_>>().join(", ");
    if rows.len() < total { format!("{list} and {} more", total - rows.len()) } else { list }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_where_and_what_to_do() {
        let rows = vec![BadRow { path: "a.npy".into(), row: 3 }, BadRow { path: "b.npy".into(), row: 7 }];
        let error = Error::NotFinite { path: "a.npy".into(), rows, total: 9, column: 1, value: f32::NAN };
        let text = error.to_string();
        let start = "`a.npy` has 9 rows with NaN or infinite coordinates: row 3, row 7 of `b.npy` and 7 more; the first has NaN";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("\nhint: "));

        let full = Error::io("write", Path::new("/dev/full"))(io::ErrorKind::StorageFull.into()).to_string();
        assert!(full.starts_with("cannot write `/dev/full`: ") && full.contains("\nhint: free some space"), "{full}");

        let key = Error::Key { path: "s".into(), key: Some("z".into()), available: vec!["a".into(), "b".into()] };
        assert!(key.to_string().starts_with("`s` holds `a`, `b`, but no `z`\nhint: "));
    }
}
