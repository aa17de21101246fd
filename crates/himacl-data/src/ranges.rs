//! Some rows of a set, read from the files and not through their maps: mapped pages would count to the memory of the process.

use super::embeddings::{Embeddings, Shard};
use super::parquet_column::ParquetColumn;
use super::rows::{Bytes, ElementType, NotFinite, StoredRows};
use crate::error::Error;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

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
            Self::Column(column) => ParquetColumn::decode_range(column, rows.clone(), out)?,
        };
        bad.shift(rows.start);
        Ok(bad)
    }
}

impl StoredRows {
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
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(5).position(|window| window == b"False").unwrap();
        bytes[at..at + 5].copy_from_slice(b"True ");
        std::fs::write(&path, bytes).unwrap();
        check(&path);
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
