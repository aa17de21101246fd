//! Arrow files by a library that believes what they say of themselves: their messages are found and checked here, and read batch by batch.

use super::layout::{Place, check_buffers, places};
use super::lists::ListFacts;
use super::messages::{Index, Kind, Located, content, head, index, message};
use super::slices::{Slices, can_slice};
use crate::error::Error;
use crate::files::is_pointer;
use crate::guard;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;
use arrow_ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow_ipc::{MetadataVersion, RecordBatch as BatchHead};
use arrow_schema::{DataType, SchemaRef};
use parquet::file::reader::ChunkReader;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What Git has in the place of a large file is shorter.
const POINTER_BYTES: u64 = 1024;
/// What a buffer may claim to unpack to, and how often the bytes of its file: room is made first.
const UNPACKED_BYTES: u64 = 256 << 20;
const GROWTH: u64 = 1000;

/// What `read` gives; an error where it fails or panics.
fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    guard::guarded(read, |reason| format!("the file is damaged ({reason})"))
}

/// An open Arrow file.
#[derive(Debug)]
pub(super) struct ArrowTable<C> {
    path: PathBuf,
    file: Arc<C>,
    index: Arc<Index>,
}

impl<C: ChunkReader + 'static> ArrowTable<C> {
    pub(super) fn open(path: &Path, file: C) -> Result<Self, Error> {
        let (path, length) = (path.to_path_buf(), file.len());
        if length < POINTER_BYTES && file.get_bytes(0, length as usize).is_ok_and(|bytes| is_pointer(&bytes)) {
            return Err(Error::Pointer(path));
        }
        match guarded(|| index(&file)) {
            Ok(index) => Ok(Self { path, file: Arc::new(file), index: Arc::new(index) }),
            Err(problem) => Err(Error::Arrow { path, problem }),
        }
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.index.schema
    }

    pub(super) fn num_rows(&self) -> usize {
        self.index.rows
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.index.failure.as_deref()
    }

    fn wrong(&self, problem: String) -> Error {
        Error::Arrow { path: self.path.clone(), problem }
    }

    /// Begins to read; batches before and behind the rows are passed over.
    pub(super) fn batches(&self, columns: Option<&[usize]>, rows: Range<usize>, batch_rows: usize) -> Batches<C> {
        let columns = columns.map_or_else(|| (0..self.schema().fields().len()).collect(), <[usize]>::to_vec);
        Batches {
            path: self.path.clone(),
            file: Arc::clone(&self.file),
            index: Arc::clone(&self.index),
            columns,
            rows,
            batch_rows: batch_rows.max(1),
            next: 0,
            dictionaries: HashMap::new(),
            whole: None,
            is_done: false,
        }
    }

    /// The buffers of columns, batch by batch.
    pub(super) fn byte_ranges(&self, columns: &[usize], rows: &Range<usize>) -> Result<Vec<Vec<Range<u64>>>, Error> {
        let of_batch = |located: &&Located| {
            located.kind == Kind::Batch && located.rows.start < rows.end && rows.start < located.rows.end
        };
        let ranges = |located: &Located| {
            self.look(located, |batch, places| {
                let mut ranges = buffers_of(&batch, columns.iter().filter_map(|&column| places.get(column)));
                ranges.sort_by_key(|range| range.start);
                let at = located.body.start;
                let mut joined: Vec<Range<u64>> = Vec::new();
                for range in ranges.into_iter().map(|range| at + range.start..at + range.end) {
                    match joined.last_mut() {
                        // Padding lies between.
                        Some(last) if range.start <= last.end + 64 => last.end = last.end.max(range.end),
                        _ => joined.push(range),
                    }
                }
                joined
            })
        };
        self.index.messages.iter().filter(of_batch).map(ranges).collect()
    }

    pub(super) fn list_facts(&self, column: usize) -> Result<ListFacts, Error> {
        let mut facts = ListFacts::default();
        for located in self.index.messages.iter().filter(|located| located.kind == Kind::Batch) {
            let of_batch = |batch: BatchHead<'_>, places: &[Place]| {
                let (node, nodes) = (places.get(column)?.node, batch.nodes()?);
                (node + 1 < nodes.len()).then(|| (nodes.get(node).null_count(), nodes.get(node + 1).length()))
            };
            if let Some((missing, values)) = self.look(located, of_batch)? {
                facts.values = facts.values.saturating_add(values.max(0) as u64);
                facts.may_miss |= missing > 0;
            }
        }
        Ok(facts)
    }

    /// Looks at the head of a batch.
    fn look<T>(&self, located: &Located, look: impl FnOnce(BatchHead<'_>, &[Place]) -> T) -> Result<T, Error> {
        let found = guarded(|| {
            let head = head(&*self.file, located)?;
            let message = message(&head)?;
            let batch = content(&message).ok_or("no record batch")?;
            let places = places(self.schema().fields(), &batch, message.version())?;
            Ok(look(batch, &places))
        });
        found.map_err(|problem| self.wrong(problem))
    }
}

/// Where the buffers of columns are in a body.
fn buffers_of<'a>(batch: &BatchHead<'_>, places: impl Iterator<Item = &'a Place>) -> Vec<Range<u64>> {
    let Some(buffers) = batch.buffers() else { return Vec::new() };
    let of = |index: usize| {
        let buffer = buffers.get(index);
        buffer.offset() as u64..(buffer.offset() + buffer.length()) as u64
    };
    places.flat_map(|place| place.buffers.clone()).map(of).filter(|range| !range.is_empty()).collect()
}

/// Whether a column has categories, whose values come in messages of their own.
fn has_categories(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(..) => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_categories(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_categories(field.data_type())),
        DataType::RunEndEncoded(_, values) => has_categories(values.data_type()),
        DataType::Union(fields, _) => fields.iter().any(|(_, field)| has_categories(field.data_type())),
        _ => false,
    }
}

/// The rows of a range, in batches.
pub(super) struct Batches<C> {
    path: PathBuf,
    file: Arc<C>,
    index: Arc<Index>,
    columns: Vec<usize>,
    /// Those still to be read.
    rows: Range<usize>,
    batch_rows: usize,
    /// The next message.
    next: usize,
    dictionaries: HashMap<i64, ArrayRef>,
    /// The batch of a message that cannot be read in parts.
    whole: Option<(usize, RecordBatch)>,
    is_done: bool,
}

impl<C: ChunkReader> Batches<C> {
    fn read_next(&mut self) -> Result<Option<RecordBatch>, String> {
        let index = Arc::clone(&self.index);
        let categories = self.columns.iter().any(|&column| has_categories(index.schema.field(column).data_type()));
        while let Some(located) = index.messages.get(self.next).filter(|_| !self.rows.is_empty()) {
            match located.kind {
                Kind::Dictionary if categories => self.take_dictionary(located)?,
                Kind::Batch if located.rows.end > self.rows.start => return self.read_rows(located).map(Some),
                _ => {}
            }
            self.next += 1;
        }
        Ok(None)
    }

    fn take_dictionary(&mut self, located: &Located) -> Result<(), String> {
        let head = head(&*self.file, located)?;
        let message = message(&head)?;
        let (dictionary, version) = (message.header_as_dictionary_batch().ok_or("no dictionary")?, message.version());
        let values = dictionary.data().ok_or("a dictionary without values")?;
        check_buffers(&values, located.body.end - located.body.start)?;
        let count = values.buffers().map_or(0, |buffers| buffers.len());
        let all = [Place { node: 0, buffers: 0..count }];
        let body = self.body(located, &values, all.iter())?;
        read_dictionary(&body, dictionary, &self.index.schema, &mut self.dictionaries, &version)
            .map_err(|error| error.to_string())
    }

    /// The next rows of a batch.
    fn read_rows(&mut self, located: &Located) -> Result<RecordBatch, String> {
        let index = Arc::clone(&self.index);
        let start = self.rows.start - located.rows.start;
        let end = (self.rows.end.min(located.rows.end) - located.rows.start).min(start + self.batch_rows);
        let slice = start..end;
        self.rows.start = located.rows.start + end;
        let got = if let Some((_, batch)) = self.whole.as_ref().filter(|(number, _)| *number == self.next) {
            batch.slice(slice.start, slice.len())
        } else {
            let head = head(&*self.file, located)?;
            let message = message(&head)?;
            let batch = message.header_as_record_batch().ok_or("no record batch")?;
            let places = places(index.schema.fields(), &batch, message.version())?;
            check_buffers(&batch, located.body.end - located.body.start)?;
            let fields = index.schema.fields();
            let is_plain = batch.compression().is_none();
            if is_plain && self.columns.iter().all(|&column| can_slice(fields[column].data_type())) {
                self.slice(located, &batch, &places, slice)?
            } else {
                let batch = self.decode(located, batch, &places, message.version())?;
                let got = batch.slice(slice.start, slice.len());
                self.whole = Some((self.next, batch));
                got
            }
        };
        if self.rows.start >= located.rows.end {
            (self.whole, self.next) = (None, self.next + 1);
        }
        Ok(got)
    }

    fn slice(
        &self,
        located: &Located,
        batch: &BatchHead<'_>,
        places: &[Place],
        rows: Range<usize>,
    ) -> Result<RecordBatch, String> {
        let said = |error: arrow_schema::ArrowError| error.to_string();
        let slices = Slices { file: &*self.file, batch, body: located.body.start, dictionaries: &self.dictionaries };
        let schema = Arc::new(self.index.schema.project(&self.columns).map_err(said)?);
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let read = |&column: &usize| slices.column(self.index.schema.field(column), &places[column], rows.clone());
        let columns = self.columns.iter().map(read).collect::<Result<_, _>>().map_err(said)?;
        RecordBatch::try_new_with_options(schema, columns, &options).map_err(said)
    }

    /// A whole batch of the chosen columns.
    fn decode(
        &self,
        located: &Located,
        batch: BatchHead<'_>,
        places: &[Place],
        version: MetadataVersion,
    ) -> Result<RecordBatch, String> {
        let body = self.body(located, &batch, self.columns.iter().filter_map(|&column| places.get(column)))?;
        let schema = Arc::clone(&self.index.schema);
        let decoder = RecordBatchDecoder::try_new(&body, batch, schema, &self.dictionaries, &version);
        let batch = decoder.and_then(|decoder| decoder.with_projection(Some(&self.columns)).read_record_batch());
        let batch = batch.map_err(|error| error.to_string())?;
        let (got, expected) = (batch.num_rows(), located.rows.len());
        if got == expected { Ok(batch) } else { Err(format!("{got} rows in a batch, expected {expected}")) }
    }

    /// A body of which the buffers of some columns are there; the rest is zero, and takes no memory.
    fn body<'a>(
        &self,
        located: &Located,
        batch: &BatchHead<'_>,
        places: impl Iterator<Item = &'a Place>,
    ) -> Result<Buffer, String> {
        let size = usize::try_from(located.body.end - located.body.start).map_err(|error| error.to_string())?;
        let mut body = vec![0_u8; size];
        let most = self.file.len().saturating_mul(GROWTH).max(UNPACKED_BYTES);
        for range in buffers_of(batch, places) {
            let (start, end) = (range.start as usize, range.end as usize);
            let bytes = self.file.get_bytes(located.body.start + range.start, end - start);
            body[start..end].copy_from_slice(&bytes.map_err(|error| error.to_string())?);
            let claim = body[start..end].first_chunk().map(|claim| i64::from_le_bytes(*claim));
            if batch.compression().is_some() && claim.is_some_and(|claim| claim > 0 && claim as u64 > most) {
                return Err(format!("{} bytes that claim to be {}", end - start, claim.unwrap_or_default()));
            }
        }
        Ok(Buffer::from_vec(body))
    }
}

impl<C: ChunkReader> Iterator for Batches<C> {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let row = self.rows.start;
        let next = guarded(|| self.read_next());
        self.is_done = !matches!(next, Ok(Some(_)));
        let wrong = |reason: String| {
            let problem = format!("what is from row {row} on cannot be read: {reason}");
            Error::Arrow { path: self.path.clone(), problem }
        };
        next.map_err(wrong).transpose()
    }
}
