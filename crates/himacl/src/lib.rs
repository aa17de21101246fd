//! Pair two huge sets of embeddings one to one, and learn the map between them.
//!
//! Layers, lowest first; a module uses only lower ones:
//!
//! | module | what it is |
//! |---|---|
//! | [`error`] | the crate's error |
//! | [`data`] | embeddings on disk: npy, safetensors, clip-retrieval folders; the crate `himacl-data` |
//! | [`hub`], [`readers`], [`encoder`], [`embed`] | pictures and texts in, embeddings out; the crate `himacl-encode` |
//! | [`map`] | maps T between the two spaces: linear (closed form), residual MLP |
//! | [`eval`] | retrieval and pairing metrics |
//! | [`align`] | initial alignment: shared space, a few known pairs, or none |
//! | [`objective`], [`train`] | losses, optimiser, schedule, EMA, checkpoints, the loop |
//! | [`search`] | the best of a gallery for each query, exactly or by an index |
//! | [`explore`] | pairs explained: runners-up, directions that carry a match, co-clusters, counterfactuals |

pub mod align;
pub mod error;
pub mod eval;
pub mod explore;
pub mod map;
pub mod objective;
pub mod search;
mod side;
pub mod train;

pub use error::Error;
pub use himacl_data as data;
pub use himacl_data::ErrorKind;
pub use himacl_encode::{Error as EncodeError, embed, encoder, hub, readers};
