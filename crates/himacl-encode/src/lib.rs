//! Pictures and texts in, embeddings out.
//!
//! Layers, lowest first; a module uses only lower ones:
//!
//! | module | what it is |
//! |---|---|
//! | [`error`] | the crate's error |
//! | [`hub`] | encoders' files from the Hugging Face Hub, through its cache |
//! | [`readers`] | pictures and captions on disk, in every format |
//! | [`encoder`] | pretrained encoders: registry, preprocessing, model families |
//! | [`embed`] | encoders over a dataset, to a clip-retrieval folder |

pub mod embed;
pub mod encoder;
pub mod error;
pub mod hub;
pub mod readers;

pub use error::Error;
