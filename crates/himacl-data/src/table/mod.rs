//! Tables on disk as record batches: parquet and Arrow by one interface.

mod arrow_file;
mod layout;
mod messages;
mod page_header;
mod parquet_file;
mod reader;
mod slices;

pub(crate) use reader::ListFacts;
pub use reader::{Batches, Table, is_arrow};
