//! Where the messages of an Arrow file are, found by their heads: of the file format, by its footer, and of streams.
//!
//! A message is a length, a head (a flatbuffer that says what it is) and a body, whose buffers the head tells of
//! (<https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc>).

use super::layout;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::read_footer_length;
use arrow_ipc::{Message, MessageHeader, RecordBatch, root_as_footer, root_as_message};
use arrow_schema::{Schema, SchemaRef};
use bytes::Bytes;
use parquet::file::reader::ChunkReader;
use std::ops::Range;
use std::sync::Arc;

/// How the file format begins and ends, Feather's second version too; and Feather's first, which is something else.
const MAGIC: &[u8] = b"ARROW1";
const FEATHER_ONE: &[u8] = b"FEA1";
/// Where messages begin in the file format, or, as some writers pad it, somewhat later; and the footer's length and the magic behind it.
const FIRST: u64 = 8;
const PADDED: u64 = 64;
const TRAILER: u64 = 10;
/// What a length begins with, but for files before 2019.
const CONTINUATION: [u8; 4] = [0xFF; 4];

/// What a message brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dictionary,
    Batch,
}

/// A message that is there.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) kind: Kind,
    /// Where its flatbuffer is, and its body.
    pub(super) head: Range<u64>,
    pub(super) body: Range<u64>,
    /// The rows that it has; none of a dictionary.
    pub(super) rows: Range<usize>,
}

/// The messages of a file in the order that they are read in.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) schema: SchemaRef,
    pub(super) messages: Vec<Located>,
    pub(super) rows: usize,
    /// What ended the list before its time.
    pub(super) failure: Option<String>,
}

/// Finds the messages of a file.
pub(super) fn index(file: &impl ChunkReader) -> Result<Index, String> {
    let length = file.len();
    let head = read(file, 0..length.min(FIRST))?;
    if head.starts_with(FEATHER_ONE) {
        return Err("Feather's first version, which is not read\n\
             hint: in Python `pyarrow.feather.write_feather(pyarrow.feather.read_table(FROM), TO)` writes the second"
            .to_owned());
    }
    if !head.starts_with(MAGIC) {
        return stream(file, 0, length);
    }
    match by_footer(file, length) {
        Ok(index) => Ok(index),
        // A file that is cut off has no footer, but messages that say how long they are.
        Err(reason) => {
            let padded = read(file, FIRST.min(length)..length.min(PADDED))?;
            let zeros = padded.iter().take_while(|&&byte| byte == 0).count() as u64;
            let mut found = stream(file, length.min(FIRST + zeros / 8 * 8), length)
                .map_err(|other| format!("{reason}, and {other}"))?;
            found.failure = Some(match found.failure {
                Some(failure) => format!("{reason}, and {failure}"),
                None => reason,
            });
            Ok(found)
        }
    }
}

fn read(file: &impl ChunkReader, range: Range<u64>) -> Result<Bytes, String> {
    let length = usize::try_from(range.end - range.start).map_err(|error| error.to_string())?;
    file.get_bytes(range.start, length).map_err(|error| error.to_string())
}

/// The flatbuffer of a message.
pub(super) fn head(file: &impl ChunkReader, located: &Located) -> Result<Bytes, String> {
    read(file, located.head.clone())
}

pub(super) fn message(head: &[u8]) -> Result<Message<'_>, String> {
    root_as_message(head).map_err(|error| format!("no message: {}", first_line(&error.to_string())))
}

/// What a message brings, as a record batch: a dictionary's values are one, of a single column.
pub(super) fn content<'a>(message: &Message<'a>) -> Option<RecordBatch<'a>> {
    message.header_as_record_batch().or_else(|| message.header_as_dictionary_batch()?.data())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The list of messages, and what is checked of each.
struct List<'a, C> {
    file: &'a C,
    schema: SchemaRef,
    messages: Vec<Located>,
    rows: usize,
}

impl<C: ChunkReader> List<'_, C> {
    /// Takes a message of which the head is at `head`; `end` is where messages end.
    fn take(&mut self, head: Range<u64>, end: u64) -> Result<u64, String> {
        let bytes = read(self.file, head.clone())?;
        let message = message(&bytes)?;
        let size = u64::try_from(message.bodyLength()).map_err(|_| "a body of less than nothing".to_owned())?;
        let body_end = head.end.checked_add(size).filter(|&body_end| body_end <= end);
        let body_end = body_end.ok_or_else(|| format!("{} bytes, expected {size}", end - head.end))?;
        let body = head.end..body_end;
        match message.header_type() {
            MessageHeader::DictionaryBatch => {
                self.messages.push(Located { kind: Kind::Dictionary, head, body, rows: self.rows..self.rows });
            }
            MessageHeader::RecordBatch => {
                let batch = message.header_as_record_batch().ok_or("no record batch")?;
                let rows = layout::rows(self.schema.fields(), &batch, message.version(), size)?;
                let rows = self.rows..self.rows.checked_add(rows).ok_or("more rows than can be")?;
                self.rows = rows.end;
                self.messages.push(Located { kind: Kind::Batch, head, body, rows });
            }
            MessageHeader::NONE => {}
            other => return Err(format!("a message of the kind {}", other.variant_name().unwrap_or("unknown"))),
        }
        Ok(body_end)
    }

    fn index(self, failure: Option<String>) -> Index {
        Index { schema: self.schema, messages: self.messages, rows: self.rows, failure }
    }
}

/// The messages of the file format, where the footer says that they are.
fn by_footer(file: &impl ChunkReader, length: u64) -> Result<Index, String> {
    let cut = || "its footer is missing: the file is cut off or damaged".to_owned();
    let footer_end = length.checked_sub(TRAILER).filter(|&end| end >= FIRST).ok_or_else(cut)?;
    let trailer = read(file, footer_end..length)?;
    let trailer: [u8; TRAILER as usize] = trailer[..].try_into().map_err(|_| cut())?;
    let size = read_footer_length(trailer).map_err(|_| cut())? as u64;
    let start = footer_end.checked_sub(size).filter(|&start| start >= FIRST).ok_or_else(cut)?;
    let bytes = read(file, start..footer_end)?;
    let wrong = |what: &str| format!("its footer cannot be read: {}", first_line(what));
    let footer = root_as_footer(&bytes).map_err(|error| wrong(&error.to_string()))?;
    let schema = footer.schema().ok_or_else(|| wrong("no schema"))?;
    let schema = checked_schema(schema).map_err(|error| wrong(&error))?;
    let blocks = footer.recordBatches().ok_or_else(|| wrong("no batches"))?;
    let mut list = List { file, schema, messages: Vec::new(), rows: 0 };
    // Blocks that share bytes would make much of little.
    let mut room = start;
    for block in footer.dictionaries().into_iter().flatten().chain(blocks) {
        let taken = (|| {
            let (offset, size) = (u64::try_from(block.offset()).ok()?, u64::try_from(block.metaDataLength()).ok()?);
            let end = offset.checked_add(size).filter(|&end| offset >= FIRST && size >= 8 && end <= start)?;
            Some((offset, end))
        })();
        let (offset, end) = taken.ok_or_else(|| wrong("a block that is not in the file"))?;
        let skipped = prefix(&read(file, offset..offset + 8)?);
        let outcome = list.take(offset + skipped..end, start);
        match outcome {
            Ok(block_end) if block_end - offset <= room => room -= block_end - offset,
            Ok(_) => return Err(wrong("blocks that lie over one another")),
            Err(reason) => {
                let number = list.messages.len();
                return Ok(list.index(Some(format!("message {number} at byte {offset} cannot be read: {reason}"))));
            }
        }
    }
    Ok(list.index(None))
}

/// Bytes before a flatbuffer.
fn prefix(bytes: &[u8]) -> u64 {
    if bytes.starts_with(&CONTINUATION) { 8 } else { 4 }
}

fn checked_schema(schema: arrow_ipc::Schema<'_>) -> Result<SchemaRef, String> {
    if !schema.endianness().equals_to_target_endianness() {
        return Err("numbers of the other byte order".to_owned());
    }
    let schema: Schema = try_fb_to_schema(schema).map_err(|error| error.to_string())?;
    Ok(Arc::new(schema))
}

/// The messages of a stream, one after the other, the schema first.
fn stream(file: &impl ChunkReader, start: u64, length: u64) -> Result<Index, String> {
    let none = |what: &str| format!("it begins as neither an Arrow file nor a stream ({what})");
    let Some(first) = next(file, start, length).map_err(|error| none(&error))? else {
        return Err(if length == start { "the file is empty".to_owned() } else { none("no schema") });
    };
    let bytes = read(file, first.clone())?;
    let message = message(&bytes).map_err(|error| none(&error))?;
    let schema = message.header_as_schema().ok_or_else(|| none("no schema"))?;
    let schema = checked_schema(schema).map_err(|error| format!("its schema cannot be read: {error}"))?;
    let body = u64::try_from(message.bodyLength()).unwrap_or(u64::MAX);
    let mut list = List { file, schema, messages: Vec::new(), rows: 0 };
    let mut at = first.end.saturating_add(body);
    loop {
        let taken = match next(file, at, length) {
            Ok(None) => return Ok(list.index(None)),
            Ok(Some(head)) => list.take(head, length),
            Err(error) => Err(error),
        };
        match taken {
            Ok(end) => at = end,
            Err(reason) => {
                let number = list.messages.len();
                return Ok(
                    list.index(Some(format!("the stream breaks off in message {number} at byte {at}: {reason}")))
                );
            }
        }
    }
}

/// The flatbuffer of the message at a place; nothing where the stream ends, as it says or with the file.
fn next(file: &impl ChunkReader, at: u64, length: u64) -> Result<Option<Range<u64>>, String> {
    let rest = length.checked_sub(at).ok_or("the file is cut off")?;
    if rest == 0 {
        return Ok(None);
    }
    let bytes = read(file, at..at + rest.min(8))?;
    let skipped = prefix(&bytes);
    let size = bytes.get(skipped as usize - 4..skipped as usize).ok_or("the file is cut off")?;
    let size = i32::from_le_bytes([size[0], size[1], size[2], size[3]]);
    let start = at + skipped;
    match u64::try_from(size) {
        Ok(0) => Ok(None),
        Ok(size) if size <= length - start => Ok(Some(start..start + size)),
        Ok(size) => Err(format!("a message of {size} bytes, of which {} are there", length - start)),
        Err(_) => Err(format!("a message of {size} bytes")),
    }
}
