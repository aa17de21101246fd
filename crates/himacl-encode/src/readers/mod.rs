//! Pictures and captions on disk, read one after the other: folders, webdataset shards, parquet and Arrow, tables, text lines.
//!
//! Every reader yields [`Record`]s in an order that depends on names and content alone, numbered from 0. A sample that
//! cannot be used keeps its number and says why, so that rows never shift.

mod budget;
mod columnar;
mod columns;
mod content;
mod dataset;
mod decode;
mod elsewhere;
mod folder;
mod input;
mod json;
#[cfg(test)]
mod kinds_tests;
mod lines;
mod location;
mod order;
mod picture;
mod reader;
mod rows;
mod sample;
mod set;
mod source;
mod table;
mod tar_file;
#[cfg(test)]
mod tests;
mod webdataset;

pub use crate::error::ReadError;
pub use dataset::Dataset;
pub use decode::decode_image;
pub use elsewhere::{Input, is_address};
pub use input::expand_input;
pub use reader::{Format, ReadOptions};
pub use sample::{ImageSource, Modality, Record, Sample};
pub use set::{RemoteSet, is_readable};
pub use tar_file::Member;
