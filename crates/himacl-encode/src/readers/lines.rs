//! A caption a line.

use super::reader::{ReadOptions, Reader};
use super::sample::{Record, Sample};
use crate::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Reads lines, whatever ends them; those that are not UTF-8 are unusable.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    buffer: Vec<u8>,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        Ok(Self { path: path.to_path_buf(), reader: BufReader::with_capacity(1 << 16, file), buffer: Vec::new() })
    }

    /// The next line without its end, `Err` as text for one that is not UTF-8.
    pub(super) fn next_line(&mut self) -> Result<Option<Result<&str, String>>, Error> {
        self.buffer.clear();
        if self.reader.read_until(b'\n', &mut self.buffer).map_err(Error::io("read", &self.path))? == 0 {
            return Ok(None);
        }
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Ok(Some(std::str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))))
    }
}

/// Reads a caption a line; the key is the line's number in the dataset, from 0.
#[derive(Debug)]
pub(super) struct LineReader {
    lines: Lines,
    options: ReadOptions,
    position: u64,
}

impl LineReader {
    pub(super) fn open(path: &Path, options: ReadOptions, first: u64) -> Result<Self, Error> {
        Ok(Self { lines: Lines::open(path)?, options, position: first })
    }
}

impl Iterator for LineReader {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.position.to_string();
        let record = match self.lines.next_line() {
            Ok(None) => return None,
            Ok(Some(Ok(line))) => {
                let sample = Sample { key, caption: Some(line.to_owned()), ..Sample::default() };
                Ok(Record::checked(sample, self.options.modality))
            }
            Ok(Some(Err(reason))) => Ok(Record::unusable(key, reason)),
            Err(error) => Err(error),
        };
        self.position += 1;
        Some(record)
    }
}

impl Reader for LineReader {}
