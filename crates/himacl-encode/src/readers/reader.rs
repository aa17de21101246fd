//! What is sought, and what every reader of one file can do.

use super::sample::{Modality, Record};
use crate::error::{Error, ReadError};
use std::fmt;
use std::path::Path;

/// What is sought in a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Pictures, captions or both.
    pub modality: Modality,
    /// The column, member or key that holds the picture, where it has no usual name.
    pub image_column: Option<String>,
    /// The column, member or key that holds the caption, where it has no usual name.
    pub caption_column: Option<String>,
}

/// A reader of one file or folder. A record that is skipped costs no more than finding where the next one begins.
pub(super) trait Reader: Iterator<Item = Result<Record, Error>> + Send {
    /// Passes over up to `count` records; returns how many there were.
    fn skip_records(&mut self, count: u64) -> Result<u64, Error> {
        for skipped in 0..count {
            match self.next() {
                Some(record) => drop(record?),
                None => return Ok(skipped),
            }
        }
        Ok(count)
    }
}

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Pictures with captions in files beside them, or in a table of the folder.
    Folder,
    /// .tar shards.
    WebDataset,
    /// .parquet tables.
    Parquet,
    /// .arrow, .feather, .ipc: Arrow tables.
    Arrow,
    /// .csv and .tsv tables.
    Table,
    /// .jsonl, .json: objects, a line each or otherwise.
    JsonLines,
    /// .txt: a caption a line.
    Lines,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Folder => "a folder",
            Self::WebDataset => "a tar shard",
            Self::Parquet => "a parquet table",
            Self::Arrow => "an Arrow table",
            Self::Table => "a csv or tsv table",
            Self::JsonLines => "lines of JSON",
            Self::Lines => "lines of text",
        })
    }
}

impl Format {
    /// The format of a folder or file, by its name.
    pub(super) fn of(path: &Path) -> Result<Self, ReadError> {
        if path.is_dir() {
            return Ok(Self::Folder);
        }
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        // What is packed is told by the content; one that is read is gzip.
        let packed = [".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip"].iter().find_map(|ending| name.strip_suffix(ending));
        let plain = packed.unwrap_or(&name);
        match plain.rsplit_once('.').map_or("", |(_, ending)| ending) {
            "tar" | "tgz" => Ok(Self::WebDataset),
            "parquet" | "parq" => Ok(Self::Parquet),
            "arrow" | "feather" | "ipc" => Ok(Self::Arrow),
            "csv" | "tsv" => Ok(Self::Table),
            "jsonl" | "ndjson" | "json" => Ok(Self::JsonLines),
            "txt" => Ok(Self::Lines),
            _ => Err(ReadError::Format(path.to_path_buf())),
        }
    }
}
