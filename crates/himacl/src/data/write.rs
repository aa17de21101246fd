//! Embeddings written in the layout of the set they were computed from.

use super::clip_folder::shard_name;
use super::embeddings::{Embeddings, Layout};
use super::rows::ElementType;
use super::{npy, safetensors};
use crate::error::Error;
use candle_core::{DType, Tensor};
use std::fs;
use std::path::Path;

/// Writes `rows`, `(n, d')`, at `path` in the layout of `input` (n rows of any dimension): one file of the same format,
/// or a folder with shards of the same numbers and lengths and copies of the metadata. f64 is written as f32.
///
/// Does not check whether `path` exists: see [`crate::files`].
///
/// # Errors
/// [`Error::Overflow`] for values beyond f16 where the input has f16, [`Error::Io`].
///
/// # Panics
/// If `rows` is not a matrix with as many rows as `input`.
pub fn write_like(input: &Embeddings, rows: &Tensor, path: &Path) -> Result<(), Error> {
    let (n, dimension) = rows.dims2()?;
    assert_eq!(n, input.num_rows(), "rows for the layout of `{}`", input.path().display());
    let values: Vec<f32> = rows.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let write_npy = |path: &Path, values: &[f32]| {
        let shape = [values.len() / dimension, dimension];
        match input.element() {
            ElementType::F16 => npy::write_npy_f16(path, values, &shape),
            _ => npy::write_npy_f32(path, values, &shape),
        }
    };
    match input.layout() {
        Layout::Npy => write_npy(path, &values),
        Layout::Safetensors { key } => safetensors::write_matrix(path, key, input.element(), &values, dimension),
        Layout::ClipFolder { kind, numbers } => {
            for folder in [path.join(kind), path.join("metadata")] {
                if !input.metadata_files().is_empty() || folder.ends_with(kind) {
                    fs::create_dir_all(&folder).map_err(Error::io("make folder", &folder))?;
                }
            }
            let mut rest = values.as_slice();
            for (number, shard_rows) in numbers.iter().zip(input.shard_rows()) {
                let (own, following) = rest.split_at(shard_rows * dimension);
                write_npy(&path.join(shard_name(kind, number)), own)?;
                rest = following;
            }
            for (number, source) in numbers.iter().zip(input.metadata_files()) {
                let target = path.join("metadata").join(format!("metadata_{number}.parquet"));
                fs::copy(source, &target).map_err(Error::io("write", &target))?;
            }
            Ok(())
        }
    }
}
