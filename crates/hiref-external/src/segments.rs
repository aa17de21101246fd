//! What tasks leave: columns of items, sorted into segments, each of which one later task reads in one go.
//!
//! A file is `HIMSEG01`, the length of the header, the header as JSON and the data: group by group, in a group segment by segment, in a
//! segment column by column. It is written atomically, so that a file that exists is whole.

use crate::error::Error;
use crate::vectors::Vectors;
use himacl_data::files::write_atomic;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"HIMSEG01";
/// Bytes read at a time.
const BUFFER: usize = 1 << 18;
/// A header is never so long, unless the file is damaged.
const LONGEST_HEADER: u64 = 1 << 30;

/// Writes the bytes of an item's value.
type Copy<'a> = Box<dyn Fn(usize, &mut [u8]) + 'a>;

/// One value for each item of a group.
pub(crate) struct Column<'a> {
    name: &'static str,
    width: usize,
    copy: Copy<'a>,
}

impl<'a> Column<'a> {
    pub(crate) fn u32s(name: &'static str, values: &'a [u32]) -> Self {
        Self { name, width: 4, copy: Box::new(|item, out| out.copy_from_slice(&values[item].to_le_bytes())) }
    }

    pub(crate) fn u64s(name: &'static str, values: &'a [u64]) -> Self {
        Self { name, width: 8, copy: Box::new(|item, out| out.copy_from_slice(&values[item].to_le_bytes())) }
    }

    pub(crate) fn f64s(name: &'static str, values: &'a [f64]) -> Self {
        Self { name, width: 8, copy: Box::new(|item, out| out.copy_from_slice(&values[item].to_le_bytes())) }
    }

    /// `width` numbers for each item.
    pub(crate) fn f32s(name: &'static str, values: &'a [f32], width: usize) -> Self {
        let copy = move |item: usize, out: &mut [u8]| {
            let own = &values[item * width..(item + 1) * width];
            out.as_chunks_mut().0.iter_mut().zip(own).for_each(|(out, value)| *out = value.to_le_bytes());
        };
        Self { name, width: 4 * width, copy: Box::new(copy) }
    }

    /// Bytes as they are, `width` for each item.
    pub(crate) fn bytes(name: &'static str, values: &'a [u8], width: usize) -> Self {
        let copy = move |item: usize, out: &mut [u8]| out.copy_from_slice(&values[item * width..(item + 1) * width]);
        Self { name, width, copy: Box::new(copy) }
    }

    /// Rows from the one numbered `first` on.
    pub(crate) fn rows_from(name: &'static str, values: &'a Vectors, first: usize) -> Self {
        Self { name, width: values.width(), copy: Box::new(move |item, out| values.copy_bytes(first + item, out)) }
    }

    pub(crate) fn rows(name: &'static str, values: &'a Vectors) -> Self {
        Self { name, width: values.width(), copy: Box::new(|item, out| values.copy_bytes(item, out)) }
    }
}

/// Items with the same columns, those of segment s at `order[offsets[s]..offsets[s + 1]]`.
pub(crate) struct Group<'a> {
    name: &'static str,
    order: Vec<u32>,
    offsets: Vec<usize>,
    columns: Vec<Column<'a>>,
}

impl<'a> Group<'a> {
    /// All of `len` items in one segment, in their order.
    pub(crate) fn whole(name: &'static str, len: usize, columns: Vec<Column<'a>>) -> Self {
        Self { name, order: (0..len as u32).collect(), offsets: vec![0, len], columns }
    }

    /// Some items in one segment.
    pub(crate) fn chosen(name: &'static str, items: Vec<u32>, columns: Vec<Column<'a>>) -> Self {
        let offsets = vec![0, items.len()];
        Self { name, order: items, offsets, columns }
    }

    /// Items by their segment, below `segments`; in each in their order.
    pub(crate) fn sorted(name: &'static str, segment_of: &[u32], segments: usize, columns: Vec<Column<'a>>) -> Self {
        let mut offsets = vec![0; segments + 1];
        segment_of.iter().for_each(|&segment| offsets[segment as usize + 1] += 1);
        for segment in 0..segments {
            offsets[segment + 1] += offsets[segment];
        }
        let mut next = offsets.clone();
        let mut order = vec![0; segment_of.len()];
        for (item, &segment) in segment_of.iter().enumerate() {
            order[next[segment as usize]] = item as u32;
            next[segment as usize] += 1;
        }
        Self { name, order, offsets, columns }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    groups: Vec<GroupHeader>,
    note: serde_json::Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct GroupHeader {
    name: String,
    /// Items of each segment.
    counts: Vec<u64>,
    /// Names and widths.
    columns: Vec<(String, u64)>,
}

impl GroupHeader {
    fn width(&self) -> u64 {
        self.columns.iter().map(|(_, width)| width).sum()
    }

    fn bytes(&self) -> u64 {
        self.counts.iter().sum::<u64>() * self.width()
    }
}

/// Writes a file of groups, with a note for whoever asks for it.
pub(crate) fn write(path: &Path, note: &impl Serialize, groups: &[Group<'_>]) -> Result<(), Error> {
    let wrong = |source| himacl_data::Error::Json { path: path.to_path_buf(), source };
    let header = Header {
        groups: groups
            .iter()
            .map(|group| GroupHeader {
                name: group.name.to_owned(),
                counts: group.offsets.windows(2).map(|range| (range[1] - range[0]) as u64).collect(),
                columns: group.columns.iter().map(|c| (c.name.to_owned(), c.width as u64)).collect(),
            })
            .collect(),
        note: serde_json::to_value(note).map_err(wrong)?,
    };
    let header = serde_json::to_vec(&header).map_err(wrong)?;
    write_atomic(path, |out| {
        out.write_all(MAGIC)?;
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        let mut item_bytes = Vec::new();
        for group in groups {
            for range in group.offsets.windows(2) {
                for column in &group.columns {
                    item_bytes.resize(column.width, 0);
                    for &item in &group.order[range[0]..range[1]] {
                        (column.copy)(item as usize, &mut item_bytes);
                        out.write_all(&item_bytes)?;
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// A file to read segments from.
#[derive(Debug)]
pub(crate) struct Segments {
    path: PathBuf,
    file: RefCell<File>,
    header: Header,
    /// Where the data begin.
    start: u64,
}

impl Segments {
    /// Opens a file by its header.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        let size = file.metadata().map_err(Error::io("read", path))?.len();
        let mut start = [0; 16];
        file.read_exact(&mut start).map_err(Error::io("read", path))?;
        let length = u64::from_le_bytes(start[8..].try_into().expect("eight bytes"));
        if &start[..8] != MAGIC || length > LONGEST_HEADER.min(size) {
            return Err(Error::broken(path, "it does not begin as such a file"));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(Error::io("read", path))?;
        let header: Header = serde_json::from_slice(&header).map_err(|error| Error::broken(path, error.to_string()))?;
        let expected = 16 + length + header.groups.iter().map(GroupHeader::bytes).sum::<u64>();
        if size != expected {
            return Err(Error::broken(path, format!("it has {size} bytes, expected {expected}")));
        }
        Ok(Self { path: path.to_path_buf(), file: RefCell::new(file), header, start: 16 + length })
    }

    /// The note.
    pub(crate) fn note<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(&self.header.note).map_err(|error| Error::broken(&self.path, error.to_string()))
    }

    /// Where the data are.
    pub(crate) fn data(&self) -> Range<u64> {
        self.start..self.start + self.header.groups.iter().map(GroupHeader::bytes).sum::<u64>()
    }

    /// Where a segment is, all of its columns.
    pub(crate) fn segment(&self, group: &str, segment: usize) -> Result<Range<u64>, Error> {
        let count = self.count(group, segment)? as u64;
        let (start, group) = self.group(group)?;
        let first = start + group.counts[..segment].iter().sum::<u64>() * group.width();
        Ok(first..first + count * group.width())
    }

    /// Items of a segment.
    pub(crate) fn count(&self, group: &str, segment: usize) -> Result<usize, Error> {
        let group = self.group(group)?.1;
        let count = group.counts.get(segment).copied();
        count.map(|count| count as usize).ok_or_else(|| Error::broken(&self.path, format!("no segment {segment}")))
    }

    pub(crate) fn u32s(&self, group: &str, segment: usize, column: &str, out: &mut Vec<u32>) -> Result<(), Error> {
        self.read(group, segment, column, 4, |bytes| {
            out.extend(bytes.as_chunks().0.iter().map(|value| u32::from_le_bytes(*value)));
        })
    }

    pub(crate) fn u64s(&self, group: &str, segment: usize, column: &str, out: &mut Vec<u64>) -> Result<(), Error> {
        self.read(group, segment, column, 8, |bytes| {
            out.extend(bytes.as_chunks().0.iter().map(|value| u64::from_le_bytes(*value)));
        })
    }

    pub(crate) fn f64s(&self, group: &str, segment: usize, column: &str, out: &mut Vec<f64>) -> Result<(), Error> {
        self.read(group, segment, column, 8, |bytes| {
            out.extend(bytes.as_chunks().0.iter().map(|value| f64::from_le_bytes(*value)));
        })
    }

    /// Numbers of a column of any width.
    pub(crate) fn f32s(&self, group: &str, segment: usize, column: &str, out: &mut Vec<f32>) -> Result<(), Error> {
        self.read(group, segment, column, 4, |bytes| {
            out.extend(bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)));
        })
    }

    pub(crate) fn bytes(&self, group: &str, segment: usize, column: &str, out: &mut Vec<u8>) -> Result<(), Error> {
        self.read(group, segment, column, 1, |bytes| out.extend_from_slice(bytes))
    }

    pub(crate) fn rows(&self, group: &str, segment: usize, column: &str, out: &mut Vectors) -> Result<(), Error> {
        self.read(group, segment, column, out.width() as u64, |bytes| out.extend_from_bytes(bytes))
    }

    fn group(&self, name: &str) -> Result<(u64, &GroupHeader), Error> {
        let mut start = self.start;
        for group in &self.header.groups {
            if group.name == name {
                return Ok((start, group));
            }
            start += group.bytes();
        }
        Err(Error::broken(&self.path, format!("no group `{name}`")))
    }

    /// Hands the bytes of a column over in pieces of whole values of `unit` bytes.
    fn read(
        &self,
        group: &str,
        segment: usize,
        column: &str,
        unit: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        let count = self.count(group, segment)? as u64;
        let mut at = self.segment(group, segment)?.start;
        let (_, group) = self.group(group)?;
        let mut width = None;
        for (name, own) in &group.columns {
            if name == column {
                width = Some(*own);
                break;
            }
            at += own * count;
        }
        let width = width.filter(|width| width % unit == 0);
        let width = width.ok_or_else(|| Error::broken(&self.path, format!("no column `{column}` of that type")))?;
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(at)).map_err(Error::io("read", &self.path))?;
        let mut left = (count * width) as usize;
        let step = (BUFFER / unit as usize).max(1) * unit as usize;
        let mut buffer = vec![0; step.min(left)];
        while left > 0 {
            let now = step.min(left);
            file.read_exact(&mut buffer[..now]).map_err(Error::io("read", &self.path))?;
            take(&buffer[..now]);
            left -= now;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::Element;

    #[test]
    fn segments_are_read_as_they_were_sorted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let (ids, prices) = ([7, 8, 9, 10], [0.5, -1.0, 2.0, 4.0]);
        let mut rows = Vectors::with_capacity(Element::F16, 2, 4);
        rows.extend(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let columns = vec![Column::u32s("id", &ids), Column::f64s("price", &prices), Column::rows("row", &rows)];
        let groups = [
            Group::sorted("items", &[2, 0, 2, 0], 3, columns),
            Group::whole("others", 1, vec![Column::f32s("pair", &[1.5, 2.5], 2)]),
        ];
        write(&path, &"a note", &groups).unwrap();
        let file = Segments::open(&path).unwrap();
        assert_eq!(file.note::<String>().unwrap(), "a note");
        let counts: Vec<usize> = (0..3).map(|segment| file.count("items", segment).unwrap()).collect();
        assert_eq!(counts, [2, 0, 2]);
        let (mut ids, mut prices, mut rows) = (Vec::new(), Vec::new(), Vectors::with_capacity(Element::F16, 2, 4));
        for segment in 0..3 {
            file.u32s("items", segment, "id", &mut ids).unwrap();
            file.f64s("items", segment, "price", &mut prices).unwrap();
            file.rows("items", segment, "row", &mut rows).unwrap();
        }
        assert_eq!((ids, prices), (vec![8, 10, 7, 9], vec![-1.0, 4.0, 0.5, 2.0]));
        assert_eq!((rows.row(0), rows.row(3)), (vec![2.0, 3.0], vec![4.0, 5.0]));
        let mut pair = Vec::new();
        file.f32s("others", 0, "pair", &mut pair).unwrap();
        assert_eq!(pair, [1.5, 2.5]);
        assert!(file.u32s("items", 3, "id", &mut Vec::new()).is_err() && file.count("none", 0).is_err());
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write(&path, &(), &[Group::whole("items", 2, vec![Column::u32s("id", &[1, 2])])]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(Segments::open(&path).is_err(), "{length} bytes");
        }
    }
}
