//! A dataset as an iterator of records.

use super::columnar::ColumnarReader;
use super::elsewhere::{Fetcher, Input};
use super::folder::FolderReader;
use super::lines::LineReader;
use super::location::Location;
use super::reader::{Format, ReadOptions, Reader};
use super::sample::Record;
use super::table::{JsonLinesReader, Keys, TableReader};
use super::webdataset::WebDatasetReader;
use crate::error::Error;
use crate::error::ReadError;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

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
    files: Vec<PathBuf>,
    /// Where the files are fetched from, if they are elsewhere.
    fetcher: Option<Fetcher>,
    /// The number of the next file.
    next: usize,
    /// Whether a file has been opened.
    is_begun: bool,
    /// Records of each file that has ended.
    ended: Arc<Mutex<Vec<u64>>>,
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
    /// [`ReadError`]: no file, an unknown format, files of several formats, missing columns; [`himacl_data::Error::Io`].
    pub fn open(files: Vec<PathBuf>, options: ReadOptions) -> Result<Self, Error> {
        let mut dataset = Self::new(files, options)?;
        // A table without the columns that are needed would end the run when its turn comes; not so objects without a field, nor a file that
        // costs itself alone.
        if matches!(dataset.format, Format::Parquet | Format::Arrow | Format::Table | Format::JsonLines) {
            let open = |path: &PathBuf| open_reader(dataset.format, &Location::from(path), &dataset.options, 1, false);
            for path in dataset.files.iter().skip(1) {
                open(path).map(drop).or_else(|error| dataset.costs_itself(error).map(drop))?;
            }
        }
        dataset.begin()?;
        Ok(dataset)
    }

    /// As [`Self::open`], of files that may be elsewhere; of those none is fetched before [`Self::begin`] or the first record.
    ///
    /// # Errors
    /// As those of [`Self::open`].
    pub fn of(input: &Input, options: ReadOptions) -> Result<Self, Error> {
        let Some((remote, files)) = input.remote.clone() else { return Self::open(input.files.clone(), options) };
        let dataset = Self::new(input.files.clone(), options)?;
        let by_parts = dataset.format == Format::Parquet;
        Ok(Self { fetcher: Some(Fetcher::new(remote, files, by_parts)), ..dataset })
    }

    fn new(files: Vec<PathBuf>, options: ReadOptions) -> Result<Self, Error> {
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
        let (fetcher, current, ended) = (None, None, Arc::default());
        Ok(Self { files, fetcher, next: 0, is_begun: false, ended, format, options, current, passed: 0, in_current: 0 })
    }

    /// Opens the first file, fetched if need be; its head tells whether it has what is asked for.
    ///
    /// # Errors
    /// As those of [`Self::open`], and what its server says.
    pub fn begin(&mut self) -> Result<(), Error> {
        if self.is_begun { Ok(()) } else { self.open_next() }
    }

    /// The files' format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Records of each file that has ended so far, in their order; grows while records are read.
    pub(crate) fn ended_files(&self) -> Arc<Mutex<Vec<u64>>> {
        Arc::clone(&self.ended)
    }

    /// Passes over the first files, whose numbers of records are known, without a look at them; before any record is read.
    pub(crate) fn skip_files(&mut self, counts: &[u64]) {
        let counts = &counts[..counts.len().min(self.files.len())];
        if !counts.is_empty() {
            (self.current, self.is_begun) = (None, false);
            (self.next, self.passed) = (counts.len(), counts.iter().sum());
            *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = counts.to_vec();
        }
    }

    /// Passes over the next `count` records without reading pictures.
    ///
    /// # Errors
    /// As those of the iterator.
    pub fn skip_records(&mut self, count: u64) -> Result<(), Error> {
        let mut rest = count;
        if rest > 0 {
            self.begin()?;
        }
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
        if self.is_begun && self.current.take().is_some() {
            self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(self.in_current);
        }
        self.is_begun = true;
        self.passed += self.in_current;
        self.in_current = 0;
        let (number, is_only) = (self.next, self.files.len() == 1);
        let Some(path) = self.files.get(number) else { return Ok(()) };
        self.next += 1;
        let location = match &mut self.fetcher {
            Some(fetcher) => fetcher.take(number)?,
            None => Location::from(path),
        };
        self.current = Some(match open_reader(self.format, &location, &self.options, self.passed, is_only) {
            Ok(reader) => reader,
            Err(error) => {
                let (key, reason) = (path.display().to_string(), self.costs_itself(error)?);
                Box::new(Broken(Some(Record::Unusable { key, reason, is_rest: true })))
            }
        });
        Ok(())
    }

    /// Why a file of several cannot be opened. A shard or a table of columns costs itself alone then, unless it is all that there is.
    fn costs_itself(&self, error: Error) -> Result<String, Error> {
        let is_one = matches!(self.format, Format::WebDataset | Format::Parquet | Format::Arrow);
        match error {
            Error::Data(error) if is_one && self.files.len() > 1 => Ok(error.to_string()),
            error => Err(error),
        }
    }
}

/// Opens one file or folder; `passed` records are before it, and `only` says that it is the whole dataset.
fn open_reader(
    format: Format,
    path: &Location,
    options: &ReadOptions,
    passed: u64,
    only: bool,
) -> Result<Box<dyn Reader>, Error> {
    let (options, keys) = (options.clone(), Keys::From(passed));
    Ok(match format {
        Format::Folder => Box::new(FolderReader::open(path, options, only)?),
        Format::WebDataset => Box::new(WebDatasetReader::open(path, options)?),
        Format::Parquet | Format::Arrow => Box::new(ColumnarReader::open(path, options, keys)?),
        Format::Table => Box::new(TableReader::open(path, options, keys)?),
        Format::JsonLines => Box::new(JsonLinesReader::open(path, options, keys)?),
        Format::Lines => Box::new(LineReader::open(path, options, passed)?),
    })
}

/// Stands for a file that cannot be read.
struct Broken(Option<Record>);

impl Iterator for Broken {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl Reader for Broken {}

impl Iterator for Dataset {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.begin() {
            return Some(Err(error));
        }
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
