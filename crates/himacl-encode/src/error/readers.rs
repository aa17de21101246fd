//! Why a dataset cannot be read at all.

use super::hub::HubError;
use std::path::{Path, PathBuf};

/// What helps where a dataset's server is out of reach.
const ELSEWHERE: &str = "check the address and the network; what is embedded is kept, and a resumed run goes on with the file that it \
                         broke off in; or fetch the files first, and name them on the disk";

/// Why a dataset cannot be read at all; a single sample that cannot be read is a [`Record::Unusable`](crate::readers::Record::Unusable).
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A pattern or path that names nothing.
    #[error(
        "`{input}` names no file\nhint: patterns know {{00000..00012}}, {{a,b}}, *, ? and [...]; quote them against the shell"
    )]
    NoFiles {
        /// What was given.
        input: String,
    },
    /// A pattern that cannot be parsed.
    #[error("`{pattern}` is no valid pattern: {reason}")]
    Pattern {
        /// What was given.
        pattern: String,
        /// Why not.
        reason: String,
    },
    /// A folder as `datasets` saves it that cannot be read.
    #[error(transparent)]
    Saved(#[from] Box<himacl_data::Error>),
    /// A file of no known kind.
    #[error("`{}` is not in a known format\nhint: expected a folder, or files ending in .tar, .parquet, .arrow, .csv, .tsv, .jsonl, .json or .txt, with .gz or without{}", .0.display(), instead(.0))]
    Format(PathBuf),
    /// Files of several kinds.
    #[error("`{}` is {got}, but `{}` is {expected}: all files of a dataset have one format\nhint: a pattern that names one kind of them, such as *.tar", path.display(), reference.display())]
    MixedFormats {
        /// The file in question.
        path: PathBuf,
        /// Its format.
        got: String,
        /// The first file.
        reference: PathBuf,
        /// Its format.
        expected: String,
    },
    /// Text lines hold no pictures.
    #[error("`{}` holds lines of text, but pictures are asked for\nhint: ask for texts alone, or name a table, folder or shards", .0.display())]
    TextOnly(PathBuf),
    /// A table without the columns needed.
    #[error("`{}` has no {what} column: it has {}\nhint: name it; where the first line is no header, by its number", path.display(), list(available))]
    Column {
        /// The table.
        path: PathBuf,
        /// What is sought: picture or caption.
        what: &'static str,
        /// The columns there are.
        available: Vec<String>,
    },
    /// A column of a type that cannot hold what is sought.
    #[error("column `{column}` of `{}` has type {got}, expected {expected}", path.display())]
    ColumnType {
        /// The table.
        path: PathBuf,
        /// The column.
        column: String,
        /// Its type.
        got: String,
        /// The types that would do.
        expected: &'static str,
    },
    /// A table that ends where it cannot.
    #[error("table `{}`: the quoted field that begins in line {line} does not end\nhint: is a `\"` missing, or the file cut off?", path.display())]
    OpenQuote {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
    /// A line that could go on for ever.
    #[error("line {line} of `{}` has not ended after 1 GiB", path.display())]
    Endless {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
    /// A file that something else must unpack first.
    #[error("`{}` is packed in a way that is not read, expected gzip or none\nhint: `{tool}` unpacks it", path.display())]
    Packed {
        /// The file.
        path: PathBuf,
        /// What unpacks it.
        tool: &'static str,
    },
    /// Text in two bytes a character.
    #[error("`{}` is UTF-16, expected UTF-8\nhint: `iconv -f utf-16 -t utf-8` converts it", .0.display())]
    Utf16(PathBuf),
    /// A folder without anything that was asked for.
    #[error("`{}` has {wanted} neither in it nor in the folders below; what is there: {found}\nhint: {hint}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is sought.
        wanted: &'static str,
        /// Files by kind.
        found: String,
        /// What to give instead.
        hint: String,
    },
    /// An address of a kind that is not read, or where none is read.
    #[error(
        "`{0}` is an address that is not read here\nhint: `himacl embed` reads s3://, https:// (a signed address of another store, for example) and hf://datasets/; mount what is elsewhere, or fetch its files first"
    )]
    Remote(String),
    /// A dataset that is elsewhere and cannot be had now.
    #[error("{}\nhint: {ELSEWHERE}", .0.to_string().split("\nhint: ").next().unwrap_or_default())]
    Unreachable(Box<HubError>),
    /// An address of a bucket that names no objects.
    #[error(
        "`{0}` names no objects of a bucket\nhint: expected s3://BUCKET/KEY, or a pattern of keys such as s3://BUCKET/data/*.tar"
    )]
    BucketAddress(String),
    /// An address on the Hub that names no files.
    #[error(
        "`{0}` names no files on the Hub\nhint: expected hf://datasets/ORG/NAME/PATTERN, or NAME@REVISION for another revision than main"
    )]
    HubAddress(String),
}

/// What makes of a file of another format one that is read.
fn instead(path: &Path) -> &'static str {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "xlsx" | "xls" | "ods" => "; save the sheet as .csv",
        "zip" | "rar" | "7z" => "; unpack it, and name the folder",
        "db" | "sqlite" | "sqlite3" => "; `sqlite3 -header -csv FILE 'select ...'` writes a .csv file",
        "tfrecord" | "lmdb" | "mdb" => "; write its samples to .tar shards first (webdataset's ShardWriter)",
        _ => "",
    }
}

/// A few of the names, and how many more there are.
pub(crate) fn list(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    const SHOWN: usize = 10;
    const LENGTH: usize = 60;
    let mut names = names.into_iter();
    let quoted: Vec<String> = names
        .by_ref()
        .take(SHOWN)
        .map(|name| {
            let (short, more) = match name.as_ref().char_indices().nth(LENGTH) {
                Some((end, _)) => (&name.as_ref()[..end], "..."),
                None => (name.as_ref(), ""),
            };
            format!("`{short}{more}`")
        })
        .collect();
    match (quoted.len(), names.count()) {
        (0, _) => "none".to_owned(),
        (_, 0) => quoted.join(", "),
        (_, more) => format!("{} and {more} more", quoted.join(", ")),
    }
}
