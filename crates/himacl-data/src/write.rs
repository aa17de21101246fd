//! Embeddings written in the layout of the set they were computed from.

use super::clip_folder::shard_name;
use super::embeddings::{Embeddings, Layout};
use super::rows::ElementType;
use super::{npy, safetensors};
use crate::error::Error;
use crate::files::write_atomic;
use candle_core::{DType, Tensor};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Writes `rows`, `(n, d')`, at `path` in the layout of `input` (n rows of any dimension): one file of the same format,
/// or a folder with shards of the same numbers and lengths and copies of the metadata. Rows of an archive or a table are written as
/// .npy. What is neither f16 nor bf16 is written as f32.
///
/// Does not check whether `path` exists: see [`crate::output`].
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
        // An archive or a table holds more than the embeddings: their mapped rows go to a file of their own.
        Layout::Npz { .. } | Layout::Table { .. } => {
            if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy")) {
                write_npy(path, &values)
            } else {
                Err(Error::NotWritable(path.to_path_buf()))
            }
        }
        Layout::Folder { names } => {
            fs::create_dir_all(path).map_err(Error::io("make folder", path))?;
            let mut rest = values.as_slice();
            for (name, shard_rows) in names.iter().zip(input.shard_rows()) {
                let (own, following) = rest.split_at(shard_rows * dimension);
                write_npy(&path.join(name).with_extension("npy"), own)?;
                rest = following;
            }
            Ok(())
        }
        Layout::Safetensors { key } => safetensors::write_matrix(path, key, input.element(), &values, dimension),
        Layout::ClipFolder { kind, numbers } => {
            let metadata = path.join("metadata");
            let folders = [Some(path.join(kind)), (!input.metadata_files().is_empty()).then(|| metadata.clone())];
            for folder in folders.iter().flatten() {
                fs::create_dir_all(folder).map_err(Error::io("make folder", folder))?;
            }
            // Metadata first: a shard that is missing is noticed by its metadata, should the process be killed.
            for (number, source) in numbers.iter().zip(input.metadata_files()) {
                let target = metadata.join(format!("metadata_{number}.parquet"));
                let mut source = File::open(source).map_err(Error::io("read", source))?;
                write_atomic(&target, |out| io::copy(&mut source, out).map(drop))?;
            }
            let mut rest = values.as_slice();
            for (number, shard_rows) in numbers.iter().zip(input.shard_rows()) {
                let (own, following) = rest.split_at(shard_rows * dimension);
                write_npy(&path.join(shard_name(kind, number)), own)?;
                rest = following;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn each_layout_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let npy = folder.path().join("a.npy");
        npy::write_npy_f16(&npy, &[1.0, 2.0, 3.0], &[3, 1]).unwrap();
        let tensors = folder.path().join("a.safetensors");
        safetensors::write_matrix(&tensors, "emb", ElementType::F32, &[1.0, 2.0, 3.0], 1).unwrap();
        let shards = folder.path().join("set");
        fs::create_dir_all(shards.join("text_emb")).unwrap();
        npy::write_npy_f32(&shards.join("text_emb/text_emb_0002.npy"), &[1.0, 2.0], &[2, 1]).unwrap();
        npy::write_npy_f32(&shards.join("text_emb/text_emb_0010.npy"), &[3.0], &[1, 1]).unwrap();

        let rows = Tensor::new(&[[1f32, 0.5], [2.0, 0.5], [3.0, 0.5]], &Device::Cpu).unwrap();
        for (index, path) in [npy, tensors, shards].into_iter().enumerate() {
            let input = Embeddings::open(&path, None).unwrap();
            assert_eq!(input.to_vec().unwrap(), [1.0, 2.0, 3.0]);
            let copy = folder.path().join(format!("copy{index}")).with_extension(path.extension().unwrap_or_default());
            write_like(&input, &rows, &copy).unwrap();
            let output = Embeddings::open(&copy, None).unwrap();
            assert_eq!((output.num_rows(), output.dimension(), output.element()), (3, 2, input.element()));
            assert!(output.shard_rows().eq(input.shard_rows()));
            assert_eq!(output.to_vec().unwrap(), [1.0, 0.5, 2.0, 0.5, 3.0, 0.5]);
        }
        assert!(folder.path().join("copy2/text_emb/text_emb_0010.npy").exists());
        assert!(!folder.path().join("copy2/metadata").exists());
    }
}
