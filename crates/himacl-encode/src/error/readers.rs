//! Why a dataset cannot be read at all.

use std::path::PathBuf;

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
    /// A file of no known kind.
    #[error("`{}` is not in a known format\nhint: expected a folder, or files ending in .tar, .parquet, .csv, .tsv, .jsonl or .txt", .0.display())]
    Format(PathBuf),
    /// Files of several kinds.
    #[error("`{}` is {got}, but `{}` is {expected}: all files of a dataset have one format", path.display(), reference.display())]
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
    #[error("`{}` has no {what} column: it has {}\nhint: name it", path.display(), list(available))]
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
    /// A table that breaks its format.
    #[error("table `{}`: {source}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The parser's answer.
        source: csv::Error,
    },
    /// An archive that breaks its format.
    #[error("archive `{}` cannot be read on at its member {member}: {source}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// The number of the member, from 0.
        member: usize,
        /// What is wrong.
        source: std::io::Error,
    },
}

fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "none".to_owned() } else { quoted.join(", ") }
}
