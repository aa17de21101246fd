//! Encoders over a dataset, to a clip-retrieval folder.
//!
//! Reading, decoding and tokenising go on in threads beside the model, in order and bounded; the records of a shard decide
//! which rows share a batch, so that a run that is killed and resumed ends with the bytes of one that was not.

mod child;
mod greeting;
mod model;
mod params;
mod pipeline;
mod prefetch;
mod program;
mod shard;
mod store;
#[cfg(test)]
mod tests;
mod towers;

pub use crate::error::EmbedError;
pub use greeting::Greeting;
pub use model::EmbedModel;
pub use params::EmbedParams;
pub use pipeline::{EmbedEvent, EmbedOutput, embed};
pub use program::Program;
pub use shard::SkippedSample;
pub use store::{EMBED_FILES, skipped_positions};
pub use towers::Towers;
