//! Bounds for what others have made: no file, member or line takes more memory than it may, and none is waited for.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

/// The bytes that a picture's file or member may have.
pub(super) const PICTURE_BYTES: u64 = 256 << 20;
/// The bytes that a caption may have: far more than any encoder looks at.
pub(super) const CAPTION_BYTES: u64 = 1 << 20;
/// The bytes that a JSON file, an object of one, or the row of a table may have.
pub(super) const RECORD_BYTES: u64 = 16 << 20;

/// Opens a regular file; a pipe or device could be read for ever.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() { File::open(path) } else { Err(io::Error::other("not a regular file")) }
}

/// The content of a regular file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_all(open(path)?, limit)
}

/// What a reader gives up to its end, at most `limit` bytes.
pub(super) fn read_all(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    reader.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit { Err(too_large(limit)) } else { Ok(content) }
}

pub(super) fn too_large(limit: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("more than the {} MiB that are read at most", limit >> 20))
}

/// A number of bytes that threads share: who needs more than is left waits for the others.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: u64,
    used: Mutex<u64>,
    freed: Condvar,
}

impl Budget {
    pub(super) const fn new(bytes: u64) -> Self {
        Self { bytes, used: Mutex::new(0), freed: Condvar::new() }
    }

    /// Takes a share; one that is larger than the whole is had once nobody else has any.
    pub(super) fn share(&self, bytes: u64) -> Share<'_> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used > 0 && used.saturating_add(bytes) > self.bytes {
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used = used.saturating_add(bytes);
        Share { budget: self, bytes }
    }
}

/// A share of a budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *self.budget.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn shares_never_exceed_the_budget() {
        let (budget, now, most) = (Budget::new(10), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for bytes in [3, 4, 6, 9, 25, 1, 7, 2] {
                let (budget, now, most) = (&budget, &now, &most);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let _share = budget.share(bytes);
                        let used = now.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        // One that is larger than the whole has it to itself.
                        assert!(used <= 10 || used == bytes, "{used}");
                        most.fetch_max(used, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(bytes, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 25);
        assert_eq!(budget.used.into_inner().unwrap(), 0);
    }

    #[test]
    fn content_is_bounded_and_devices_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(read(&path, 4).unwrap_err().to_string().contains("read at most"));
        assert!(read(folder.path(), 4).unwrap_err().to_string().contains("not a regular file"));
        #[cfg(unix)]
        {
            let link = folder.path().join("zero");
            std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
            assert!(read(&link, 4).unwrap_err().to_string().contains("not a regular file"));
        }
    }
}
