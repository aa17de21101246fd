//! The Hugging Face Hub: encoders' files, fetched once into the cache that other programs share.
//!
//! The layout of the cache is the Hub's own (`models--ORG--NAME/{blobs,refs,snapshots}`), so that what Python programs
//! have fetched is found and the other way round. Environment: [`HubSettings`]. What is fetched is checked: its length,
//! the SHA-256 that the Hub gives for large files, and the header of safetensors files.

mod cache;
mod check;
mod client;
mod error;
mod http;
mod settings;
mod snapshot;
mod transfer;

pub use check::check_weights;
pub(crate) use check::is_pointer;
pub use client::{Event, Hub};
pub use error::HubError;
pub use settings::HubSettings;
pub(crate) use snapshot::descriptions;
pub use snapshot::{Files, Snapshot, local_snapshot};
pub use transfer::files_sha256;
