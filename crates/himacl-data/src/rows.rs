//! Rows of numbers inside a memory-mapped file.

use crate::error::Error;
use half::{bf16, f16};
use memmap2::Mmap;
use rayon::prelude::*;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// At most this many offending rows are named in a message.
const NAMED_ROWS: usize = 5;

/// The number format of stored embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// IEEE half precision.
    F16,
    /// The upper half of single precision (safetensors only).
    Bf16,
    /// Single precision.
    F32,
    /// Double precision; read as single.
    F64,
}

impl ElementType {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// A matrix, `(rows, dimension)`, row-major, little-endian, somewhere in a mapped file.
#[derive(Debug, Clone)]
pub(crate) struct MappedRows {
    pub(crate) path: PathBuf,
    pub(crate) map: Arc<Mmap>,
    pub(crate) offset: usize,
    pub(crate) element: ElementType,
    pub(crate) rows: usize,
    pub(crate) dimension: usize,
}

/// Rows with values that are not finite.
#[derive(Debug, Default)]
struct NotFinite {
    rows: Vec<usize>,
    total: usize,
    first: Option<(usize, f32)>,
}

impl MappedRows {
    /// Writes all values to `out`, `(rows * dimension,)`, as f32, in parallel.
    ///
    /// # Errors
    /// [`Error::NotFinite`], naming rows of this file.
    pub(crate) fn decode(&self, out: &mut [f32]) -> Result<(), Error> {
        self.read(out, |source, target| decode_row(self.element, source, target))
    }

    /// Copies all values, of two bytes each, to `out`, `(rows * dimension,)`, in parallel.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub(crate) fn copy_halves<T: Copy + Into<f32> + Send>(
        &self,
        out: &mut [T],
        value: fn([u8; 2]) -> T,
    ) -> Result<(), Error> {
        assert_eq!(self.element.size(), 2, "half precision in `{}`", self.path.display());
        self.read(out, |source, target| convert(source, target, value))
    }

    fn read<T: Copy + Into<f32> + Send>(
        &self,
        out: &mut [T],
        read_row: impl Fn(&[u8], &mut [T]) + Sync,
    ) -> Result<(), Error> {
        let width = self.dimension * self.element.size();
        let bytes = &self.map[self.offset..self.offset + self.rows * width];
        let bad: NotFinite = bytes
            .par_chunks(width)
            .zip(out.par_chunks_mut(self.dimension))
            .enumerate()
            .with_min_len(256)
            .fold(NotFinite::default, |mut bad, (row, (source, target))| {
                read_row(source, target);
                let not_finite = |&value: &T| !Into::<f32>::into(value).is_finite();
                if let Some(column) = target.iter().position(not_finite) {
                    bad.add(row, column, target[column].into());
                }
                bad
            })
            .reduce(NotFinite::default, NotFinite::merge);
        match bad.first {
            None => Ok(()),
            Some((column, value)) => {
                Err(Error::NotFinite { path: self.path.clone(), rows: bad.rows, total: bad.total, column, value })
            }
        }
    }
}

impl NotFinite {
    fn add(&mut self, row: usize, column: usize, value: f32) {
        self.first.get_or_insert((column, value));
        self.total += 1;
        if self.rows.len() < NAMED_ROWS {
            self.rows.push(row);
        }
    }

    /// `other` comes from later rows: rayon reduces in order.
    fn merge(mut self, other: Self) -> Self {
        self.first = self.first.or(other.first);
        self.total += other.total;
        self.rows.extend(other.rows);
        self.rows.truncate(NAMED_ROWS);
        self
    }
}

/// Maps a file into memory.
pub(crate) fn map_file(path: &Path) -> Result<Arc<Mmap>, Error> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    // SAFETY: the map is only read, and all that is read through it are plain bytes. A file that another process
    // shortens meanwhile ends this process with a bus error: the documented hazard of mapped input, accepted because
    // sets are larger than memory.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
    Ok(Arc::new(map))
}

fn decode_row(element: ElementType, source: &[u8], target: &mut [f32]) {
    match element {
        ElementType::F16 => convert(source, target, |bytes| f16::from_le_bytes(bytes).to_f32()),
        ElementType::Bf16 => convert(source, target, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        ElementType::F32 => convert(source, target, f32::from_le_bytes),
        ElementType::F64 => convert(source, target, |bytes| f64::from_le_bytes(bytes) as f32),
    }
}

fn convert<T, const N: usize>(source: &[u8], target: &mut [T], value: impl Fn([u8; N]) -> T) {
    for (bytes, target) in source.as_chunks::<N>().0.iter().zip(target) {
        *target = value(*bytes);
    }
}
