//! A caption a line.

use super::budget::CAPTION_BYTES;
use super::location::Location;
use super::reader::{ReadOptions, Reader};
use super::sample::{Record, Sample};
use super::source::{self, Source};
use crate::error::Error;
use crate::error::ReadError;
use std::path::{Path, PathBuf};

/// Bytes after which a line is no longer looked for the end of.
const ENDLESS: u64 = 1 << 30;

/// A line without its end, or why it cannot be used.
pub(super) type Line = Result<String, String>;

/// Reads lines, whatever ends them.
pub(super) struct Lines {
    path: PathBuf,
    source: Source,
    /// The number of the last line, from 1.
    pub(super) number: u64,
    /// Lines that were given back, the next one last.
    returned: Vec<Line>,
}

impl Lines {
    pub(super) fn open(path: &Location) -> Result<Self, Error> {
        Ok(Self::of(path, source::open(path)?))
    }

    pub(super) fn of(path: &Path, source: Source) -> Self {
        Self { path: path.to_path_buf(), source, number: 0, returned: Vec::new() }
    }

    /// The next line without its end; `Err` as text for one that is not UTF-8 or has more than `limit` bytes.
    pub(super) fn next_line(&mut self, limit: u64) -> Result<Option<Line>, Error> {
        if let Some(line) = self.returned.pop() {
            self.number += 1;
            return Ok(Some(line));
        }
        let mut line = Vec::new();
        let length = self.read_line(&mut line, limit)?;
        // Of a line that is cut off nobody knows how it went on.
        if length == 0 || self.source.is_cut() && line.last() != Some(&b'\n') {
            return Ok(None);
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if length > limit {
            return Ok(Some(Err(format!("line {}: {length} bytes, at most {limit} are read", self.number))));
        }
        let number = self.number;
        Ok(Some(String::from_utf8(line).map_err(|error| format!("line {number}: not UTF-8: {error}"))))
    }

    /// Whether the file ended before its time.
    pub(super) fn are_cut(&self) -> bool {
        self.source.is_cut()
    }

    /// What stands for the rest of a file that ended before its time.
    pub(super) fn rest(&self) -> Option<Record> {
        Some(Record::rest(&self.path, self.failure()?))
    }

    /// What ended the file before its time.
    pub(super) fn failure(&self) -> Option<&str> {
        self.source.failure()
    }

    /// Gives back the last lines that were read, in their order.
    pub(super) fn give_back(&mut self, lines: impl DoubleEndedIterator<Item = Line>) {
        for line in lines.rev() {
            self.returned.push(line);
            self.number -= 1;
        }
    }

    /// Passes over the rest of a line.
    fn read_line(&mut self, line: &mut Vec<u8>, limit: u64) -> Result<u64, Error> {
        let mut length = 0;
        loop {
            let part = self.source.fill_buf().map_err(Error::io("read", &self.path))?;
            let end = part.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
            let part = &part[..end.unwrap_or(part.len())];
            if length <= limit {
                line.extend_from_slice(part);
            }
            let some = part.len();
            length += some as u64;
            self.source.consume(some);
            if end.is_some() || some == 0 {
                return Ok(length);
            }
            if length > ENDLESS {
                return Err(ReadError::Endless { path: self.path.clone(), line: self.number + 1 }.into());
            }
        }
    }
}

/// Reads a caption a line; the key is the line's number in the dataset, from 0.
pub(super) struct LineReader {
    lines: Lines,
    options: ReadOptions,
    position: u64,
    is_done: bool,
}

impl LineReader {
    pub(super) fn open(path: &Location, options: ReadOptions, first: u64) -> Result<Self, Error> {
        Ok(Self { lines: Lines::open(path)?, options, position: first, is_done: false })
    }
}

impl Iterator for LineReader {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.position.to_string();
        let record = match self.lines.next_line(CAPTION_BYTES) {
            Ok(None) if std::mem::replace(&mut self.is_done, true) => return None,
            Ok(None) => return self.lines.rest().map(Ok),
            // An old Mac's whole file, more likely than not; Python takes it for several lines.
            Ok(Some(Ok(line))) if self.lines.number == 1 && line.contains('\r') => {
                let reason = "line 1 has carriage returns inside (`tr '\\r' '\\n'` makes lines of its parts)";
                Ok(Record::unusable(key, reason.to_owned()))
            }
            Ok(Some(Ok(line))) => {
                let sample = Sample { key, caption: Some(line), ..Sample::default() };
                Ok(Record::checked(sample, self.options.modality, || "the line is empty".to_owned()))
            }
            Ok(Some(Err(reason))) => Ok(Record::unusable(key, reason)),
            Err(error) => Err(error),
        };
        self.position += 1;
        Some(record)
    }
}

impl Reader for LineReader {}
