//! Embeddings in .safetensors files: one matrix, or the one named by a key.

use super::npy::check_f16;
use super::rows::{Bytes, ElementType, StoredRows, map_file};
use crate::error::Error;
use crate::files::write_atomic;
use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, SafeTensors, serialize};
use half::{bf16, f16};
use std::path::Path;

/// Opens the tensor `key`, or the only matrix there is; returns its name too.
pub(crate) fn open_matrix(path: &Path, key: Option<&str>) -> Result<(StoredRows, String), Error> {
    let map = map_file(path)?;
    let file =
        SafeTensors::deserialize(&map).map_err(|source| Error::Safetensors { path: path.to_path_buf(), source })?;
    let mut available: Vec<String> = file.names().into_iter().map(ToOwned::to_owned).collect();
    available.sort();
    let matrices = || available.iter().filter(|name| file.tensor(name).is_ok_and(|view| view.shape().len() == 2));
    let chosen = match key {
        Some(key) => available.iter().find(|name| *name == key),
        None if matrices().count() == 1 => matrices().next(),
        None if available.len() == 1 => available.first(),
        None => None,
    };
    let Some(name) = chosen.cloned() else {
        return Err(Error::Key { path: path.to_path_buf(), key: key.map(ToOwned::to_owned), available });
    };
    let view = file.tensor(&name).map_err(|source| Error::Safetensors { path: path.to_path_buf(), source })?;
    let element = match view.dtype() {
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::Bf16,
        Dtype::F32 => ElementType::F32,
        Dtype::F64 => ElementType::F64,
        Dtype::I8 => ElementType::I8,
        Dtype::U8 => ElementType::U8,
        Dtype::I16 => ElementType::I16,
        Dtype::U16 => ElementType::U16,
        Dtype::I32 => ElementType::I32,
        Dtype::U32 => ElementType::U32,
        Dtype::I64 => ElementType::I64,
        Dtype::U64 => ElementType::U64,
        other => {
            return Err(Error::TensorType { path: path.to_path_buf(), key: name, dtype: format!("{other:?}") });
        }
    };
    let &[rows, dimension] = view.shape() else {
        return Err(Error::NotAMatrix { path: path.to_path_buf(), shape: view.shape().to_vec() });
    };
    let offset = view.data().as_ptr().addr() - map.as_ptr().addr();
    let stored = StoredRows {
        path: path.to_path_buf(),
        bytes: Bytes::Mapped(map),
        offset,
        element,
        big_endian: false,
        column_major: false,
        rows,
        dimension,
    };
    Ok((stored, name))
}

/// Writes a matrix, `(n, d)`, under the name `key`, atomically; what is neither f16 nor bf16 is written as f32.
pub(crate) fn write_matrix(
    path: &Path,
    key: &str,
    element: ElementType,
    values: &[f32],
    dimension: usize,
) -> Result<(), Error> {
    if element == ElementType::F16 {
        check_f16(path, values, dimension)?;
    }
    let (dtype, bytes): (_, Vec<u8>) = match element {
        ElementType::F16 => (Dtype::F16, values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()),
        ElementType::Bf16 => (Dtype::BF16, values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect()),
        _ => (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
    };
    let wrong = |source| Error::Safetensors { path: path.to_path_buf(), source };
    let view = TensorView::new(dtype, vec![values.len() / dimension, dimension], &bytes).map_err(wrong)?;
    let file = serialize([(key, view)], None).map_err(wrong)?;
    write_atomic(path, |out| out.write_all(&file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_matrix_is_found_and_a_key_chooses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write_matrix(&path, "emb", ElementType::Bf16, &[1.0, 2.0, 3.0, 4.0], 2).unwrap();
        let (rows, name) = open_matrix(&path, None).unwrap();
        assert_eq!((rows.rows, rows.dimension, name.as_str()), (2, 2, "emb"));
        let mut read = [0.0; 4];
        rows.decode(&mut read).refuse(&path).unwrap();
        assert_eq!(read, [1.0, 2.0, 3.0, 4.0]);

        let whole = [1i64, -2, 3, 4].map(i64::to_le_bytes).concat();
        let view = TensorView::new(Dtype::I64, vec![2, 2], &whole).unwrap();
        std::fs::write(&path, serialize([("emb", view)], None).unwrap()).unwrap();
        open_matrix(&path, None).unwrap().0.decode(&mut read).refuse(&path).unwrap();
        assert_eq!(read, [1.0, -2.0, 3.0, 4.0]);

        let bytes = [0u8; 16];
        let view = || TensorView::new(Dtype::F32, vec![2, 2], &bytes).unwrap();
        std::fs::write(&path, serialize([("a", view()), ("b", view())], None).unwrap()).unwrap();
        for (key, listed) in [(None, "`a`, `b`"), (Some("c"), "but no `c`")] {
            assert!(open_matrix(&path, key).unwrap_err().to_string().contains(listed));
        }
        assert_eq!(open_matrix(&path, Some("b")).unwrap().1, "b");
        std::fs::write(&path, b"not at all").unwrap();
        assert!(matches!(open_matrix(&path, None), Err(Error::Safetensors { .. })));
    }
}
