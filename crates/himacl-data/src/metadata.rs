//! The metadata columns that go with embeddings, one row each.

use crate::error::Error;
use crate::guard::guarded;
use crate::table::Table;
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::interleave::interleave;
use parquet::arrow::ArrowWriter;
use std::collections::HashSet;
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

/// Rows decoded at a time.
const BATCH_ROWS: usize = 65_536;

/// The tables of a set's metadata: files that follow one another, and which of their columns are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    pub(crate) paths: Vec<PathBuf>,
    /// Where the tables are those that the embeddings are in: the columns of these.
    pub(crate) beside: Option<Vec<String>>,
}

/// Columns that are read of each of several files, by their places in it, as one.
struct Common {
    schema: SchemaRef,
    places: Vec<Vec<usize>>,
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
    /// all rows where types differ, since values decide then whether one type holds them. Returns the columns beside embeddings that are not
    /// read.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn check(tables: &Tables) -> Result<Vec<String>, Error> {
        let (common, left_out) = tables.common()?;
        let Some(Common { schema, places }) = common else { return Ok(left_out) };
        for (path, places) in tables.paths.iter().zip(&places) {
            let own = Table::open_whole(path)?.schema().clone();
            let is_same = places.iter().zip(schema.fields()).all(|(&at, field)| own.field(at) == &**field);
            // A first row brings to light what the footer does not tell: an unknown compression, a broken page.
            each_batch(path, (&schema, places), if is_same { 1 } else { usize::MAX }, |_| ())?;
        }
        Ok(left_out)
    }

    /// Reads tables that follow one another.
    ///
    /// Columns of one name take a type that holds the values of all files (`common_type`): files that are written one by one have
    /// other types where values are missing. Beside embeddings, columns that not all files have are left out, and such as hold other
    /// embeddings (lists of floats) or files (bytes).
    ///
    /// # Errors
    /// [`Error::Parquet`], [`Error::Arrow`] for an unreadable file, [`Error::Columns`] where they have not all the same columns or no type
    /// holds one, [`Error::Rounding`] where a value would change in that type.
    pub(crate) fn read(tables: &Tables) -> Result<Option<Self>, Error> {
        let (Some(Common { schema, places }), _) = tables.common()? else { return Ok(None) };
        let mut all = Self { schema: schema.clone(), batches: Vec::new(), starts: Vec::new(), num_rows: 0 };
        for (path, places) in tables.paths.iter().zip(&places) {
            each_batch(path, (&schema, places), usize::MAX, |batch| {
                all.starts.push(all.num_rows);
                all.num_rows += batch.num_rows();
                all.batches.push(batch);
            })?;
        }
        Ok(Some(all))
    }

    /// Reads a table of its own, a parquet or Arrow file.
    ///
    /// # Errors
    /// [`Error::Parquet`], [`Error::Arrow`] for a file that is none.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let tables = Tables { paths: vec![path.to_path_buf()], beside: None };
        Ok(Self::read(&tables)?.unwrap_or_else(|| unreachable!("there is a file")))
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

    /// As [`Self::labels`], of a column of tables that follow one another, of which nothing else is read.
    ///
    /// # Errors
    /// [`Error::Parquet`], [`Error::Arrow`].
    pub(crate) fn labels_in(paths: &[&Path], name: &str) -> Result<Option<Vec<Option<String>>>, Error> {
        let mut entries = Vec::new();
        for path in paths {
            let table = Table::open_whole(path)?;
            let Some((index, _)) = table.schema().column_with_name(name) else { return Ok(None) };
            for batch in table.batches(Some(&[index]), 0..table.num_rows(), BATCH_ROWS)? {
                let Some(names) = names_in(batch?.column(0)) else { return Ok(None) };
                entries.extend(names);
            }
        }
        Ok(Some(entries))
    }

    /// The columns of a table, `name: type`.
    ///
    /// # Errors
    /// [`Error::Parquet`], [`Error::Arrow`].
    pub(crate) fn columns_of(path: &Path) -> Result<Vec<String>, Error> {
        Ok(describe(Table::open_whole(path)?.schema()))
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

/// Number of rows of a table, without reading them.
pub(crate) fn count_rows(path: &Path) -> Result<usize, Error> {
    Ok(Table::open_whole(path)?.num_rows())
}

/// Hands over the first `rows` rows of a file, in batches of the columns of a schema, which are at these places in it.
fn each_batch(
    path: &Path,
    (schema, places): (&SchemaRef, &[usize]),
    rows: usize,
    mut take: impl FnMut(RecordBatch),
) -> Result<(), Error> {
    let mut chosen = places.to_vec();
    chosen.sort_unstable();
    let table = Table::open_whole(path)?;
    for batch in table.batches(Some(&chosen), 0..rows.min(table.num_rows()), BATCH_ROWS)? {
        let batch = batch?;
        let columns = places.iter().zip(schema.fields()).map(|(place, field)| {
            let column = batch.column(chosen.partition_point(|chosen| chosen < place));
            convert(column, field.data_type()).ok_or_else(|| Error::Rounding {
                path: path.to_path_buf(),
                column: field.name().clone(),
                kind: field.data_type().to_string(),
            })
        });
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = columns.collect::<Result<_, Error>>()?;
        let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
        take(batch.map_err(|error| Error::parquet(path)(error.into()))?);
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

impl Tables {
    /// The columns that are read, in types that hold the values of all files, if there are some; and those that are not.
    fn common(&self) -> Result<(Option<Common>, Vec<String>), Error> {
        let Some(reference) = self.paths.first() else { return Ok((None, Vec::new())) };
        let schemas = self.paths.iter().map(|path| Ok(Table::open_whole(path)?.schema().clone()));
        let schemas: Vec<SchemaRef> = schemas.collect::<Result<_, Error>>()?;
        let Some(embeddings) = &self.beside else {
            return Ok((Some(all_columns(&self.paths, reference, &schemas)?), Vec::new()));
        };
        let (common, left_out) = columns_beside(embeddings, &schemas);
        Ok((Some(common).filter(|common| !common.schema.fields().is_empty()), left_out))
    }
}

/// The columns that all files have, which may have no others.
fn all_columns(paths: &[PathBuf], reference: &Path, schemas: &[SchemaRef]) -> Result<Common, Error> {
    let first = &schemas[0];
    let mut fields: Vec<Field> = first.fields().iter().map(|field| field.as_ref().clone()).collect();
    for (path, schema) in paths.iter().zip(schemas) {
        let differ = || Error::Columns {
            path: path.clone(),
            got: describe(schema),
            expected: describe(first),
            reference: reference.to_path_buf(),
        };
        if schema.fields().len() != fields.len() {
            return Err(differ());
        }
        for (field, own) in fields.iter_mut().zip(schema.fields()) {
            let common = if field.name() == own.name() { common_field(field, own) } else { None };
            *field = common.ok_or_else(differ)?;
        }
    }
    let places = vec![(0..fields.len()).collect(); schemas.len()];
    Ok(Common { schema: Arc::new(Schema::new_with_metadata(fields, first.metadata().clone())), places })
}

/// The columns beside embeddings that all files have and a table of pairs can hold; and those that are left out.
fn columns_beside(embeddings: &[String], schemas: &[SchemaRef]) -> (Common, Vec<String>) {
    let (mut fields, mut left_out, mut known) = (Vec::new(), Vec::new(), HashSet::new());
    let mut places = vec![Vec::new(); schemas.len()];
    for field in schemas.iter().flat_map(|schema| schema.fields()) {
        if embeddings.contains(field.name()) || !known.insert(field.name()) {
            continue;
        }
        let found: Option<Vec<(usize, &Field)>> =
            schemas.iter().map(|schema| schema.column_with_name(field.name())).collect();
        let common = found.as_ref().and_then(|found| {
            let first = found[0].1.clone();
            found.iter().try_fold(first, |field, (_, own)| common_field(&field, own))
        });
        match (common.filter(|field| !is_bulk(field.data_type()) && can_write(field)), found) {
            (Some(common), Some(found)) => {
                fields.push(common);
                places.iter_mut().zip(found).for_each(|(places, (at, _))| places.push(at));
            }
            _ => left_out.push(field.name().clone()),
        }
    }
    (Common { schema: Arc::new(Schema::new(fields)), places }, left_out)
}

/// A column that holds the values of two.
fn common_field(field: &Field, own: &Field) -> Option<Field> {
    let kind = common_type(field.data_type(), own.data_type())?;
    let nullable = field.is_nullable() || own.is_nullable() || *own.data_type() == DataType::Null;
    Some(field.clone().with_data_type(kind).with_nullable(nullable))
}

/// Whether a column holds embeddings or files: what is too much for a table of pairs.
fn is_bulk(kind: &DataType) -> bool {
    match kind {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type().is_floating() || is_bulk(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| is_bulk(field.data_type())),
        DataType::Dictionary(_, values) => is_bulk(values),
        _ => false,
    }
}

/// Whether a table of pairs can hold a column: parquet has not all types of Arrow.
fn can_write(field: &Field) -> bool {
    let schema = Arc::new(Schema::new(vec![field.clone().with_nullable(true)]));
    let write = || {
        let batch = RecordBatch::try_new(schema.clone(), vec![new_null_array(field.data_type(), 1)])?;
        let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), None)?;
        writer.write(&batch)?;
        writer.close().map(drop)
    };
    guarded(write, |reason| parquet::errors::ParquetError::General(reason.to_owned())).is_ok()
}

fn describe(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| format!("{}: {}", field.name(), field.data_type())).collect()
}
