//! Where the content of a file of a dataset is.

use super::budget;
use super::content::Content;
use crate::error::Error;
use crate::hub::Parts;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Seek};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file on the disk, or one that is fetched from elsewhere; it goes by its path or address.
#[derive(Debug, Clone)]
pub(super) struct Location {
    shown: PathBuf,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Here,
    /// Fetched whole.
    Fetched(Arc<File>),
    /// Fetched part by part.
    Parts(Arc<Parts>),
}

impl Location {
    /// What was fetched from an address.
    pub(super) fn fetched(shown: &Path, content: File) -> Self {
        Self { shown: shown.to_path_buf(), place: Place::Fetched(Arc::new(content)) }
    }

    /// What is fetched part by part; [`Self::open_parts`] opens it.
    pub(super) fn in_parts(shown: &Path, parts: Parts) -> Self {
        Self { shown: shown.to_path_buf(), place: Place::Parts(Arc::new(parts)) }
    }

    /// Opens the content at its beginning. What was fetched has one position for all that have it open: it is read by one
    /// after the other.
    pub(super) fn open_content(&self) -> io::Result<File> {
        match &self.place {
            Place::Here => budget::open(&self.shown),
            Place::Fetched(content) => {
                let mut file = content.try_clone()?;
                file.rewind()?;
                Ok(file)
            }
            Place::Parts(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Opens a content whose parts are read in any order.
    pub(super) fn open_parts(&self) -> io::Result<Content> {
        match &self.place {
            Place::Parts(parts) => Ok(Content::Parts(Arc::clone(parts))),
            _ => self.open_content().map(Content::File),
        }
    }

    /// Why a part of it could not be had, if that is what a reader stumbled over.
    pub(super) fn take_failure(&self) -> Option<Error> {
        let Place::Parts(parts) = &self.place else { return None };
        parts.take_failure().map(Error::of_dataset)
    }

    /// Says what of it is going to be read, group by group.
    pub(super) fn plan(&self, groups: Vec<Vec<Range<u64>>>) {
        if let Place::Parts(parts) = &self.place {
            parts.plan(groups);
        }
    }

    /// Whether it is not on this disk: then no path in it leads anywhere.
    pub(super) fn is_elsewhere(&self) -> bool {
        !matches!(self.place, Place::Here)
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
        Self { shown: path.as_ref().to_path_buf(), place: Place::Here }
    }
}

/// A name as text, bytes that are not UTF-8 as `\xNN`.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}
