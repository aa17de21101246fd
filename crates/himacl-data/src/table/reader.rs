//! A table, whatever its format: its schema, how many rows it has, and batches of some columns from some row on.

use super::arrow_file::ArrowTable;
use super::lists::ListFacts;
use super::parquet_file::ParquetTable;
use crate::error::Error;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::file::reader::ChunkReader;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Endings of Arrow files: of the file format, which is Feather's second version too, and of streams.
const ARROW: [&str; 3] = ["arrow", "feather", "ipc"];

/// Whether a file is an Arrow table by its name.
pub fn is_arrow(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ARROW.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// An open table: of a parquet file the footer has been read, of an Arrow file the head of each batch.
#[derive(Debug)]
pub struct Table<C> {
    path: PathBuf,
    kind: Kind<C>,
}

#[derive(Debug)]
enum Kind<C> {
    Parquet(ParquetTable<C>),
    Arrow(ArrowTable<C>),
}

impl Table<File> {
    /// Opens a file on the disk.
    ///
    /// # Errors
    /// As those of [`Self::open`], and [`Error::Io`].
    pub fn open_file(path: &Path) -> Result<Self, Error> {
        Self::open(path, File::open(path).map_err(Error::io("read", path))?)
    }

    /// As [`Self::open_file`], of a table that is to be whole: rows of several tables that belong together may not be missing.
    ///
    /// # Errors
    /// As those of [`Self::open_file`], and [`Error::Arrow`] for a file that ends before its time.
    pub fn open_whole(path: &Path) -> Result<Self, Error> {
        let table = Self::open_file(path)?;
        match table.failure() {
            Some(failure) => Err(Error::Arrow { path: path.to_path_buf(), problem: failure.to_owned() }),
            None => Ok(table),
        }
    }
}

impl<C: ChunkReader + 'static> Table<C> {
    /// Opens the content of a file that is called `path`: Arrow where the name says so, unless it begins as parquet.
    ///
    /// # Errors
    /// [`Error::Parquet`] and [`Error::Arrow`] for another or a damaged file; [`Error::Pointer`].
    pub fn open(path: &Path, content: C) -> Result<Self, Error> {
        let kind = if is_arrow(path) && !begins_as_parquet(&content) {
            Kind::Arrow(ArrowTable::open(path, content)?)
        } else {
            Kind::Parquet(ParquetTable::open(content).map_err(Error::parquet(path))?)
        };
        Ok(Self { path: path.to_path_buf(), kind })
    }

    /// The columns' names and types.
    pub fn schema(&self) -> &SchemaRef {
        match &self.kind {
            Kind::Parquet(table) => table.schema(),
            Kind::Arrow(table) => table.schema(),
        }
    }

    /// Rows, as far as they can be read.
    pub fn num_rows(&self) -> usize {
        match &self.kind {
            Kind::Parquet(table) => table.num_rows(),
            Kind::Arrow(table) => table.num_rows(),
        }
    }

    /// What ended an Arrow file before its time: there may be more rows than can be read.
    pub fn failure(&self) -> Option<&str> {
        match &self.kind {
            Kind::Parquet(_) => None,
            Kind::Arrow(table) => table.failure(),
        }
    }

    /// The rows of a range in batches of at most `batch_rows`; of the columns of these numbers in the schema, ascending, or of all. Of a file
    /// that is not packed no more is read at a time than a batch takes.
    ///
    /// # Errors
    /// [`Error::Parquet`], [`Error::Arrow`].
    pub fn batches(&self, columns: Option<&[usize]>, rows: Range<usize>, batch_rows: usize) -> Result<Batches, Error> {
        Ok(Batches(match &self.kind {
            Kind::Parquet(table) => {
                let wrong = Error::parquet(&self.path);
                let batches = table.batches(columns, &rows, batch_rows).map_err(&wrong)?;
                Box::new(batches.map(move |batch| batch.map_err(|error| wrong(error.into()))))
            }
            Kind::Arrow(table) => Box::new(table.batches(columns, rows, batch_rows)),
        }))
    }

    /// Where the values of some rows are in the file: of a parquet file the chosen columns row group by row group, of an Arrow file batch by
    /// batch, those side by side as one range.
    ///
    /// # Errors
    /// A damaged file.
    pub fn byte_ranges(&self, columns: &[usize], rows: &Range<usize>) -> Result<Vec<Vec<Range<u64>>>, Error> {
        match &self.kind {
            Kind::Parquet(table) => table.byte_ranges(columns, rows).map_err(Error::parquet(&self.path)),
            Kind::Arrow(table) => table.byte_ranges(columns, rows),
        }
    }

    /// What is known of the lists of a column of lists before they are read.
    pub(crate) fn list_facts(&self, column: usize) -> Result<ListFacts, Error> {
        match &self.kind {
            Kind::Parquet(table) => Ok(table.list_facts(column)),
            Kind::Arrow(table) => table.list_facts(column),
        }
    }
}

fn begins_as_parquet(content: &impl ChunkReader) -> bool {
    content.len() >= 4 && content.get_bytes(0, 4).is_ok_and(|head| head == b"PAR1"[..])
}

/// Batches of a table, one after the other; none after an error.
pub struct Batches(Box<dyn Iterator<Item = Result<RecordBatch, Error>> + Send>);

impl fmt::Debug for Batches {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Batches").finish_non_exhaustive()
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}
