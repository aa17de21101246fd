//! A dataset as an iterator of records.

use super::folder::FolderReader;
use super::lines::LineReader;
use super::parquet_table::ParquetReader;
use super::reader::{ReadOptions, Reader};
use super::sample::Record;
use super::table::{JsonLinesReader, TableReader};
use super::webdataset::WebDatasetReader;
use crate::error::Error;
use crate::error::ReadError;
use std::fmt;
use std::path::{Path, PathBuf};

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Pictures with captions in files beside them.
    Folder,
    /// .tar shards.
    WebDataset,
    /// .parquet tables.
    Parquet,
    /// .csv and .tsv tables.
    Table,
    /// .jsonl: an object a line.
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
            Self::Table => "a csv or tsv table",
            Self::JsonLines => "lines of JSON",
            Self::Lines => "lines of text",
        })
    }
}

impl Format {
    /// The format of a folder or file, by its name.
    fn of(path: &Path) -> Result<Self, ReadError> {
        if path.is_dir() {
            return Ok(Self::Folder);
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "tar" => Ok(Self::WebDataset),
            "parquet" | "parq" => Ok(Self::Parquet),
            "csv" | "tsv" => Ok(Self::Table),
            "jsonl" | "ndjson" => Ok(Self::JsonLines),
            "txt" => Ok(Self::Lines),
            _ => Err(ReadError::Format(path.to_path_buf())),
        }
    }
}

/// A dataset: the records of one or several files of one format, in order.
///
/// Memory does not grow with the number of records, but for folders, where it grows with the largest of them.
///
/// ```
/// use himacl_encode::readers::{Dataset, Modality, ReadOptions, Record};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("captions.txt");
/// std::fs::write(&path, "a cat\n\na dog\n")?;
/// let options = ReadOptions { modality: Modality::Text, image_column: None, caption_column: None };
/// let records: Result<Vec<Record>, _> = Dataset::open(vec![path], options)?.collect();
/// let caption = |record: &Record| match record {
///     Record::Sample(sample) => sample.caption.clone(),
///     Record::Unusable { .. } => None,
/// };
/// let captions: Vec<_> = records?.iter().map(caption).collect();
/// assert_eq!(captions, [Some("a cat".to_owned()), None, Some("a dog".to_owned())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Dataset {
    files: std::vec::IntoIter<PathBuf>,
    format: Format,
    options: ReadOptions,
    current: Option<Box<dyn Reader>>,
    /// Records before the current file: keys of records that have none of their own go on from there.
    passed: u64,
    in_current: u64,
}

impl fmt::Debug for Dataset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Dataset")
            .field("format", &self.format)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Dataset {
    /// Opens files of one format, in the order given; reads the first one's head.
    ///
    /// # Errors
    /// [`ReadError`]: no file, an unknown format, files of several formats, missing columns; [`Error::Io`].
    pub fn open(files: Vec<PathBuf>, options: ReadOptions) -> Result<Self, Error> {
        let Some(first) = files.first().cloned() else {
            return Err(ReadError::NoFiles { input: String::new() }.into());
        };
        let format = Format::of(&first)?;
        for path in &files {
            let got = Format::of(path)?;
            if got != format {
                let (path, got, expected) = (path.clone(), got.to_string(), format.to_string());
                return Err(ReadError::MixedFormats { path, got, reference: first, expected }.into());
            }
        }
        if format == Format::Lines && options.modality.has_image() {
            return Err(ReadError::TextOnly(first).into());
        }
        let files = files.into_iter();
        let mut dataset = Self { files, format, options, current: None, passed: 0, in_current: 0 };
        dataset.open_next()?;
        Ok(dataset)
    }

    /// The files' format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Passes over the next `count` records without reading pictures.
    ///
    /// # Errors
    /// As those of the iterator.
    pub fn skip_records(&mut self, count: u64) -> Result<(), Error> {
        let mut rest = count;
        while rest > 0 {
            let Some(reader) = &mut self.current else { return Ok(()) };
            let skipped = reader.skip_records(rest)?;
            self.in_current += skipped;
            rest -= skipped;
            if rest > 0 {
                self.open_next()?;
            }
        }
        Ok(())
    }

    fn open_next(&mut self) -> Result<(), Error> {
        self.passed += self.in_current;
        self.in_current = 0;
        self.current = None;
        let Some(path) = self.files.next() else { return Ok(()) };
        let (options, first) = (self.options.clone(), self.passed);
        self.current = Some(match self.format {
            Format::Folder => Box::new(FolderReader::open(&path, options)?),
            Format::WebDataset => Box::new(WebDatasetReader::open(&path, options)?),
            Format::Parquet => Box::new(ParquetReader::open(&path, options, first)?),
            Format::Table => Box::new(TableReader::open(&path, options, first)?),
            Format::JsonLines => Box::new(JsonLinesReader::open(&path, options, first)?),
            Format::Lines => Box::new(LineReader::open(&path, options, first)?),
        });
        Ok(())
    }
}

impl Iterator for Dataset {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.current.as_mut()?.next() {
                self.in_current += 1;
                return Some(record);
            }
            if let Err(error) = self.open_next() {
                return Some(Err(error));
            }
        }
    }
}
