//! Tables of paths and captions: csv, tsv, and an object a line.

use super::columns::Columns;
use super::lines::Lines;
use super::reader::{ReadOptions, Reader};
use super::sample::{ImageSource, Record, Sample};
use crate::error::Error;
use crate::error::ReadError;
use csv::StringRecord;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Where a path in a table leads: relative to the table's folder, or, where there is no such file, as it stands.
pub(super) fn resolve(table: &Path, path: &str) -> PathBuf {
    let beside = table.parent().unwrap_or(Path::new("")).join(path);
    if beside.exists() { beside } else { PathBuf::from(path) }
}

/// Reads csv and tsv with a header line. `open_clip` writes tabs into .csv files too: a header with a tab decides.
pub(super) struct TableReader {
    path: PathBuf,
    records: csv::StringRecordsIntoIter<BufReader<File>>,
    columns: Columns,
    width: usize,
    options: ReadOptions,
    position: u64,
}

impl TableReader {
    pub(super) fn open(path: &Path, options: ReadOptions, first: u64) -> Result<Self, Error> {
        let mut header = String::new();
        let file = File::open(path).map_err(Error::io("read", path))?;
        BufReader::new(file).read_line(&mut header).map_err(Error::io("read", path))?;
        let delimiter = if header.contains('\t') { b'\t' } else { b',' };
        let file = BufReader::with_capacity(1 << 16, File::open(path).map_err(Error::io("read", path))?);
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(file);
        let wrong = |source| ReadError::Table { path: path.to_path_buf(), source };
        let names: Vec<String> = reader.headers().map_err(wrong)?.iter().map(plain_name).collect();
        let columns = Columns::find(&options, &names, path)?;
        let (path, width) = (path.to_path_buf(), names.len());
        Ok(Self { path, records: reader.into_records(), columns, width, options, position: first })
    }

    fn record(&self, row: &StringRecord, key: String) -> Record {
        if row.len() != self.width {
            return Record::unusable(key, format!("{} fields, the header has {}", row.len(), self.width));
        }
        let field = |column: Option<usize>| column.and_then(|column| row.get(column)).filter(|text| !text.is_empty());
        let (path, caption) = (field(self.columns.image), field(self.columns.caption));
        let sample = Sample {
            key: field(self.columns.key).map_or(key, ToOwned::to_owned),
            image_path: path.map(ToOwned::to_owned),
            image: path.map(|path| ImageSource::File(resolve(&self.path, path))),
            caption: caption.map(ToOwned::to_owned),
        };
        Record::checked(sample, self.options.modality)
    }
}

impl Iterator for TableReader {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.position.to_string();
        let row = self.records.next()?;
        self.position += 1;
        Some(match row {
            Ok(row) => Ok(self.record(&row, key)),
            Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
                Ok(Record::unusable(key, error.to_string()))
            }
            Err(source) => Err(ReadError::Table { path: self.path.clone(), source }.into()),
        })
    }
}

impl Reader for TableReader {}

/// Reads an object a line.
#[derive(Debug)]
pub(super) struct JsonLinesReader {
    path: PathBuf,
    lines: Lines,
    options: ReadOptions,
    position: u64,
}

impl JsonLinesReader {
    pub(super) fn open(path: &Path, options: ReadOptions, first: u64) -> Result<Self, Error> {
        if first == 0 {
            check_first_object(path, &options)?;
        }
        Ok(Self { path: path.to_path_buf(), lines: Lines::open(path)?, options, position: first })
    }
}

/// Tells of a wrong column at once, rather than with every line.
fn check_first_object(path: &Path, options: &ReadOptions) -> Result<(), Error> {
    let mut lines = Lines::open(path)?;
    let Some(Ok(line)) = lines.next_line()? else { return Ok(()) };
    let Ok(serde_json::Value::Object(object)) = serde_json::from_str(line) else { return Ok(()) };
    let names: Vec<String> = object.keys().cloned().collect();
    Columns::find(options, &names, path)?;
    Ok(())
}

impl Iterator for JsonLinesReader {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.position.to_string();
        let line = match self.lines.next_line() {
            Ok(line) => line?,
            Err(error) => return Some(Err(error)),
        };
        self.position += 1;
        let parsed = line.and_then(|line| serde_json::from_str(line).map_err(|error| error.to_string()));
        let record = match parsed {
            Err(reason) => Record::unusable(key, reason),
            Ok(object) => {
                let image_path = Columns::image_in(&self.options, &object);
                let sample = Sample {
                    key: Columns::key_in(&object).unwrap_or(key),
                    image: image_path.as_ref().map(|path| ImageSource::File(resolve(&self.path, path))),
                    image_path,
                    caption: Columns::caption_in(&self.options, &object),
                };
                Record::checked(sample, self.options.modality)
            }
        };
        Some(Ok(record))
    }
}

impl Reader for JsonLinesReader {}

/// A column's name without the byte order mark that spreadsheets put before the first.
fn plain_name(name: &str) -> String {
    name.trim_start_matches('\u{feff}').to_owned()
}
