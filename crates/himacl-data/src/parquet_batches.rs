//! Parquet files by a library that panics over some damaged ones: such a panic becomes an error here.

use crate::guard;
use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};
use std::io::{self, Read};

/// What `read` gives; an error where it panics.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    guard::guarded(read, |reason| ParquetError::General(format!("the file is damaged ({reason})")))
}

/// Opens a file by its footer.
///
/// # Errors
/// No parquet file, or a damaged one.
pub fn open_parquet<T: ChunkReader + 'static>(
    file: T,
) -> Result<ParquetRecordBatchReaderBuilder<Ending<T>>, ParquetError> {
    guarded(|| {
        let builder = ParquetRecordBatchReaderBuilder::try_new(Ending(file))?;
        check_rows(builder.metadata())?;
        Ok(builder)
    })
}

/// Refuses a footer that contradicts itself in how many rows there are: room is made, and rows are counted, by what it says.
fn check_rows(metadata: &ParquetMetaData) -> Result<(), ParquetError> {
    let damaged = |what: String| Err(ParquetError::General(format!("the file is damaged ({what})")));
    let mut sum = 0_i64;
    for group in metadata.row_groups() {
        let rows = group.num_rows();
        // A list has a value at least, or something in the place of one.
        if let Some(column) = group.columns().iter().find(|column| column.num_values() < rows) {
            return damaged(format!("{rows} rows, and {} values of `{}`", column.num_values(), column.column_path()));
        }
        sum = sum.saturating_add(rows);
    }
    let rows = metadata.file_metadata().num_rows();
    if rows < 0 || rows != sum { damaged(format!("{rows} rows, and {sum} in its groups")) } else { Ok(()) }
}

/// A file whose end is an error to whoever reads on: a page's header may tell of billions of fields that are not there, and the
/// library looks for each.
#[derive(Debug)]
pub struct Ending<T>(T);

impl<T: Length> Length for Ending<T> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<T: ChunkReader> ChunkReader for Ending<T> {
    type T = EndingRead<T::T>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(EndingRead { inner: self.0.get_read(start)?, at_end: 0 })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.0.get_bytes(start, length)
    }
}

/// What reads from an [`Ending`].
#[derive(Debug)]
pub struct EndingRead<R> {
    inner: R,
    /// How often there was nothing more.
    at_end: u32,
}

impl<R: Read> Read for EndingRead<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        const PATIENCE: u32 = 64;
        let got = self.inner.read(into)?;
        if got == 0 && !into.is_empty() {
            self.at_end += 1;
            if self.at_end > PATIENCE {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(got)
    }
}

/// The batches of a file, one after the other; none after an error.
#[derive(Debug)]
pub struct ParquetBatches(Option<ParquetRecordBatchReader>);

impl ParquetBatches {
    /// Begins to read.
    ///
    /// # Errors
    /// What the library refuses; a damaged file.
    pub fn new<T: ChunkReader + 'static>(builder: ParquetRecordBatchReaderBuilder<T>) -> Result<Self, ParquetError> {
        guarded(|| builder.build()).map(|reader| Self(Some(reader)))
    }
}

impl Iterator for ParquetBatches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.0.take()?;
        match guarded(|| Ok((reader.next(), reader))) {
            Ok((batch, reader)) => {
                self.0 = Some(reader).filter(|_| !matches!(batch, None | Some(Err(_))));
                batch
            }
            Err(error) => Some(Err(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let divide = |by: usize| guarded(|| Ok(8 / by));
        assert_eq!(divide(2).unwrap(), 4);
        let error = divide(0).unwrap_err().to_string();
        assert!(error.contains("the file is damaged (attempt to divide by zero)"), "{error}");
    }
}
