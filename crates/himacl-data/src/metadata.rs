//! The metadata columns that go with embeddings, one row each.

use crate::error::Error;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::interleave::interleave;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// Checks that the files can be read and go together, without reading their rows: columns, types, compression.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn check(paths: &[PathBuf]) -> Result<(), Error> {
        common_schema(paths)?;
        for path in paths {
            // The first row brings to light what the footer does not tell: an unknown compression, a broken page.
            let first = open(path)?.with_batch_size(1).build().map_err(Error::parquet(path))?.next();
            first.transpose().map_err(|error: ArrowError| Error::parquet(path)(error.into()))?;
        }
        Ok(())
    }

    /// Reads parquet files that follow one another.
    ///
    /// A column that is missing everywhere in one file (of type null) takes the type it has in the others.
    ///
    /// # Errors
    /// [`Error::Parquet`] for an unreadable file, [`Error::Columns`] where they have not all the same columns.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Option<Self>, Error> {
        let Some(schema) = common_schema(paths)? else { return Ok(None) };
        let mut all = Self { schema, batches: Vec::new(), starts: Vec::new(), num_rows: 0 };
        for path in paths {
            let wrong = |error: ArrowError| Error::parquet(path)(error.into());
            for batch in open(path)?.with_batch_size(65_536).build().map_err(Error::parquet(path))? {
                let batch = batch.map_err(wrong)?;
                let typed = batch.columns().iter().zip(all.schema.fields()).map(|(column, field)| {
                    let absent = column.data_type() == &DataType::Null && field.data_type() != &DataType::Null;
                    if absent { new_null_array(field.data_type(), column.len()) } else { column.clone() }
                });
                let batch = RecordBatch::try_new_with_options(
                    all.schema.clone(),
                    typed.collect(),
                    &RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
                );
                let batch = batch.map_err(wrong)?;
                all.starts.push(all.num_rows);
                all.num_rows += batch.num_rows();
                all.batches.push(batch);
            }
        }
        Ok(Some(all))
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

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, Error> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(Error::parquet(path))
}

/// The columns that all files have; a column may be of type null where it has another type in other files.
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
            if field.name() != own.name()
                || (kind != *own_kind && kind != DataType::Null && *own_kind != DataType::Null)
            {
                return Err(differ());
            }
            let kind = if kind == DataType::Null { own_kind.clone() } else { kind };
            let nullable = field.is_nullable() || own.is_nullable() || *own_kind == DataType::Null;
            *field = field.clone().with_data_type(kind).with_nullable(nullable);
        }
    }
    Ok(Some(Arc::new(Schema::new_with_metadata(fields, first.metadata().clone()))))
}

fn describe(schema: &SchemaRef) -> Vec<String> {
    schema.fields().iter().map(|field| format!("{}: {}", field.name(), field.data_type())).collect()
}
