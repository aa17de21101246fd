//! Tables of paths and captions: csv, tsv, and JSON objects.

use super::columns::{Columns, fields_of};
use super::json::Objects;
use super::location::Location;
use super::picture::Picture;
use super::reader::{ReadOptions, Reader};
use super::rows::TableRows;
use super::sample::{Record, Sample};
use crate::error::Error;
use serde_json::Value;
use std::collections::HashSet;
use std::io;

/// Why a row with a path has no picture.
pub(super) const NOT_FOLLOWED: &str = "paths in a table that is fetched are not followed";

/// What names the rows that have no key of their own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keys {
    /// Their number in the dataset, that of the first being this.
    From(u64),
    /// Their picture's path.
    Pictures,
}

/// Reads csv and tsv with a header line, or without one where columns are asked for by number and the first line has no usual names.
pub(super) struct TableReader {
    path: Location,
    rows: TableRows,
    /// The first record, where it is no header.
    first: Option<Vec<String>>,
    names: Vec<String>,
    columns: Columns,
    options: ReadOptions,
    position: u64,
    is_done: bool,
}

impl TableReader {
    pub(super) fn open(path: &Location, mut options: ReadOptions, keys: Keys) -> Result<Self, Error> {
        let mut rows = TableRows::open(path)?;
        let header = rows.next_row()?.unwrap_or_else(|| Ok(Vec::new())).unwrap_or_default();
        rows.width = header.len();
        // A file that is cut off before its header ends.
        if header.is_empty()
            && let Some(reason) = rows.failure()
        {
            return Err(Error::io("read", path)(io::Error::other(reason)));
        }
        let by_number = |name: &Option<String>| {
            let name = name.as_ref()?;
            let at = name.parse::<usize>().ok()?.checked_sub(1)?;
            (at < header.len() && !header.contains(name)).then_some(at)
        };
        let is_address = |field: &String| field.starts_with("http://") || field.starts_with("https://");
        let asked = [by_number(&options.image_column), by_number(&options.caption_column)];
        let asked: Vec<usize> = asked.into_iter().flatten().collect();
        let has_header = asked.is_empty() || is_header(&header, &asked);
        if has_header {
            let name = |asked: Option<String>| by_number(&asked).map(|at| header[at].clone()).or(asked);
            (options.image_column, options.caption_column) = (name(options.image_column), name(options.caption_column));
        }
        let address = header.iter().position(is_address);
        let columns = match address {
            // Captions and addresses of pictures, as Conceptual Captions come.
            Some(address)
                if has_header
                    && header.len() == 2
                    && !options.modality.has_image()
                    && options.caption_column.is_none() =>
            {
                Some(Columns { caption: Some(1 - address), ..Columns::default() })
            }
            _ => None,
        };
        let has_header = has_header && columns.is_none();
        let names: Vec<String> =
            if has_header { header.clone() } else { (1..=header.len()).map(|number| number.to_string()).collect() };
        let mut columns = columns.map_or_else(|| Columns::find(&options, &names, path), Ok)?;
        let position = match keys {
            Keys::From(first) => first,
            Keys::Pictures => {
                columns.key = columns.key.or(columns.image);
                0
            }
        };
        let first = (!has_header).then_some(header);
        Ok(Self { path: path.clone(), rows, first, names, columns, options, position, is_done: false })
    }

    fn record(&self, row: &[String], key: String) -> Record {
        if row.len() != self.names.len() {
            return Record::unusable(key, format!("{} fields, the header has {}", row.len(), self.names.len()));
        }
        let field = |column: Option<usize>| column.and_then(|column| row.get(column)).filter(|text| !text.is_empty());
        let picture = field(self.columns.image).map(|text| Picture::of(text));
        let caption = field(self.columns.caption).cloned();
        let named = if self.columns.key == self.columns.image {
            picture.as_ref().and_then(Picture::path).map(str::to_owned)
        } else {
            field(self.columns.key).cloned()
        };
        let mut sample = Sample { key: named.unwrap_or(key), caption, ..Sample::default() };
        if let Some(picture) = picture {
            picture.place(&mut sample, &self.path);
        }
        let (has_path, has_image) = (sample.image_path.is_some(), sample.image.is_some());
        Record::checked(sample, self.options.modality, || {
            if has_path && !has_image {
                return NOT_FOLLOWED.to_owned();
            }
            let column = if has_image { self.columns.caption } else { self.columns.image.or(self.columns.caption) };
            let name = column.and_then(|column| self.names.get(column)).map_or("", String::as_str);
            format!("column `{name}` is empty")
        })
    }
}

/// Whether a first line names columns where some are asked for by number: these have usual names, or two of all have.
fn is_header(first: &[String], asked: &[usize]) -> bool {
    let is_number = |field: &str| field.parse::<f64>().is_ok_and(f64::is_finite);
    let names: HashSet<&str> = first.iter().map(|field| field.trim()).collect();
    if names.len() < first.len() || names.iter().any(|name| name.is_empty() || is_number(name)) {
        return false;
    }
    let is_usual = |field: &String| Columns::is_usual(field);
    asked.iter().all(|&at| is_usual(&first[at])) || first.iter().filter(|field| is_usual(field)).count() > 1
}

impl Iterator for TableReader {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self.first.take() {
            Some(row) => Ok(row),
            None => match self.rows.next_row() {
                Ok(Some(row)) => row,
                Ok(None) if std::mem::replace(&mut self.is_done, true) => return None,
                Ok(None) => return self.rows.rest().map(Ok),
                Err(error) => return Some(Err(error)),
            },
        };
        let key = self.position.to_string();
        self.position += 1;
        Some(Ok(match row {
            Ok(row) => self.record(&row, key),
            Err(reason) => Record::unusable(key, reason),
        }))
    }
}

impl Reader for TableReader {}

/// Reads JSON objects, a line each or otherwise.
pub(super) struct JsonLinesReader {
    path: Location,
    objects: Objects,
    options: ReadOptions,
    keys: Keys,
    position: u64,
    is_done: bool,
}

/// Objects that are looked at before the first record: one of them must have what is asked for.
const LOOKED_AT: usize = 100;

impl JsonLinesReader {
    pub(super) fn open(path: &Location, options: ReadOptions, keys: Keys) -> Result<Self, Error> {
        let position = if let Keys::From(first) = keys { first } else { 0 };
        // Whole files without a caption are told object by object where others have some.
        if position == 0 {
            check_columns(path, &options)?;
        }
        Ok(Self { path: path.clone(), objects: Objects::open(path)?, options, keys, position, is_done: false })
    }

    fn record(&self, object: &Value, key: String) -> Record {
        let picture = Columns::image_in(&self.options, object);
        let named = match self.keys {
            Keys::From(_) => None,
            Keys::Pictures => picture.as_ref().and_then(Picture::path).map(str::to_owned),
        };
        let key = Columns::key_in(object).or(named).unwrap_or(key);
        let mut sample = Sample { key, caption: Columns::caption_in(&self.options, object), ..Sample::default() };
        if let Some(picture) = picture {
            picture.place(&mut sample, &self.path);
        }
        let is_lost = sample.image_path.is_some() && sample.image.is_none();
        Record::checked(sample, self.options.modality, || {
            if is_lost { NOT_FOLLOWED.to_owned() } else { format!("the object has {}", fields_of(object)) }
        })
    }
}

/// Tells of a wrong name at once, rather than with every object: none of the first objects has what is asked for.
fn check_columns(path: &Location, options: &ReadOptions) -> Result<(), Error> {
    let (mut objects, mut wrong) = (Objects::open(path)?, None);
    for _ in 0..LOOKED_AT {
        match objects.next_object()? {
            None => break,
            Some(Ok(Value::Object(object))) => {
                let names: Vec<String> = object.keys().cloned().collect();
                match Columns::find(options, &names, path) {
                    Ok(_) => return Ok(()),
                    Err(error) => wrong = wrong.or(Some(error)),
                }
            }
            Some(_) => {}
        }
    }
    wrong.map_or(Ok(()), |error| Err(error.into()))
}

impl Iterator for JsonLinesReader {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let object = match self.objects.next_object() {
            Ok(Some(object)) => object,
            Ok(None) if std::mem::replace(&mut self.is_done, true) => return None,
            Ok(None) => return self.objects.rest().map(Ok),
            Err(error) => return Some(Err(error)),
        };
        let key = self.position.to_string();
        self.position += 1;
        Some(Ok(match object {
            Ok(object) => self.record(&object, key),
            Err(reason) => Record::unusable(key, reason),
        }))
    }
}

impl Reader for JsonLinesReader {}
