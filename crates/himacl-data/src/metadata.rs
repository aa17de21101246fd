//! The metadata columns that go with embeddings, one row each.

use crate::error::Error;
use crate::parquet_batches::{Ending, ParquetBatches, open_parquet};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::interleave::interleave;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The values of a column as text, in one way whatever type tells of them: whole numbers without a fraction, decimals without zeros at
/// their end, times by the clock of Greenwich, midnight as the day. None for a type that has no text.
fn names_in(column: &ArrayRef) -> Option<Vec<Option<String>>> {
    let cast = |column: &ArrayRef, kind: &DataType| cast_with_options(column, kind, &CastOptions::default()).ok();
    let kind = column.data_type();
    let text = match kind {
        DataType::Timestamp(unit, Some(_)) => {
            cast(&cast(&cast(column, &DataType::Int64)?, &DataType::Timestamp(*unit, None))?, &DataType::LargeUtf8)?
        }
        _ => cast(column, &DataType::LargeUtf8)?,
    };
    let change: Option<fn(&mut String)> = match kind {
        kind if kind.is_floating() => Some(without_fraction),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            Some(without_zeros)
        }
        DataType::Date64 | DataType::Timestamp(..) => Some(without_midnight),
        _ => None,
    };
    let mut entries: Vec<Option<String>> = text.as_string::<i64>().iter().map(|text| text.map(str::to_owned)).collect();
    if let Some(change) = change {
        entries.iter_mut().flatten().for_each(change);
    }
    Some(entries)
}

fn without_zeros(text: &mut String) {
    if text.contains('.') {
        let length = text.trim_end_matches('0').trim_end_matches('.').len();
        text.truncate(length);
    }
}

fn without_midnight(text: &mut String) {
    if let Some(day) = text.strip_suffix("T00:00:00") {
        *text = day.to_owned();
    }
}

/// A whole number as one: a column of integers that had missing values once is one of floats.
fn without_fraction(text: &mut String) {
    if let Some(whole) = text.strip_suffix(".0") {
        *text = if whole == "-0" { "0".to_owned() } else { whole.to_owned() };
    }
}

/// The values of a column, one a row, `None` where one is missing.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnValues {
    /// Of a column of numbers; all are finite.
    Numbers(Vec<Option<f64>>),
    /// Names: of a column of text, booleans, categories, dates.
    Names(Vec<Option<String>>),
}

/// Columns of a set's metadata, in the batches they were read in.
#[derive(Debug, Clone)]
pub struct Metadata {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// First row of each batch, ascending.
    starts: Vec<usize>,
    num_rows: usize,
}

impl Metadata {
    /// Checks that the files can be read and go together: columns, types, compression. Reads the first row of each file, and
    /// all rows where types differ, since values decide then whether one type holds them.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn check(paths: &[PathBuf]) -> Result<(), Error> {
        let Some(schema) = common_schema(paths)? else { return Ok(()) };
        for path in paths {
            let rows = if open(path)?.schema().fields() == schema.fields() { 1 } else { usize::MAX };
            // A first row brings to light what the footer does not tell: an unknown compression, a broken page.
            each_batch(path, &schema, rows, |_| ())?;
        }
        Ok(())
    }

    /// Reads parquet files that follow one another.
    ///
    /// Columns of one name take a type that holds the values of all files (`common_type`): files that are written one by one have
    /// other types where values are missing.
    ///
    /// # Errors
    /// [`Error::Parquet`] for an unreadable file, [`Error::Columns`] where they have not all the same columns or no type holds one,
    /// [`Error::Rounding`] where a value would change in that type.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Option<Self>, Error> {
        let Some(schema) = common_schema(paths)? else { return Ok(None) };
        let mut all = Self { schema: schema.clone(), batches: Vec::new(), starts: Vec::new(), num_rows: 0 };
        for path in paths {
            each_batch(path, &schema, usize::MAX, |batch| {
                all.starts.push(all.num_rows);
                all.num_rows += batch.num_rows();
                all.batches.push(batch);
            })?;
        }
        Ok(Some(all))
    }

    /// Reads a table of its own, a parquet file.
    ///
    /// # Errors
    /// [`Error::Parquet`] for a file that is none.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self::read(&[path.to_path_buf()])?.unwrap_or_else(|| unreachable!("there is a file")))
    }

    /// Number of rows.
    pub fn num_rows(&self) -> usize {
        self.num_rows
    }

    /// The columns' names and types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A column of text, one entry a row, `None` for a null; `None` where there is no such column or it holds something else.
    pub fn text_column(&self, name: &str) -> Option<Vec<Option<String>>> {
        let (index, field) = self.schema.column_with_name(name)?;
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let mut entries = Vec::with_capacity(self.num_rows);
        for column in self.batches.iter().map(|batch| batch.column(index)) {
            match field.data_type() {
                DataType::Utf8 => entries.extend(column.as_string::<i32>().iter().map(owned)),
                DataType::LargeUtf8 => entries.extend(column.as_string::<i64>().iter().map(owned)),
                DataType::Utf8View => entries.extend(column.as_string_view().iter().map(owned)),
                _ => return None,
            }
        }
        Some(entries)
    }

    /// A column of text or numbers as text, one entry a row, `None` for a null: names of categories. `None` where there is no such column or it has no
    /// text.
    pub fn labels(&self, name: &str) -> Option<Vec<Option<String>>> {
        let (index, _) = self.schema.column_with_name(name)?;
        let mut entries = Vec::with_capacity(self.num_rows);
        for column in self.batches.iter().map(|batch| batch.column(index)) {
            entries.extend(names_in(column)?);
        }
        Some(entries)
    }

    /// As [`Self::labels`], of a column of parquet files that follow one another, of which nothing else is read.
    ///
    /// # Errors
    /// [`Error::Parquet`].
    pub(crate) fn labels_in(paths: &[&Path], name: &str) -> Result<Option<Vec<Option<String>>>, Error> {
        let mut entries = Vec::new();
        for path in paths {
            let wrong = |error: ArrowError| Error::parquet(path)(error.into());
            let builder = open(path)?;
            let Some((index, _)) = builder.schema().column_with_name(name) else { return Ok(None) };
            let mask = ProjectionMask::roots(builder.parquet_schema(), [index]);
            for batch in ParquetBatches::new(builder.with_projection(mask)).map_err(Error::parquet(path))? {
                let Some(names) = names_in(batch.map_err(wrong)?.column(0)) else { return Ok(None) };
                entries.extend(names);
            }
        }
        Ok(Some(entries))
    }

    /// The columns of a parquet file, `name: type`.
    ///
    /// # Errors
    /// [`Error::Parquet`].
    pub(crate) fn columns_of(path: &Path) -> Result<Vec<String>, Error> {
        Ok(describe(open(path)?.schema()))
    }

    /// The values of a column: numbers, or else names. NaN, infinities and empty texts are missing. `None` where there is no such
    /// column, or it holds neither.
    pub fn values(&self, name: &str) -> Option<ColumnValues> {
        let (index, field) = self.schema.column_with_name(name)?;
        if !field.data_type().is_numeric() {
            let mut names = self.labels(name)?;
            names.iter_mut().for_each(|name| *name = name.take().filter(|name| !name.is_empty()));
            return Some(ColumnValues::Names(names));
        }
        let mut entries = Vec::with_capacity(self.num_rows);
        for column in self.batches.iter().map(|batch| batch.column(index)) {
            let numbers = cast_with_options(column, &DataType::Float64, &CastOptions::default()).ok()?;
            let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
            entries.extend(numbers.as_primitive::<Float64Type>().iter().map(finite));
        }
        Some(ColumnValues::Numbers(entries))
    }

    /// All columns of the rows given, in the order given.
    ///
    /// # Errors
    /// An arrow error where the selection outgrows a column's type (2 GiB of text): select fewer rows at a time.
    ///
    /// # Panics
    /// If a row lies beyond the end.
    pub fn take(&self, rows: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        let place = |&row: &u32| {
            let row = row as usize;
            assert!(row < self.num_rows, "row {row} of {}", self.num_rows);
            let batch = self.starts.partition_point(|&start| start <= row) - 1;
            (batch, row - self.starts[batch])
        };
        let places: Vec<(usize, usize)> = rows.iter().map(place).collect();
        let column = |column: usize| {
            let parts: Vec<&dyn Array> = self.batches.iter().map(|batch| batch.column(column).as_ref()).collect();
            interleave(&parts, &places)
        };
        (0..self.schema.fields().len()).map(column).collect()
    }
}

/// Number of rows of a parquet file, from its footer.
pub(crate) fn count_rows(path: &Path) -> Result<usize, Error> {
    Ok(open(path)?.metadata().file_metadata().num_rows() as usize)
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<Ending<File>>, Error> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    open_parquet(file).map_err(Error::parquet(path))
}

/// Hands over the first `rows` rows of a file, in batches of the columns of `schema`.
fn each_batch(path: &Path, schema: &SchemaRef, rows: usize, mut take: impl FnMut(RecordBatch)) -> Result<(), Error> {
    let wrong = |error: ArrowError| Error::parquet(path)(error.into());
    let builder = open(path)?.with_batch_size(rows.min(65_536)).with_limit(rows);
    for batch in ParquetBatches::new(builder).map_err(Error::parquet(path))? {
        let batch = batch.map_err(wrong)?;
        let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
            convert(column, field.data_type()).ok_or_else(|| Error::Rounding {
                path: path.to_path_buf(),
                column: field.name().clone(),
                kind: field.data_type().to_string(),
            })
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = columns.collect::<Result<_, Error>>()?;
        take(RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(wrong)?);
    }
    Ok(())
}

/// A type that holds the values of two: null with anything; whole numbers of any width (i64); whole numbers with others (f64, as
/// pandas has a column of whole numbers of which some are missing); texts of any kind, categories included.
fn common_type(a: &DataType, b: &DataType) -> Option<DataType> {
    let is_plain = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let is_text = |kind: &DataType| match kind {
        DataType::Dictionary(_, values) => is_plain(values),
        kind => is_plain(kind),
    };
    match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (a, b) if is_text(a) && is_text(b) => Some(DataType::LargeUtf8),
        (a, b) if a.is_integer() && b.is_integer() => Some(DataType::Int64),
        (a, b) if a.is_numeric() && b.is_numeric() => Some(DataType::Float64),
        _ => None,
    }
}

/// A column in a common type; none if a value would change.
fn convert(column: &ArrayRef, kind: &DataType) -> Option<ArrayRef> {
    if column.data_type() == kind {
        return Some(column.clone());
    }
    // What a type cannot hold is refused so; but whole numbers beyond 2^53 become rounded reals.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let converted = cast_with_options(column, kind, &options).ok()?;
    if column.data_type().is_integer() && kind == &DataType::Float64 {
        let back = cast_with_options(&converted, column.data_type(), &options).ok()?;
        return (back.as_ref() == column.as_ref()).then_some(converted);
    }
    Some(converted)
}

/// The columns that all files have, in types that hold the values of all.
fn common_schema(paths: &[PathBuf]) -> Result<Option<SchemaRef>, Error> {
    let Some(reference) = paths.first() else { return Ok(None) };
    let first = open(reference)?.schema().clone();
    let mut fields: Vec<Field> = first.fields().iter().map(|field| field.as_ref().clone()).collect();
    for path in paths {
        let schema = open(path)?.schema().clone();
        let differ = || Error::Columns {
            path: path.clone(),
            got: describe(&schema),
            expected: describe(&first),
            reference: reference.clone(),
        };
        if schema.fields().len() != fields.len() {
            return Err(differ());
        }
        for (field, own) in fields.iter_mut().zip(schema.fields()) {
            let (kind, own_kind) = (field.data_type().clone(), own.data_type());
            let common = if field.name() == own.name() { common_type(&kind, own_kind) } else { None };
            let kind = common.ok_or_else(differ)?;
            let nullable = field.is_nullable() || own.is_nullable() || *own_kind == DataType::Null;
            *field = field.clone().with_data_type(kind).with_nullable(nullable);
        }
    }
    Ok(Some(Arc::new(Schema::new_with_metadata(fields, first.metadata().clone()))))
}

fn describe(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| format!("{}: {}", field.name(), field.data_type())).collect()
}
