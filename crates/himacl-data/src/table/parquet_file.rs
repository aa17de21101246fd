//! Parquet files by a library that panics over some damaged ones: such a panic becomes an error here.

use super::lists::ListFacts;
use super::page_header::PageHeader;
use crate::files::is_pointer;
use crate::guard;
use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What `read` gives; an error where it panics.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    guard::guarded(read, |reason| ParquetError::General(format!("the file is damaged ({reason})")))
}

/// What Git has in the place of a large file is shorter.
const POINTER_BYTES: u64 = 1024;

/// An open parquet file.
#[derive(Debug)]
pub(super) struct ParquetTable<C> {
    file: Ending<C>,
    footer: ArrowReaderMetadata,
}

impl<C: ChunkReader + 'static> ParquetTable<C> {
    /// Opens a file by its footer.
    pub(super) fn open(file: C) -> Result<Self, ParquetError> {
        guarded(|| {
            let most = Arc::new(AtomicU64::new(u64::MAX));
            let length = file.len();
            if length < POINTER_BYTES && is_pointer(&file.get_bytes(0, length as usize)?) {
                return Err(ParquetError::General(
                    "a Git LFS pointer, not the file itself\nhint: `git lfs pull` fetches it".to_owned(),
                ));
            }
            let file = Ending { file: Arc::new(file), most };
            let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default())?;
            check_rows(footer.metadata())?;
            file.most.store(most_of_a_page(footer.metadata(), length), Ordering::Relaxed);
            Ok(Self { file, footer })
        })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        self.footer.schema()
    }

    pub(super) fn num_rows(&self) -> usize {
        self.footer.metadata().file_metadata().num_rows() as usize
    }

    /// Begins to read; row groups before and behind the rows are passed over.
    pub(super) fn batches(
        &self,
        columns: Option<&[usize]>,
        rows: &Range<usize>,
        batch_rows: usize,
    ) -> Result<ParquetBatches, ParquetError> {
        guarded(|| {
            let file = self.file.clone();
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.footer.clone());
            let builder = match columns {
                Some(columns) => builder.with_projection(self.chosen(columns)),
                None => builder,
            };
            let (groups, first) = self.groups_of(rows);
            let builder = builder.with_row_groups(groups).with_batch_size(batch_rows);
            builder.with_offset(rows.start - first).with_limit(rows.len()).build()
        })
        .map(|reader| ParquetBatches(Some(reader)))
    }

    /// Where the chosen columns are in the file, row group by row group; those side by side are one range.
    pub(super) fn byte_ranges(
        &self,
        columns: &[usize],
        rows: &Range<usize>,
    ) -> Result<Vec<Vec<Range<u64>>>, ParquetError> {
        let (metadata, chosen, groups) = (self.footer.metadata(), self.chosen(columns), self.groups_of(rows).0);
        guarded(|| {
            let of_group = |&group: &usize| {
                let columns = metadata.row_group(group).columns().iter().enumerate();
                let chosen = columns.filter(|(index, _)| chosen.leaf_included(*index));
                let mut ranges: Vec<Range<u64>> = Vec::new();
                for (start, length) in chosen.map(|(_, column)| column.byte_range()) {
                    match ranges.last_mut() {
                        Some(last) if last.end == start => last.end = start.saturating_add(length),
                        _ => ranges.push(start..start.saturating_add(length)),
                    }
                }
                ranges
            };
            Ok(groups.iter().map(of_group).collect())
        })
    }

    pub(super) fn list_facts(&self, column: usize) -> ListFacts {
        let metadata = self.footer.metadata();
        let name = self.schema().field(column).name();
        let groups = metadata.row_groups().iter();
        let of_column: Vec<_> =
            groups.flat_map(|group| group.columns()).filter(|chunk| chunk.column_path().parts()[0] == *name).collect();
        // Where a list is missing, one value is counted.
        let missing = |chunk: &&ColumnChunkMetaData| chunk.statistics().and_then(Statistics::null_count_opt);
        ListFacts {
            values: of_column.iter().fold(0, |sum: u64, chunk| sum.saturating_add(chunk.num_values().max(0) as u64)),
            may_miss: of_column.iter().any(|chunk| missing(chunk) != Some(0)),
        }
    }

    fn chosen(&self, columns: &[usize]) -> ProjectionMask {
        ProjectionMask::roots(self.footer.parquet_schema(), columns.iter().copied())
    }

    /// The row groups that some rows are in, and the first row of the first of them.
    fn groups_of(&self, rows: &Range<usize>) -> (Vec<usize>, usize) {
        let (mut groups, mut first, mut start) = (Vec::new(), rows.start, 0);
        for (index, group) in self.footer.metadata().row_groups().iter().enumerate() {
            let end = start + group.num_rows() as usize;
            if start < rows.end && rows.start < end {
                if groups.is_empty() {
                    first = start;
                }
                groups.push(index);
            }
            start = end;
        }
        (groups, first)
    }
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

/// The bytes that a page may claim to unpack to: the library makes room for them first. Some writers are off in their sums,
/// and a damaged footer may have any; what is packed to less than a thousandth is not larger than what is always allowed.
fn most_of_a_page(metadata: &ParquetMetaData, length: u64) -> u64 {
    const ALWAYS: u64 = 256 << 20;
    const GROWTH: u64 = 1000;
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let largest = columns.map(|column| column.uncompressed_size().max(0) as u64).max().unwrap_or(0);
    largest.saturating_mul(2).min(length.saturating_mul(GROWTH)).max(ALWAYS)
}

/// A file whose end is an error to whoever reads on: a page's header may tell of billions of fields that are not there, and the
/// library looks for each. So is a page that claims more bytes than its file can have.
#[derive(Debug)]
struct Ending<T> {
    file: Arc<T>,
    most: Arc<AtomicU64>,
}

impl<T> Clone for Ending<T> {
    fn clone(&self) -> Self {
        Self { file: Arc::clone(&self.file), most: Arc::clone(&self.most) }
    }
}

impl<T: Length> Length for Ending<T> {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl<T: ChunkReader> ChunkReader for Ending<T> {
    type T = EndingRead<T::T>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let (inner, most) = (self.file.get_read(start)?, self.most.load(Ordering::Relaxed));
        Ok(EndingRead { inner, at_end: 0, header: (most < u64::MAX).then(|| PageHeader::new(most)) })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.file.get_bytes(start, length)
    }
}

/// What reads from an [`Ending`]: headers of pages, whose content is read as bytes.
#[derive(Debug)]
struct EndingRead<R> {
    inner: R,
    /// How often there was nothing more.
    at_end: u32,
    /// The header that they are, once the footer has told what it may claim.
    header: Option<PageHeader>,
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
        if let Some(header) = &mut self.header {
            header.read(&into[..got]).map_err(|what| io::Error::other(format!("the file is damaged ({what})")))?;
        }
        Ok(got)
    }
}

/// The batches of a file, one after the other; none after an error.
#[derive(Debug)]
pub(super) struct ParquetBatches(Option<ParquetRecordBatchReader>);

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
