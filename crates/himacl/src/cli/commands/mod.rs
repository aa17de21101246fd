//! One file per command: its arguments, its resolved settings, and `run`.

pub(crate) mod pair;
