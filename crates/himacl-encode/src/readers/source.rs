//! Files that may be packed: gzip by their content, whatever they are called.

use super::budget;
use super::location::Location;
use crate::error::Error;
use crate::error::ReadError;
use flate2::bufread::GzDecoder;
use himacl_data::files::is_pointer;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// A file read from its beginning to its end. One that is packed ends where it cannot be unpacked further, and tells why.
pub(super) struct Source {
    reader: Box<dyn BufRead + Send>,
    is_packed: bool,
    failure: Option<String>,
}

impl Source {
    /// What comes next, nothing at the end.
    pub(super) fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.failure.is_some() {
            return Ok(&[]);
        }
        match self.reader.fill_buf() {
            Err(error) if self.is_packed && is_damage(&error) => {
                self.failure = Some(format!("cannot be unpacked further: {error}"));
                Ok(&[])
            }
            part => part,
        }
    }

    /// Passes over so many bytes of what came.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
    }

    /// Whether it ended before its time.
    pub(super) fn is_cut(&self) -> bool {
        self.failure.is_some()
    }

    /// What ended it before its time.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

/// Whether an archive is at fault, and not the disk.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
}

/// The members of a gzip file, one after the other. Zeros behind one are passed over, as Python does.
struct Members(GzDecoder<Box<dyn BufRead + Send>>);

impl Members {
    fn of(file: File) -> Self {
        let packed: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(1 << 16, file));
        Self(GzDecoder::new(packed))
    }
}

impl Read for Members {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let some = self.0.read(into)?;
            if some > 0 || into.is_empty() {
                return Ok(some);
            }
            let packed = self.0.get_mut();
            loop {
                let part = packed.fill_buf()?;
                let (zeros, length) = (part.iter().take_while(|&&byte| byte == 0).count(), part.len());
                if length == 0 {
                    return Ok(0);
                }
                packed.consume(zeros);
                if zeros < length {
                    break;
                }
            }
            let rest = std::mem::replace(packed, Box::new(io::empty()));
            self.0.reset(rest);
        }
    }
}

/// What unpacks files that are not read as they are, by their first bytes.
const OTHERS: [(&[u8], &str); 5] = [
    (b"\x28\xb5\x2f\xfd", "zstd -d"),
    (b"BZh91AY&SY", "bunzip2"),
    (b"\xfd7zXZ\x00", "unxz"),
    (b"\x04\x22\x4d\x18", "lz4 -d"),
    (b"PK\x03\x04", "unzip"),
];
/// An archive may grow by this factor, and by so many bytes, when it is unpacked.
const GROWTH: u64 = 100;
const UNPACKED_BYTES: u64 = 1 << 30;

/// Opens a file, unpacked if need be.
pub(super) fn open(path: &Location) -> Result<Source, Error> {
    let (file, is_packed) = sniff(path)?;
    let reader: Box<dyn BufRead + Send> = if is_packed {
        Box::new(BufReader::with_capacity(1 << 16, Members::of(file)))
    } else {
        Box::new(BufReader::with_capacity(1 << 16, file))
    };
    let mut source = Source { reader, is_packed, failure: None };
    let head = source.fill_buf().map_err(Error::io("read", path))?;
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Err(ReadError::Utf16(path.to_path_buf()).into());
    }
    if head.starts_with(b"\xef\xbb\xbf") {
        source.consume(3);
    }
    Ok(source)
}

/// Opens a file whose parts are read in any order: one that is packed is unpacked to a file without a name, and what
/// ended that before its time is told.
pub(super) fn open_random(path: &Location) -> Result<(File, Option<io::Error>), Error> {
    let (file, is_packed) = sniff(path)?;
    if !is_packed {
        return Ok((file, None));
    }
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let limit = length.saturating_mul(GROWTH).saturating_add(UNPACKED_BYTES);
    let mut unpacked = tempfile::tempfile().map_err(Error::io("unpack", path))?;
    let mut bounded = Members::of(file).take(limit);
    let failure = match io::copy(&mut bounded, &mut unpacked) {
        Ok(bytes) if bytes == limit => Some(budget::too_large(limit)),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    Ok((unpacked, failure))
}

/// A regular file at its beginning, and whether it is packed.
fn sniff(path: &Location) -> Result<(File, bool), Error> {
    let mut file = path.open_content().map_err(Error::io("read", path))?;
    let mut head = [0; 32];
    let mut length = 0;
    while length < head.len() {
        match file.read(&mut head[length..]).map_err(Error::io("read", path))? {
            0 => break,
            some => length += some,
        }
    }
    file.seek(SeekFrom::Start(0)).map_err(Error::io("read", path))?;
    let head = &head[..length];
    if is_pointer(head) {
        return Err(himacl_data::Error::Pointer(path.to_path_buf()).into());
    }
    if let Some((_, tool)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(ReadError::Packed { path: path.to_path_buf(), tool }.into());
    }
    Ok((file, head.starts_with(b"\x1f\x8b")))
}
