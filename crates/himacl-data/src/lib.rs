//! Sets of embeddings on disk: npy, safetensors, clip-retrieval folders; files that are either whole or absent; output folders.

mod clip_folder;
mod costs;
mod embeddings;
mod error;
pub mod files;
mod formats;
mod guard;
mod hints;
mod metadata;
mod npy;
mod npz;
pub mod output;
mod pairs;
mod precision;
mod ranges;
mod rows;
mod safetensors;
mod saved_dataset;
mod sealed;
mod table;
mod table_column;
mod transform;
mod write;

pub use costs::{
    CandidatePairs, CostMatrix, CostValues, read_candidates, read_npy_floats, read_npy_integers, read_npy_labels,
};
pub use embeddings::{Embeddings, Layout};
pub use error::{BadRow, Error, ErrorKind, NpyProblem};
pub use files::natural_order;
pub use guard::{guarded, panics_are_errors};
pub use metadata::{ColumnValues, Metadata};
pub use npy::{read_npy_u32, write_npy_f16, write_npy_f32, write_npy_u32, write_npy_uids};
pub use pairs::read_pairs;
pub use ranges::FileRanges;
pub use rows::ElementType;
pub use saved_dataset::saved_files;
pub use sealed::{seal, sealed_facts};
pub use table::{Batches, Table, is_arrow};
pub use transform::{center, normalize_rows, zero_rows};
pub use write::write_like;
