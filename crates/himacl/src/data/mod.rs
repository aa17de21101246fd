//! Embeddings on disk: npy, safetensors, clip-retrieval folders.

mod clip_folder;
mod embeddings;
mod metadata;
mod npy;
pub mod readers;
mod rows;
mod safetensors;
mod transform;
mod write;

pub use embeddings::{Embeddings, Layout};
pub use metadata::Metadata;
pub use npy::{read_npy_u32, write_npy_f16, write_npy_f32, write_npy_u32, write_npy_uids};
pub use rows::ElementType;
pub use transform::{center, normalize_rows};
pub use write::write_like;
