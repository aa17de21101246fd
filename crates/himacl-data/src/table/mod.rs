//! Tables on disk as record batches: parquet and Arrow by one interface.

mod arrow_file;
mod layout;
mod lists;
mod messages;
mod page_header;
mod parquet_file;
mod reader;
mod slices;

pub(crate) use lists::ListFacts;
pub use reader::{Batches, Table, is_arrow};
