//! What is known of the lists of a column before they are read.

/// How many values there are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ListFacts {
    /// Values of all lists; of parquet files one for each that is missing or empty, too.
    pub(crate) values: u64,
    /// Whether a list may be missing.
    pub(crate) may_miss: bool,
}
