//! Where the content of a file of a dataset is.

use super::budget;
use std::fs::File;
use std::io::{self, Seek};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file on the disk, or one that has been fetched from elsewhere; it goes by its path or address.
#[derive(Debug, Clone)]
pub(super) struct Location {
    shown: PathBuf,
    fetched: Option<Arc<File>>,
}

impl Location {
    /// What was fetched from an address.
    pub(super) fn fetched(shown: &Path, content: File) -> Self {
        Self { shown: shown.to_path_buf(), fetched: Some(Arc::new(content)) }
    }

    /// Opens the content at its beginning. What was fetched has one position for all that have it open: it is read by one
    /// after the other.
    pub(super) fn open_content(&self) -> io::Result<File> {
        match &self.fetched {
            None => budget::open(&self.shown),
            Some(content) => {
                let mut file = content.try_clone()?;
                file.rewind()?;
                Ok(file)
            }
        }
    }

    /// Whether it is not on this disk: then no path in it leads anywhere.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.fetched.is_some()
    }
}

impl Deref for Location {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.shown
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Location {
    fn from(path: &P) -> Self {
        Self { shown: path.as_ref().to_path_buf(), fetched: None }
    }
}
