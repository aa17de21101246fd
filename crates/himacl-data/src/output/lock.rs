//! One process at a time in an output folder, or at an output file.

use crate::error::Error;
use crate::files::remove_if_present;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// An owner that has just come says who it is within so many looks, a hundredth of a second apart.
const LOOKS: usize = 50;

/// An advisory lock: a file that holds who has it, locked by the system and so free again when its owner is gone, however
/// it went.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    /// Closing it unlocks.
    _file: File,
}

impl Lock {
    /// Takes the lock at `path`, of what is to be written, `subject`.
    ///
    /// # Errors
    /// [`Error::OutputInUse`], with the owner; [`Error::Io`].
    pub(super) fn take(path: &Path, subject: &Path) -> Result<Self, Error> {
        let failed = |error| Error::io("lock", path)(error);
        loop {
            if path.is_symlink() {
                return Err(Error::OutputLink(path.to_path_buf()));
            }
            let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            let mut file = opened.map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let owner = owner(&mut file);
                    return Err(Error::OutputInUse { path: subject.to_path_buf(), owner });
                }
                // Some network file systems know no locks: they are used as if alone.
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Its former owner may have removed the file between opening and locking.
            if is_at(&file, path) {
                let text = format!("process {} on {}\n", std::process::id(), host());
                file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
                file.write_all(text.as_bytes()).map_err(failed)?;
                return Ok(Self { path: path.to_path_buf(), _file: file });
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is still locked: nobody else can have taken it. A file that stays does no harm.
        let _ = remove_if_present(&self.path);
    }
}

/// Who holds the lock, as far as it says; read from the open file, which outlives its name.
fn owner(file: &mut File) -> String {
    for _ in 0..LOOKS {
        let mut text = String::new();
        let read = file.rewind().and_then(|()| file.take(512).read_to_string(&mut text));
        if read.is_ok() && text.ends_with('\n') {
            return text
                .trim_end()
                .chars()
                .map(|character| if character.is_control() { '?' } else { character })
                .collect();
        }
        sleep(Duration::from_millis(10));
    }
    "another process".to_owned()
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let ids = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), fs::symlink_metadata(path)), (Ok(ours), Ok(there)) if ids(&ours) == ids(&there))
}

/// Elsewhere a file that is open cannot be removed.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// The name of this machine.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    name.map_or_else(|| "an unnamed host".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        // What a killed owner leaves is no obstacle.
        fs::write(&path, "process 1 on elsewhere, long gone, with a longer name than ours\n").unwrap();
        let first = Lock::take(&path, folder.path()).unwrap();
        let refused = Lock::take(&path, folder.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {} on ", std::process::id())), "{refused}");
        assert!(!refused.contains("elsewhere"), "{refused}");
        drop(first);
        assert!(!path.exists());
        Lock::take(&path, folder.path()).unwrap();
    }

    #[test]
    fn one_of_many_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let inside = std::sync::atomic::AtomicUsize::new(0);
        let taken = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if let Ok(lock) = Lock::take(&path, folder.path()) {
                            assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                            taken.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                            drop(lock);
                        }
                    }
                });
            }
        });
        assert!(taken.into_inner() > 0);
    }
}
