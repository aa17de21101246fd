//! What is sought, and what every reader of one file can do.

use super::sample::{Modality, Record};
use crate::error::Error;

/// What is sought in a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Pictures, captions or both.
    pub modality: Modality,
    /// The column, member or key that holds the picture, where it has no usual name.
    pub image_column: Option<String>,
    /// The column, member or key that holds the caption, where it has no usual name.
    pub caption_column: Option<String>,
}

/// A reader of one file or folder. A record that is skipped costs no more than finding where the next one begins.
pub(super) trait Reader: Iterator<Item = Result<Record, Error>> + Send {
    /// Passes over up to `count` records; returns how many there were.
    fn skip_records(&mut self, count: u64) -> Result<u64, Error> {
        for skipped in 0..count {
            match self.next() {
                Some(record) => drop(record?),
                None => return Ok(skipped),
            }
        }
        Ok(count)
    }
}
