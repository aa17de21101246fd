//! Whether weights are sound.

use crate::error::Error;
use crate::error::HubError;
use himacl_data::files::is_pointer;
use memmap2::Mmap;
use safetensors::SafeTensors;
use std::fs::File;
use std::path::Path;

/// Checks a .safetensors file without reading its values: the header parses, its tensors lie side by side, and the file
/// ends where the last of them does.
///
/// # Errors
/// [`HubError::Weights`], [`himacl_data::Error::Io`].
pub fn check_weights(path: &Path) -> Result<(), Error> {
    let damaged = |problem: String| Error::from(HubError::Weights { path: path.to_path_buf(), problem });
    let file = File::open(path).map_err(Error::io("read", path))?;
    if file.metadata().map_err(Error::io("read", path))?.len() == 0 {
        return Err(damaged("the file is empty".to_owned()));
    }
    // SAFETY: the map is dropped before this function returns; a file that is truncated meanwhile would end the process,
    // which is what every memory-mapped reader of weights accepts.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io("read", path))?;
    if is_pointer(&map) {
        return Err(HubError::Pointer { path: path.to_path_buf() }.into());
    }
    match SafeTensors::deserialize(&map) {
        Ok(tensors) if tensors.is_empty() => Err(damaged("the file has no tensor".to_owned())),
        Ok(_) => Ok(()),
        Err(source) => Err(damaged(source.to_string())),
    }
}

/// Whether a file holds tensors in a format that is checked.
pub(super) fn is_weights(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// One f32 tensor of two values.
    fn file() -> Vec<u8> {
        let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend([0; 8]);
        bytes
    }

    #[test]
    fn truncated_and_foreign_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let verdict = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            check_weights(&path).map_err(|error| error.to_string())
        };
        let good = file();
        assert_eq!(verdict(&good), Ok(()));
        for length in 0..good.len() {
            let error = verdict(&good[..length]).unwrap_err();
            assert!(error.contains("are damaged"), "{length}: {error}");
        }
        verdict(&[good.clone(), vec![0]].concat()).unwrap_err();
        let error = verdict(b"version https://git-lfs.github.com/spec/v1\noid sha256:0000").unwrap_err();
        assert!(error.contains("is a Git LFS pointer") && error.contains("git lfs pull"), "{error}");
    }
}
