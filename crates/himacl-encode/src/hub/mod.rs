//! The Hugging Face Hub: encoders' files, fetched once into the cache that other programs share.
//!
//! The layout of the cache is the Hub's own (`models--ORG--NAME/{blobs,refs,snapshots}`), so that what Python programs
//! have fetched is found and the other way round. Environment: [`HubSettings`]. What is fetched is checked: its length,
//! the SHA-256 that the Hub gives for large files, and the header of safetensors files.

mod aside;
mod cache;
mod certificates;
mod check;
mod client;
mod encoder_files;
mod event;
mod forward;
mod http;
mod kept;
mod parts;
mod proxies;
mod remote;
mod s3;
mod settings;
mod text;
mod transfer;
mod version;

pub use crate::error::HubError;
pub use check::check_weights;
pub use client::Hub;
pub use encoder_files::{Files, Open, Snapshot, descriptions, local_snapshot};
pub(crate) use encoder_files::{INDEX, ROUTERS, WEIGHTS, nested_weights, router_files};
pub use event::Event;
pub(crate) use parts::{Part, Parts};
pub use proxies::Proxies;
pub use remote::{Remote, RemoteFile};
pub use s3::{S3Keys, S3Settings};
pub use settings::HubSettings;
pub(crate) use text::{SCHEME as S3_SCHEME, escape, shown as shown_address};
pub use transfer::files_sha256;
