//! One file per command: its arguments, its resolved settings, and `run`.

pub(crate) mod apply;
pub(crate) mod download;
pub(crate) mod embed;
pub(crate) mod encoders;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod explore;
pub(crate) mod pair;
pub(crate) mod plot;
pub(crate) mod report;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod train;
