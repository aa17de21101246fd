//! What the caller of a download is told and asked.

/// What happens while files are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A file's content begins to come, or comes again after a failure.
    Started {
        /// Its name in the repository.
        file: &'a str,
        /// Bytes that are there already.
        done: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// So many more bytes have come.
    Advanced(u64),
    /// The file is in the cache.
    Finished,
}

/// Told what happens, and asked whether to stop.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    pub(super) observe: &'a dyn Fn(Event<'_>),
    pub(super) should_stop: &'a dyn Fn() -> bool,
}
