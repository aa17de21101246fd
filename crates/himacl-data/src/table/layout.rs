//! Which nodes and buffers of an Arrow batch are of which column, and what a batch may claim.

use arrow_ipc::{MetadataVersion, RecordBatch};
use arrow_schema::{DataType, Field, FieldRef, UnionMode};
use std::ops::Range;

/// Rows that a batch may have whatever it takes, and for each of its bytes: nulls take none, and what is packed little.
const ROWS: u64 = 1 << 20;
const ROWS_A_BYTE: u64 = 1000;

/// Where a column is in a batch: its first node, and its buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) node: usize,
    pub(super) buffers: Range<usize>,
}

/// The place of each column.
pub(super) fn places(
    fields: &[FieldRef],
    batch: &RecordBatch<'_>,
    version: MetadataVersion,
) -> Result<Vec<Place>, String> {
    let variadic = batch.variadicBufferCounts();
    let mut walk = Walk { node: 0, buffer: 0, variadic: variadic.into_iter().flatten().collect(), view: 0, version };
    let places: Vec<Place> = fields.iter().map(|field| walk.pass(field)).collect::<Result<_, _>>()?;
    let (nodes, buffers) = (batch.nodes().map_or(0, |nodes| nodes.len()), batch.buffers().map_or(0, |all| all.len()));
    if walk.node > nodes || walk.buffer > buffers {
        return Err(format!("{nodes} nodes and {buffers} buffers, expected {} and {}", walk.node, walk.buffer));
    }
    Ok(places)
}

struct Walk {
    node: usize,
    buffer: usize,
    /// Buffers of each column of views beside the usual ones.
    variadic: Vec<i64>,
    view: usize,
    version: MetadataVersion,
}

impl Walk {
    fn pass(&mut self, field: &Field) -> Result<Place, String> {
        let (node, first) = (self.node, self.buffer);
        self.node += 1;
        match field.data_type() {
            DataType::Null => {}
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => self.buffer += 3,
            DataType::Utf8View | DataType::BinaryView => {
                let count = self.variadic.get(self.view).and_then(|&count| u32::try_from(count).ok());
                self.buffer += 2 + count.ok_or("no number of buffers for a column of views")? as usize;
                self.view += 1;
            }
            DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => {
                self.buffer += 2;
                self.pass(item)?;
            }
            DataType::ListView(item) | DataType::LargeListView(item) => {
                self.buffer += 3;
                self.pass(item)?;
            }
            DataType::FixedSizeList(item, _) => {
                self.buffer += 1;
                self.pass(item)?;
            }
            DataType::Struct(fields) => {
                self.buffer += 1;
                fields.iter().try_for_each(|field| self.pass(field).map(drop))?;
            }
            DataType::RunEndEncoded(ends, values) => {
                self.pass(ends)?;
                self.pass(values)?;
            }
            DataType::Union(fields, mode) => {
                self.buffer += 1 + usize::from(self.version < MetadataVersion::V5);
                self.buffer += usize::from(*mode == UnionMode::Dense);
                fields.iter().try_for_each(|(_, field)| self.pass(field).map(drop))?;
            }
            _ => self.buffer += 2,
        }
        Ok(Place { node, buffers: first..self.buffer })
    }
}

/// The rows of a batch, whose body has so many bytes: what it says, if columns and buffers bear it out. Room is made, and rows are counted,
/// by that.
pub(super) fn rows(
    fields: &[FieldRef],
    batch: &RecordBatch<'_>,
    version: MetadataVersion,
    body: u64,
) -> Result<usize, String> {
    let rows = u64::try_from(batch.length()).map_err(|_| format!("{} rows", batch.length()))?;
    let places = places(fields, batch, version)?;
    check_buffers(batch, body)?;
    let most = body.saturating_mul(ROWS_A_BYTE).saturating_add(ROWS);
    if rows > most {
        return Err(format!("{rows} rows in {body} bytes"));
    }
    let (Some(nodes), Some(buffers)) = (batch.nodes(), batch.buffers()) else { return Err("no columns".to_owned()) };
    for (field, place) in fields.iter().zip(places) {
        let got = nodes.get(place.node).length();
        if got != rows as i64 {
            return Err(format!("{rows} rows, and {got} of `{}`", field.name()));
        }
        // What is packed says itself how much it is, and is refused when it is not.
        let bits = least_bits(field.data_type());
        if batch.compression().is_none()
            && let Some((buffer, bits)) = bits
        {
            let bytes = buffers.get(place.buffers.start + buffer).length() as u64;
            if bytes.saturating_mul(8) / bits < rows {
                return Err(format!("{rows} rows, and {bytes} bytes of `{}`", field.name()));
            }
        }
    }
    usize::try_from(rows).map_err(|error| error.to_string())
}

/// Refuses buffers that are not in the body.
pub(super) fn check_buffers(batch: &RecordBatch<'_>, body: u64) -> Result<(), String> {
    for buffer in batch.buffers().into_iter().flatten() {
        let range = (u64::try_from(buffer.offset()), u64::try_from(buffer.length()));
        let (Ok(offset), Ok(length)) = range else { return Err("a buffer of less than nothing".to_owned()) };
        // Writers need not place what is empty.
        if length > 0 && offset.checked_add(length).is_none_or(|end| end > body) {
            return Err(format!("a buffer of {length} bytes from {offset} on in a body of {body}"));
        }
    }
    Ok(())
}

/// A buffer of a column, counted from its first, and the bits that it has for each row at least.
fn least_bits(kind: &DataType) -> Option<(usize, u64)> {
    match kind {
        DataType::Utf8 | DataType::Binary | DataType::List(_) | DataType::Map(..) | DataType::ListView(_) => {
            Some((1, 32))
        }
        DataType::LargeUtf8 | DataType::LargeBinary | DataType::LargeList(_) | DataType::LargeListView(_) => {
            Some((1, 64))
        }
        DataType::Utf8View | DataType::BinaryView => Some((1, 128)),
        DataType::Boolean => Some((1, 1)),
        DataType::Dictionary(keys, _) => least_bits(keys),
        DataType::FixedSizeBinary(width) if *width > 0 => Some((1, 8 * u64::from(width.unsigned_abs()))),
        DataType::FixedSizeList(item, length) if *length > 0 => {
            let (buffer, bits) = least_bits(item.data_type())?;
            Some((1 + buffer, bits.saturating_mul(u64::from(length.unsigned_abs()))))
        }
        DataType::Struct(fields) => least_bits(fields.first()?.data_type()).map(|(buffer, bits)| (1 + buffer, bits)),
        kind => kind.primitive_width().map(|width| (1, 8 * width as u64)),
    }
}
