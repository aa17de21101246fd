//! Parquet and Arrow tables: pictures as bytes or paths, captions as text.

use super::columns::Columns;
use super::content::Content;
use super::location::Location;
use super::picture::Picture;
use super::reader::{ReadOptions, Reader};
use super::sample::{ImageSource, Record, Sample};
use super::table::{Keys, NOT_FOLLOWED};
use crate::error::Error;
use crate::error::ReadError;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use himacl_data::{Batches, Table};

/// Rows read at a time: few, since each may hold a picture.
const BATCH_ROWS: usize = 64;

/// Reads one table; the picture is a column of bytes, of paths, or the Hub's struct of both.
pub(super) struct ColumnarReader {
    path: Location,
    options: ReadOptions,
    table: Table<Content>,
    /// Names of the columns that are read, by what they hold.
    image: Option<String>,
    caption: Option<String>,
    key: Option<String>,
    batches: Option<Batches>,
    batch: Option<RecordBatch>,
    /// The next row of `batch`.
    row: usize,
    num_rows: u64,
    read: u64,
    first: u64,
    /// What ended the reading before the file's end.
    failure: Option<String>,
    /// Whether it has been told that the file itself ends before its time.
    is_done: bool,
}

impl ColumnarReader {
    pub(super) fn open(path: &Location, options: ReadOptions, keys: Keys) -> Result<Self, Error> {
        let content = path.open_parts().map_err(Error::io("read", path))?;
        let table = Table::open(path, content).map_err(|error| wrong(path, error))?;
        let (num_rows, schema) = (table.num_rows() as u64, table.schema().clone());
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let columns = Columns::find(&options, &names, path)?;
        let modality = options.modality;
        let refuse = |column: usize, expected| {
            let (column, got) = (names[column].clone(), schema.field(column).data_type().to_string());
            Err(ReadError::ColumnType { path: path.to_path_buf(), column, got, expected })
        };
        let mut image = columns.image.filter(|_| modality.has_image());
        if let Some(column) = image
            && !holds_images(schema.field(column).data_type())
        {
            refuse(column, "binary, text, or a struct of `bytes` and `path`")?;
        }
        // Metadata is kept where it costs nothing: paths of pictures beside captions, but not the pictures.
        let is_path = |column: &usize| holds_text(schema.field(*column).data_type());
        image = image.or(columns.image.filter(is_path));
        let caption = columns.caption.filter(|column| modality.has_text() || is_path(column));
        if let Some(column) = caption
            && !holds_text(schema.field(column).data_type())
        {
            refuse(column, "text, numbers, or a list of these")?;
        }
        let key = match keys {
            Keys::From(_) => columns.key,
            Keys::Pictures => columns.key.or(columns.image),
        };
        // Rows known by other names than their own would be silently taken for others.
        if let Some(column) = key
            && (!holds_text(schema.field(column).data_type()) || schema.field(column).data_type().is_floating())
        {
            refuse(column, "text or whole numbers")?;
        }
        let name = |column: Option<usize>| column.map(|column| names[column].clone());
        let mut reader = Self {
            path: path.clone(),
            options,
            table,
            image: name(image),
            caption: name(caption),
            key: name(key),
            batches: None,
            batch: None,
            row: 0,
            num_rows,
            read: 0,
            failure: None,
            is_done: false,
            first: if let Keys::From(first) = keys { first } else { 0 },
        };
        reader.start_at(0)?;
        Ok(reader)
    }

    /// Goes on with a row of the file; what is before it is not read.
    fn start_at(&mut self, row: u64) -> Result<(), Error> {
        let wanted = [&self.image, &self.caption, &self.key].into_iter().flatten();
        let place = |name: &String| self.table.schema().column_with_name(name).map(|(place, _)| place);
        let mut columns: Vec<usize> = wanted.filter_map(place).collect();
        columns.sort_unstable();
        columns.dedup();
        let rows = row as usize..self.num_rows as usize;
        let ranges = self.table.byte_ranges(&columns, &rows).map_err(|error| wrong(&self.path, error))?;
        self.path.plan(ranges);
        let batches = self.table.batches(Some(&columns), rows, BATCH_ROWS);
        self.batches = Some(batches.map_err(|error| wrong(&self.path, error))?);
        (self.batch, self.row, self.read) = (None, 0, row);
        Ok(())
    }

    fn next_batch(&mut self) -> Result<bool, Error> {
        if let Some(failure) = &self.failure {
            return Err(Error::io("read", &self.path)(std::io::Error::other(failure.clone())));
        }
        let next = self.batches.as_mut().and_then(Iterator::next).transpose();
        (self.batch, self.row) = (next?, 0);
        Ok(self.batch.is_some())
    }

    /// What stands for the rest of a file that ends before its time.
    fn rest(&mut self) -> Option<Record> {
        let failure = self.table.failure().filter(|_| !self.is_done)?;
        self.is_done = true;
        Some(Record::rest(&self.path, failure))
    }

    /// A row of what cannot be read to the file's end: each has a record, so that none is missed in silence.
    fn broken(&mut self, error: &Error) -> Option<Record> {
        let reason = self.failure.get_or_insert_with(|| error.to_string()).clone();
        self.batches = None;
        if self.read >= self.num_rows {
            return self.rest();
        }
        let key = (self.first + self.read).to_string();
        self.read += 1;
        Some(Record::unusable(key, reason))
    }

    fn record(&self, batch: &RecordBatch, row: usize) -> Record {
        let text = |name: &Option<String>| text_at(batch.column_by_name(name.as_ref()?)?, row);
        let mut sample = Sample {
            key: text(&self.key).unwrap_or_else(|| (self.first + self.read).to_string()),
            caption: text(&self.caption),
            ..Sample::default()
        };
        if let Some(column) = self.image.as_ref().and_then(|name| batch.column_by_name(name)) {
            self.place_image(&mut sample, column, row);
        }
        let (has_image, names) = (sample.image.is_some(), [&self.image, &self.caption]);
        let is_lost = self.path.is_elsewhere() && sample.image_path.is_some() && !has_image;
        Record::checked(sample, self.options.modality, || {
            if is_lost {
                return NOT_FOLLOWED.to_owned();
            }
            let name = names[usize::from(has_image || self.image.is_none())].as_deref().unwrap_or_default();
            format!("column `{name}` is empty")
        })
    }

    fn place_image(&self, sample: &mut Sample, column: &ArrayRef, row: usize) {
        let (bytes, path) = match column.as_struct_opt() {
            Some(fields) if fields.is_null(row) => return,
            Some(fields) => (fields.column_by_name("bytes"), fields.column_by_name("path")),
            None => (Some(column), None),
        };
        let path = path.and_then(|path| text_at(path, row));
        if let Some(bytes) = bytes.and_then(|bytes| bytes_at(bytes, row)) {
            (sample.image, sample.image_path) = (Some(ImageSource::Bytes(bytes)), path);
        } else if let Some(text) = bytes.and_then(|bytes| text_at(bytes, row)).or(path) {
            Picture::of(&text).place(sample, &self.path);
        }
    }
}

impl Iterator for ColumnarReader {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.batch.as_ref().is_none_or(|batch| self.row >= batch.num_rows()) {
            match self.next_batch() {
                Ok(true) => {}
                Ok(false) => return self.rest().map(Ok),
                // What cannot be had now can be had later: it is no fault of the rows.
                Err(error) => match self.path.take_failure() {
                    Some(failure) => return Some(Err(failure)),
                    None => return self.broken(&error).map(Ok),
                },
            }
        }
        let record = self.record(self.batch.as_ref()?, self.row);
        self.row += 1;
        self.read += 1;
        Some(Ok(record))
    }
}

impl Reader for ColumnarReader {
    fn skip_records(&mut self, count: u64) -> Result<u64, Error> {
        let skipped = count.min(self.num_rows - self.read);
        self.start_at(self.read + skipped)?;
        // What stands for the rest is a record, too.
        Ok(if skipped < count && self.rest().is_some() { skipped + 1 } else { skipped })
    }
}

/// Why a table cannot be read: a part that could not be had, or a fault of the table.
fn wrong(path: &Location, error: himacl_data::Error) -> Error {
    path.take_failure().unwrap_or_else(|| error.into())
}

/// Text, numbers that are shown as text, categories of either, and lists, of which the first counts. A column without any value is
/// one of nulls, or of floats, as pandas writes it.
fn holds_text(kind: &DataType) -> bool {
    match kind {
        DataType::Null
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Float32
        | DataType::Float64 => true,
        DataType::Dictionary(_, values) => holds_text(values),
        // Lists of floats are embeddings.
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            !field.data_type().is_floating() && holds_text(field.data_type())
        }
        other => other.is_integer(),
    }
}

fn holds_images(kind: &DataType) -> bool {
    match kind {
        DataType::Null
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View => true,
        DataType::Struct(fields) => {
            fields.iter().any(|field| field.name() == "bytes" && holds_images(field.data_type()))
        }
        DataType::Dictionary(_, values) => holds_images(values),
        _ => false,
    }
}

fn text_at(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    let first_of = |list: ArrayRef| (0..list.len()).find_map(|place| text_at(&list, place));
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => Some(column.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => Some(column.as_string_view().value(row).to_owned()),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            text_at(dictionary.values(), *dictionary.normalized_keys().get(row)?)
        }
        DataType::List(_) => first_of(column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => first_of(column.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => first_of(column.as_fixed_size_list().value(row)),
        DataType::Int8 => Some(column.as_primitive::<Int8Type>().value(row).to_string()),
        DataType::Int16 => Some(column.as_primitive::<Int16Type>().value(row).to_string()),
        DataType::Int32 => Some(column.as_primitive::<Int32Type>().value(row).to_string()),
        DataType::Int64 => Some(column.as_primitive::<Int64Type>().value(row).to_string()),
        DataType::UInt8 => Some(column.as_primitive::<UInt8Type>().value(row).to_string()),
        DataType::UInt16 => Some(column.as_primitive::<UInt16Type>().value(row).to_string()),
        DataType::UInt32 => Some(column.as_primitive::<UInt32Type>().value(row).to_string()),
        DataType::UInt64 => Some(column.as_primitive::<UInt64Type>().value(row).to_string()),
        DataType::Float32 => {
            Some(column.as_primitive::<Float32Type>().value(row)).filter(|x| !x.is_nan()).map(|x| x.to_string())
        }
        DataType::Float64 => {
            Some(column.as_primitive::<Float64Type>().value(row)).filter(|x| !x.is_nan()).map(|x| x.to_string())
        }
        _ => None,
    }
}

fn bytes_at(column: &ArrayRef, row: usize) -> Option<Vec<u8>> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Binary => Some(column.as_binary::<i32>().value(row).to_vec()),
        DataType::LargeBinary => Some(column.as_binary::<i64>().value(row).to_vec()),
        DataType::BinaryView => Some(column.as_binary_view().value(row).to_vec()),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            bytes_at(dictionary.values(), *dictionary.normalized_keys().get(row)?)
        }
        _ => None,
    }
}
