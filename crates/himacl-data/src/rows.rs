//! Rows of numbers inside a file: mapped into memory, or unpacked from an archive.

use crate::error::{BadRow, Error};
use crate::files::is_pointer;
use half::{bf16, f16};
use memmap2::Mmap;
use rayon::prelude::*;
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// At most this many offending rows are named in a message.
pub(crate) const NAMED_ROWS: usize = 10;

/// The number format of stored embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElementType {
    /// IEEE half precision.
    F16,
    /// The upper half of single precision (safetensors only).
    Bf16,
    /// Single precision.
    F32,
    /// Double precision; read as single.
    F64,
    /// Whole numbers of 8 bits, quantised embeddings for example; read as single precision.
    I8,
    /// As [`Self::I8`], without sign.
    U8,
    /// Whole numbers of 16 bits; read as single precision.
    I16,
    /// As [`Self::I16`], without sign.
    U16,
    /// Whole numbers of 32 bits; read as single precision, rounded beyond 2^24.
    I32,
    /// As [`Self::I32`], without sign.
    U32,
    /// Whole numbers of 64 bits; read as single precision, rounded beyond 2^24.
    I64,
    /// As [`Self::I64`], without sign.
    U64,
}

impl ElementType {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// Whether it is one of the two of half precision, which stay as they are in memory.
    pub(crate) fn is_half(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16)
    }

    /// Whether single precision cannot hold all such numbers.
    pub(crate) fn is_wide(self) -> bool {
        self.size() > 4 || matches!(self, Self::I32 | Self::U32)
    }

    /// One number, from its bytes, the least significant first.
    fn value(self, bytes: &[u8]) -> f32 {
        match self {
            Self::F16 => f16::from_le_bytes(array(bytes)).to_f32(),
            Self::Bf16 => bf16::from_le_bytes(array(bytes)).to_f32(),
            Self::F32 => f32::from_le_bytes(array(bytes)),
            Self::F64 => f64::from_le_bytes(array(bytes)) as f32,
            Self::I8 => f32::from(i8::from_le_bytes(array(bytes))),
            Self::U8 => f32::from(bytes[0]),
            Self::I16 => f32::from(i16::from_le_bytes(array(bytes))),
            Self::U16 => f32::from(u16::from_le_bytes(array(bytes))),
            Self::I32 => i32::from_le_bytes(array(bytes)) as f32,
            Self::U32 => u32::from_le_bytes(array(bytes)) as f32,
            Self::I64 => i64::from_le_bytes(array(bytes)) as f32,
            Self::U64 => u64::from_le_bytes(array(bytes)) as f32,
        }
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("a slice of the size of the number")
}

/// The bytes of a file, or of a member of an archive.
#[derive(Debug, Clone)]
pub(crate) enum Bytes {
    Mapped(Arc<Mmap>),
    Unpacked(Arc<[u8]>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Unpacked(bytes) => bytes,
        }
    }
}

/// A matrix, `(rows, dimension)`, somewhere in the bytes of a file.
#[derive(Debug, Clone)]
pub(crate) struct StoredRows {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Bytes,
    pub(crate) offset: usize,
    pub(crate) element: ElementType,
    /// Whether the most significant byte of a number comes first.
    pub(crate) big_endian: bool,
    /// Whether a column's numbers lie side by side, and not a row's.
    pub(crate) column_major: bool,
    pub(crate) rows: usize,
    pub(crate) dimension: usize,
}

/// Rows with values that are not finite.
#[derive(Debug, Default)]
pub(crate) struct NotFinite {
    rows: Vec<BadRow>,
    total: usize,
    first: Option<(usize, f32)>,
}

impl StoredRows {
    /// Writes all values to `out`, `(rows * dimension,)`, as f32, in parallel; returns the rows that are not finite.
    pub(crate) fn decode(&self, out: &mut [f32]) -> NotFinite {
        let element = self.element;
        match (element, self.is_plain()) {
            // The common types, whose loops the compiler vectorises.
            (ElementType::F32, true) => self.read_plain(out, f32::from_le_bytes),
            (ElementType::F16, true) => self.read_plain(out, |bytes| f16::from_le_bytes(bytes).to_f32()),
            _ => self.read(out, |bytes| element.value(bytes)),
        }
    }

    /// Copies all values, of two bytes each, to `out`, `(rows * dimension,)`, in parallel.
    pub(crate) fn copy_halves<T: Copy + Into<f32> + Send>(&self, out: &mut [T], value: fn([u8; 2]) -> T) -> NotFinite {
        assert_eq!(self.element.size(), 2, "half precision in `{}`", self.path.display());
        if self.is_plain() { self.read_plain(out, value) } else { self.read(out, |bytes| value(array(bytes))) }
    }

    /// The values where they lie, if they are float32 in C order.
    pub(crate) fn as_f32(&self) -> Option<&[f32]> {
        if self.element != ElementType::F32 || !self.is_plain() || cfg!(target_endian = "big") {
            return None;
        }
        // SAFETY: every pattern of four bytes is an f32; the middle part is aligned, and is all there is or nothing is returned.
        let (before, values, after) = unsafe { self.data().align_to::<f32>() };
        (before.is_empty() && after.is_empty()).then_some(values)
    }

    /// The values where they lie, if they are float64 in C order.
    pub(crate) fn as_f64(&self) -> Option<&[f64]> {
        if self.element != ElementType::F64 || !self.is_plain() || cfg!(target_endian = "big") {
            return None;
        }
        // SAFETY: every pattern of eight bytes is an f64; the middle part is aligned, and is all there is or nothing is returned.
        let (before, values, after) = unsafe { self.data().align_to::<f64>() };
        (before.is_empty() && after.is_empty()).then_some(values)
    }

    /// A copy of all values in f64, whatever they are.
    pub(crate) fn to_f64(&self) -> Vec<f64> {
        let mut values = vec![0.0; self.rows * self.dimension];
        values.par_chunks_mut(self.dimension.max(1)).enumerate().for_each(|(row, target)| {
            target.iter_mut().zip(self.wide_row(row)).for_each(|(target, value)| *target = value);
        });
        values
    }

    /// As [`Self::decode`], less an origin, `(d,)`.
    pub(crate) fn decode_from(&self, out: &mut [f32], origin: &[f64]) -> NotFinite {
        self.each_row(out, |row, target| {
            for ((target, value), origin) in target.iter_mut().zip(self.wide_row(row)).zip(origin) {
                *target = (value - origin) as f32;
            }
        })
    }

    /// A row in f64, whatever it is.
    pub(crate) fn wide_row(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        let (data, size) = (self.data(), self.element.size());
        let (row_step, column_step) = if self.column_major { (1, self.rows) } else { (self.dimension, 1) };
        (0..self.dimension).map(move |column| {
            let at = (row * row_step + column * column_step) * size;
            let mut bytes = [0; 8];
            bytes[..size].copy_from_slice(&data[at..at + size]);
            if self.big_endian {
                bytes[..size].reverse();
            }
            match self.element {
                ElementType::F64 => f64::from_le_bytes(bytes),
                ElementType::I32 => i32::from_le_bytes(array(&bytes[..4])).into(),
                ElementType::U32 => u32::from_le_bytes(array(&bytes[..4])).into(),
                ElementType::I64 => i64::from_le_bytes(bytes) as f64,
                ElementType::U64 => u64::from_le_bytes(bytes) as f64,
                other => other.value(&bytes[..size]).into(),
            }
        })
    }

    fn is_plain(&self) -> bool {
        !self.column_major && !self.big_endian
    }

    fn data(&self) -> &[u8] {
        &self.bytes[self.offset..self.offset + self.rows * self.dimension * self.element.size()]
    }

    /// Numbers of N bytes that lie row by row, the least significant byte first.
    fn read_plain<T: Copy + Into<f32> + Send, const N: usize>(
        &self,
        out: &mut [T],
        value: impl Fn([u8; N]) -> T + Sync,
    ) -> NotFinite {
        let data = self.data();
        let width = self.dimension * N;
        self.each_row(out, |row, target| {
            let source = &data[row * width..(row + 1) * width];
            for (bytes, target) in source.as_chunks::<N>().0.iter().zip(target) {
                *target = value(*bytes);
            }
        })
    }

    /// Numbers in any order.
    fn read<T: Copy + Into<f32> + Send>(&self, out: &mut [T], value: impl Fn(&[u8]) -> T + Sync) -> NotFinite {
        let (data, size) = (self.data(), self.element.size());
        let (row_step, column_step) = if self.column_major { (1, self.rows) } else { (self.dimension, 1) };
        self.each_row(out, |row, target| {
            for (column, target) in target.iter_mut().enumerate() {
                let at = (row * row_step + column * column_step) * size;
                let mut bytes = [0; 8];
                bytes[..size].copy_from_slice(&data[at..at + size]);
                if self.big_endian {
                    bytes[..size].reverse();
                }
                *target = value(&bytes[..size]);
            }
        })
    }

    fn each_row<T: Copy + Into<f32> + Send>(
        &self,
        out: &mut [T],
        read_row: impl Fn(usize, &mut [T]) + Sync,
    ) -> NotFinite {
        if self.rows == 0 {
            return NotFinite::default();
        }
        out.par_chunks_mut(self.dimension)
            .enumerate()
            .with_min_len(256)
            .fold(NotFinite::default, |mut bad, (row, target)| {
                read_row(row, target);
                bad.look_at(&self.path, row, target);
                bad
            })
            .reduce(NotFinite::default, NotFinite::merge)
    }
}

impl NotFinite {
    /// Takes note of a row if it has values that are not finite.
    pub(crate) fn look_at<T: Copy + Into<f32>>(&mut self, path: &Path, row: usize, values: &[T]) {
        if let Some(column) = values.iter().position(|&value| !Into::<f32>::into(value).is_finite()) {
            self.first.get_or_insert((column, values[column].into()));
            self.total += 1;
            if self.rows.len() < NAMED_ROWS {
                self.rows.push(BadRow { path: path.to_path_buf(), row });
            }
        }
    }

    /// `other` comes from later rows: rayon reduces in order.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.first = self.first.or(other.first);
        self.total += other.total;
        self.rows.extend(other.rows);
        self.rows.truncate(NAMED_ROWS);
        self
    }

    /// Counts rows from `start` on.
    pub(crate) fn shift(&mut self, start: usize) {
        self.rows.iter_mut().for_each(|bad| bad.row += start);
    }

    /// Refuses the set at `path` if there are such rows.
    pub(crate) fn refuse(self, path: &Path) -> Result<(), Error> {
        let Self { rows, total, first } = self;
        match first {
            None => Ok(()),
            Some((column, value)) => Err(Error::NotFinite { path: path.to_path_buf(), rows, total, column, value }),
        }
    }
}

/// Maps a file into memory.
pub(crate) fn map_file(path: &Path) -> Result<Arc<Mmap>, Error> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    // SAFETY: the map is only read, and all that is read through it are plain bytes. A file that another process
    // shortens meanwhile ends this process with a bus error: the documented hazard of mapped input, accepted because
    // sets are larger than memory.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
    if is_pointer(&map) {
        return Err(Error::Pointer(path.to_path_buf()));
    }
    Ok(Arc::new(map))
}
