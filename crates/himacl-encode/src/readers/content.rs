//! The content of a table whose parts are read in any order: a file, or parts of one that is elsewhere.

use crate::hub::{Part, Parts};
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

/// What a parquet table is read from.
pub(super) enum Content {
    /// A file on this disk.
    File(File),
    /// Parts that are fetched when they are asked for.
    Parts(Arc<Parts>),
}

impl Length for Content {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => Length::len(file),
            Self::Parts(parts) => parts.size(),
        }
    }
}

impl ChunkReader for Content {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let parts = match self {
            Self::File(file) => return Ok(Box::new(file.get_read(start)?)),
            Self::Parts(parts) => parts,
        };
        let part = parts.part(start..start.saturating_add(1).min(parts.size()))?;
        Ok(Box::new(BufReader::new(PartReader { part, place: start })))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let parts = match self {
            Self::File(file) => return file.get_bytes(start, length),
            Self::Parts(parts) => parts,
        };
        let end = start.saturating_add(length as u64);
        if end > parts.size() {
            let (got, expected) = (parts.size().saturating_sub(start), length);
            return Err(ParquetError::EOF(format!("expected {expected} bytes from {start} on, got {got}")));
        }
        let part = parts.part(start..end)?;
        let mut bytes = Vec::with_capacity(length);
        PartReader { part, place: start }.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Reads a part on from a place.
struct PartReader {
    part: Arc<Part>,
    place: u64,
}

impl Read for PartReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.part.read_at(self.place, into)?;
        self.place += got as u64;
        Ok(got)
    }
}
