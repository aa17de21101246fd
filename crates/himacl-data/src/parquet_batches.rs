//! Parquet files by a library that panics over some damaged ones: such a panic becomes an error here.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, now, would become an error: a hook need not report it.
pub fn panics_are_errors() -> bool {
    GUARDED.get()
}

/// What `read` gives; an error where it panics.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let before = GUARDED.replace(true);
    // What `read` was at work on is dropped.
    let outcome = catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(before);
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(ParquetError::General(format!("the file is damaged ({text})")))
    })
}

/// Opens a file by its footer.
///
/// # Errors
/// No parquet file, or a damaged one.
pub fn open_parquet<T: ChunkReader + 'static>(file: T) -> Result<ParquetRecordBatchReaderBuilder<T>, ParquetError> {
    guarded(|| ParquetRecordBatchReaderBuilder::try_new(file))
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
        assert!(!panics_are_errors());
    }
}
