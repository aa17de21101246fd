//! Sets of embeddings on disk: npy, safetensors, clip-retrieval folders; files that are either whole or absent; output folders.

mod clip_folder;
mod embeddings;
mod error;
pub mod files;
mod metadata;
mod npy;
pub mod output;
mod rows;
mod safetensors;
mod sealed;
mod transform;
mod write;

pub use embeddings::{Embeddings, Layout};
pub use error::{Error, ErrorKind, NpyProblem};
pub use metadata::Metadata;
pub use npy::{read_npy_pairs, read_npy_u32, write_npy_f16, write_npy_f32, write_npy_u32, write_npy_uids};
pub use rows::ElementType;
pub use sealed::{seal, sealed_facts};
pub use transform::{center, normalize_rows};
pub use write::write_like;
