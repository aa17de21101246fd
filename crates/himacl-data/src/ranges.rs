//! Some rows of a set, read from the files and not through their maps: mapped pages would count to the memory of the process.

use super::embeddings::{Embeddings, Shard};
use super::rows::{Bytes, ElementType, NotFinite, StoredRows};
use super::table_column::TableColumn;
use crate::error::Error;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

/// Some bytes of a file.
pub type FileRanges = (PathBuf, Vec<Range<u64>>);

impl Embeddings {
    /// Reads the rows of a range as f32, `(range * d,)`; memory of a few times their size.
    ///
    /// # Errors
    /// [`Error::NotFinite`], naming the first rows with NaN or infinite values and their file; as the formats' readers.
    ///
    /// # Panics
    /// If there are no such rows.
    pub fn read_rows(&self, rows: Range<usize>) -> Result<Vec<f32>, Error> {
        assert!(rows.end <= self.num_rows(), "rows {rows:?} of {}", self.num_rows());
        let d = self.dimension();
        let mut values = vec![0.0; rows.len() * d];
        let mut rest = values.as_mut_slice();
        let mut bad = NotFinite::default();
        let mut start = 0;
        for shard in self.shards() {
            let own = rows.start.max(start)..rows.end.min(start + shard.rows());
            if own.start < own.end {
                let (target, following) = rest.split_at_mut(own.len() * d);
                bad = bad.merge(shard.decode_range(own.start - start..own.end - start, target)?);
                rest = following;
            }
            start += shard.rows();
        }
        bad.refuse(self.path())?;
        Ok(values)
    }

    /// Which bytes of which files [`Self::read_rows`] reads for the rows of a range, beside what opening the set reads: the headers of
    /// .npy and .safetensors files, the footers of .parquet files, the heads of messages of .arrow files, the directory of .npz archives.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub fn byte_ranges(&self, rows: Range<usize>) -> Result<Vec<FileRanges>, Error> {
        let mut found = Vec::new();
        let mut start = 0;
        for shard in self.shards() {
            let own = rows.start.max(start)..rows.end.min(start + shard.rows());
            if own.start < own.end {
                let own = own.start - start..own.end - start;
                found.push(match shard {
                    Shard::Matrix(matrix) => (matrix.path.clone(), matrix.byte_ranges(&own)),
                    Shard::Column(column) => (column.path.clone(), column.byte_ranges(&own)?),
                });
            }
            start += shard.rows();
        }
        Ok(found)
    }

    /// The type that holds all values exactly in the least memory, as [`Self::to_stored_tensor`] chooses it: one of half precision where
    /// all are of it, else f32.
    pub fn compact_element(&self) -> ElementType {
        let first = self.element();
        let is_of = |shard: &Shard| shard.rows() == 0 || (shard.element() == first);
        if first.is_half() && self.shards().iter().all(is_of) { first } else { ElementType::F32 }
    }

    /// Whether values had to be unpacked into memory to be read at all.
    pub fn is_unpacked(&self) -> bool {
        self.shards().iter().any(|shard| matches!(shard, Shard::Matrix(StoredRows { bytes: Bytes::Unpacked(_), .. })))
    }
}

impl Shard {
    fn decode_range(&self, rows: Range<usize>, out: &mut [f32]) -> Result<NotFinite, Error> {
        let mut bad = match self {
            Self::Matrix(matrix) => matrix.part(rows.clone())?.decode(out),
            Self::Column(column) => TableColumn::decode_range(column, rows.clone(), out)?,
        };
        bad.shift(rows.start);
        Ok(bad)
    }
}

impl StoredRows {
    /// Where the bytes of some rows are.
    fn byte_ranges(&self, rows: &Range<usize>) -> Vec<Range<u64>> {
        let range = |at: usize, numbers: usize| {
            let start = self.offset + at * self.element.size();
            start as u64..(start + numbers * self.element.size()) as u64
        };
        if self.column_major {
            (0..self.dimension).map(|column| range(column * self.rows + rows.start, rows.len())).collect()
        } else {
            vec![range(rows.start * self.dimension, rows.len() * self.dimension)]
        }
    }

    /// A copy of some rows as they are stored.
    fn part(&self, rows: Range<usize>) -> Result<Self, Error> {
        let size = self.element.size();
        let mut bytes = vec![0_u8; rows.len() * self.dimension * size];
        let mut file = match &self.bytes {
            Bytes::Mapped(_) => Some(File::open(&self.path).map_err(Error::io("read", &self.path))?),
            Bytes::Unpacked(_) => None,
        };
        let mut copy = |at: usize, target: &mut [u8]| -> io::Result<()> {
            let at = self.offset + at;
            if let Some(file) = &mut file {
                file.seek(SeekFrom::Start(at as u64))?;
                return file.read_exact(target);
            }
            target.copy_from_slice(&self.bytes[at..at + target.len()]);
            Ok(())
        };
        let read = if self.column_major {
            let mut columns = bytes.chunks_exact_mut((rows.len() * size).max(1)).enumerate();
            columns.try_for_each(|(column, target)| copy((column * self.rows + rows.start) * size, target))
        } else {
            copy(rows.start * self.dimension * size, &mut bytes)
        };
        read.map_err(Error::io("read", &self.path))?;
        Ok(Self { path: self.path.clone(), bytes: Bytes::Unpacked(bytes.into()), offset: 0, rows: rows.len(), ..*self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{write_npy_f16, write_npy_f32};
    use std::path::Path;

    fn check(path: &Path) {
        let set = Embeddings::open(path, None).unwrap();
        let (all, d) = (set.to_vec().unwrap(), set.dimension());
        for range in [0..set.num_rows(), 0..0, 1..2, 2..6, set.num_rows() - 1..set.num_rows()] {
            assert_eq!(set.read_rows(range.clone()).unwrap(), all[range.start * d..range.end * d], "{range:?}");
        }
    }

    /// Reads a range from a copy of the file in which all values that are not told to be read are not finite.
    fn check_told(path: &Path, range: Range<usize>, values: &[f32]) {
        let set = Embeddings::open(path, None).unwrap();
        let mut bytes = std::fs::read(path).unwrap();
        let told: Vec<u8> = set
            .byte_ranges(range.clone())
            .unwrap()
            .into_iter()
            .flat_map(|(_, ranges)| ranges)
            .flat_map(|range| bytes[range.start as usize..range.end as usize].to_vec())
            .collect();
        let of = |rows: Range<usize>| set.byte_ranges(rows).unwrap().into_iter().flat_map(|(_, ranges)| ranges);
        of(0..set.num_rows()).for_each(|all| bytes[all.start as usize..all.end as usize].fill(0xFF));
        let mut told = told.as_slice();
        for range in of(range.clone()) {
            let (own, rest) = told.split_at((range.end - range.start) as usize);
            bytes[range.start as usize..range.end as usize].copy_from_slice(own);
            told = rest;
        }
        let copy = path.with_file_name(format!("copy-{}", path.file_name().unwrap().to_str().unwrap()));
        std::fs::write(&copy, bytes).unwrap();
        let copy = Embeddings::open(&copy, None).unwrap();
        assert_eq!(copy.read_rows(range).unwrap(), values);
        assert!(copy.to_vec().is_err(), "what was not told is missing");
    }

    #[test]
    fn ranges_are_parts_of_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let values: Vec<f32> = (0..21).map(|value| value as f32).collect();
        let shards = folder.path().join("img_emb");
        std::fs::create_dir(&shards).unwrap();
        write_npy_f16(&shards.join("img_emb_0.npy"), &values[..9], &[3, 3]).unwrap();
        write_npy_f16(&shards.join("img_emb_1.npy"), &values[9..], &[4, 3]).unwrap();
        check(folder.path());
        assert_eq!(Embeddings::open(folder.path(), None).unwrap().compact_element(), ElementType::F16);
        let path = folder.path().join("x.npy");
        write_npy_f32(&path, &values, &[7, 3]).unwrap();
        check(&path);
        check_told(&path, 2..4, &values[6..12]);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(5).position(|window| window == b"False").unwrap();
        bytes[at..at + 5].copy_from_slice(b"True ");
        std::fs::write(&path, bytes).unwrap();
        check(&path);
        check_told(&path, 2..4, &Embeddings::open(&path, None).unwrap().to_vec().unwrap()[6..12]);
    }

    #[test]
    fn rows_that_are_not_finite_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        write_npy_f32(&path, &[0.0, 1.0, 2.0, f32::NAN], &[4, 1]).unwrap();
        let set = Embeddings::open(&path, None).unwrap();
        assert_eq!(set.read_rows(0..3).unwrap(), [0.0, 1.0, 2.0]);
        match set.read_rows(2..4).unwrap_err() {
            Error::NotFinite { rows, .. } => assert_eq!(rows[0].row, 3),
            other => panic!("{other}"),
        }
    }
}
