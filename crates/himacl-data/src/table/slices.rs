//! Some rows of a column of an Arrow batch that is not packed: of each buffer the part that they need, and no more.

use super::layout::Place;
use arrow_array::{Array, ArrayRef, make_array};
use arrow_buffer::{ArrowNativeType, Buffer};
use arrow_data::{ArrayData, ArrayDataBuilder};
use arrow_ipc::{FieldNode, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field};
use parquet::file::reader::ChunkReader;
use std::collections::HashMap;
use std::ops::Range;

/// Whether rows of a column can be read one by one; of others their whole batch is.
pub(super) fn can_slice(kind: &DataType) -> bool {
    match kind {
        DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => can_slice(item.data_type()),
        DataType::FixedSizeList(item, length) => *length >= 0 && can_slice(item.data_type()),
        DataType::Struct(fields) => !fields.is_empty() && fields.iter().all(|field| can_slice(field.data_type())),
        DataType::FixedSizeBinary(width) => *width >= 0,
        DataType::Utf8View
        | DataType::BinaryView
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::RunEndEncoded(..)
        | DataType::Union(..) => false,
        _ => true,
    }
}

/// Reads columns of a batch.
pub(super) struct Slices<'a, C> {
    pub(super) file: &'a C,
    pub(super) batch: &'a RecordBatch<'a>,
    /// Where the body begins in the file.
    pub(super) body: u64,
    pub(super) dictionaries: &'a HashMap<i64, ArrayRef>,
}

fn damaged(what: impl Into<String>) -> ArrowError {
    ArrowError::IpcError(what.into())
}

impl<C: ChunkReader> Slices<'_, C> {
    /// The rows of a column.
    pub(super) fn column(&self, field: &Field, place: &Place, rows: Range<usize>) -> Result<ArrayRef, ArrowError> {
        let mut at = (place.node, place.buffers.start);
        Ok(make_array(self.array(field, &mut at, rows)?))
    }

    /// The rows of the array whose first node and buffer are `at`, which is moved behind it.
    fn array(&self, field: &Field, at: &mut (usize, usize), rows: Range<usize>) -> Result<ArrayData, ArrowError> {
        let node = self.node(at.0)?;
        let length = usize::try_from(node.length()).map_err(|_| damaged("an array of less than nothing"))?;
        if rows.start > rows.end || rows.end > length {
            return Err(damaged(format!("rows {rows:?} of an array of {length}")));
        }
        let (count, first) = (rows.len(), at.1);
        at.0 += 1;
        let kind = field.data_type();
        let builder = ArrayData::builder(kind.clone()).len(count);
        if kind == &DataType::Null {
            return builder.build();
        }
        at.1 += 1;
        let nulls = if node.null_count() > 0 { Some(self.bits(first, &rows)?) } else { None };
        let builder = builder.null_bit_buffer(nulls);
        match kind {
            DataType::Boolean => {
                at.1 += 1;
                builder.add_buffer(self.bits(first + 1, &rows)?)
            }
            DataType::Utf8 | DataType::Binary => self.bytes::<i32>(builder, at, &rows)?,
            DataType::LargeUtf8 | DataType::LargeBinary => self.bytes::<i64>(builder, at, &rows)?,
            DataType::List(item) | DataType::Map(item, _) => self.lists::<i32>(builder, item, at, &rows)?,
            DataType::LargeList(item) => self.lists::<i64>(builder, item, at, &rows)?,
            DataType::FixedSizeList(item, width) => {
                let width = usize::try_from(*width).map_err(|error| damaged(error.to_string()))?;
                builder.add_child_data(self.array(item, at, scaled(&rows, width)?)?)
            }
            DataType::Struct(fields) => {
                let children = fields.iter().map(|field| self.array(field, at, rows.clone()));
                builder.child_data(children.collect::<Result<_, _>>()?)
            }
            DataType::Dictionary(keys, _) => {
                at.1 += 1;
                let width = width_of(keys)?;
                builder.add_buffer(self.part(first + 1, scaled(&rows, width)?)?).add_child_data(self.values_of(field)?)
            }
            kind => {
                at.1 += 1;
                builder.add_buffer(self.part(first + 1, scaled(&rows, width_of(kind)?)?)?)
            }
        }
        .align_buffers(true)
        .build()
    }

    fn node(&self, index: usize) -> Result<&FieldNode, ArrowError> {
        let nodes = self.batch.nodes().filter(|nodes| index < nodes.len());
        Ok(nodes.ok_or_else(|| damaged("fewer nodes than columns"))?.get(index))
    }

    /// A part of a buffer.
    fn part(&self, buffer: usize, part: Range<usize>) -> Result<Buffer, ArrowError> {
        let buffers = self.batch.buffers().filter(|buffers| buffer < buffers.len());
        let place = buffers.ok_or_else(|| damaged("fewer buffers than columns"))?.get(buffer);
        if part.is_empty() {
            return Ok(Buffer::from([0_u8; 0]));
        }
        if part.end as u64 > place.length() as u64 {
            return Err(damaged(format!("a buffer of {} bytes, expected {}", place.length(), part.end)));
        }
        let start = self.body + place.offset() as u64 + part.start as u64;
        let bytes = self.file.get_bytes(start, part.len());
        Ok(Buffer::from(bytes.map_err(|error| ArrowError::ExternalError(Box::new(error)))?))
    }

    fn bits(&self, buffer: usize, rows: &Range<usize>) -> Result<Buffer, ArrowError> {
        let bytes = self.part(buffer, rows.start / 8..rows.end.div_ceil(8))?;
        Ok(if rows.is_empty() { bytes } else { bytes.bit_slice(rows.start % 8, rows.len()) })
    }

    /// The offsets of some rows, counted from that of the first, and what they span.
    fn offsets<T: Offset>(&self, buffer: usize, rows: &Range<usize>) -> Result<(Buffer, Range<usize>), ArrowError> {
        // A column without rows may have no offsets.
        if rows.is_empty() {
            return Ok((Buffer::from_vec(vec![T::default()]), 0..0));
        }
        let width = size_of::<T>();
        let bytes = self.part(buffer, scaled(&(rows.start..rows.end + 1), width)?)?;
        let all: Vec<T> = bytes.chunks_exact(width).map(T::read).collect();
        let first = all[0];
        let span = first.to_usize().zip(all[all.len() - 1].to_usize()).filter(|(start, end)| start <= end);
        let (start, end) = span.ok_or_else(|| damaged("offsets that go backwards"))?;
        // Whether those between are in order is looked at when the array is made.
        let rebased: Option<Vec<T>> = all.into_iter().map(|offset| offset.less(first)).collect();
        let rebased = rebased.ok_or_else(|| damaged("offsets that go backwards"))?;
        Ok((Buffer::from_vec(rebased), start..end))
    }

    fn bytes<T: Offset>(
        &self,
        builder: ArrayDataBuilder,
        at: &mut (usize, usize),
        rows: &Range<usize>,
    ) -> Result<ArrayDataBuilder, ArrowError> {
        let (offsets, span) = self.offsets::<T>(at.1, rows)?;
        let values = self.part(at.1 + 1, span)?;
        at.1 += 2;
        Ok(builder.add_buffer(offsets).add_buffer(values))
    }

    fn lists<T: Offset>(
        &self,
        builder: ArrayDataBuilder,
        item: &Field,
        at: &mut (usize, usize),
        rows: &Range<usize>,
    ) -> Result<ArrayDataBuilder, ArrowError> {
        let (offsets, span) = self.offsets::<T>(at.1, rows)?;
        at.1 += 1;
        Ok(builder.add_buffer(offsets).add_child_data(self.array(item, at, span)?))
    }

    /// The values of a column of categories; none have come where all are missing.
    fn values_of(&self, field: &Field) -> Result<ArrayData, ArrowError> {
        #[expect(deprecated, reason = "the id is of the file's, and nothing else tells it")]
        let id = field.dict_id().ok_or_else(|| damaged("categories without an id"))?;
        match (self.dictionaries.get(&id), field.data_type()) {
            (Some(values), _) => Ok(values.to_data()),
            (None, DataType::Dictionary(_, kind)) => Ok(ArrayData::new_empty(kind)),
            (None, _) => Err(damaged("categories of another type")),
        }
    }
}

/// Offsets of lists and texts.
trait Offset: ArrowNativeType {
    fn read(bytes: &[u8]) -> Self;
    fn less(self, other: Self) -> Option<Self>;
}

impl Offset for i32 {
    fn read(bytes: &[u8]) -> Self {
        bytes.try_into().map_or(0, Self::from_le_bytes)
    }

    fn less(self, other: Self) -> Option<Self> {
        self.checked_sub(other)
    }
}

impl Offset for i64 {
    fn read(bytes: &[u8]) -> Self {
        bytes.try_into().map_or(0, Self::from_le_bytes)
    }

    fn less(self, other: Self) -> Option<Self> {
        self.checked_sub(other)
    }
}

fn scaled(rows: &Range<usize>, width: usize) -> Result<Range<usize>, ArrowError> {
    let scale = |row: usize| row.checked_mul(width).ok_or_else(|| damaged("more values than can be"));
    Ok(scale(rows.start)?..scale(rows.end)?)
}

/// The bytes of a value.
fn width_of(kind: &DataType) -> Result<usize, ArrowError> {
    let fixed = match kind {
        DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
        kind => kind.primitive_width(),
    };
    fixed.ok_or_else(|| damaged(format!("type {kind} is not read")))
}
