//! One output file.

use super::Existing;
use super::lock::Lock;
use super::refuse_address;
use crate::embeddings::Embeddings;
use crate::error::Error;
use crate::files::{parent, remove_unfinished_of};
use std::path::{Path, PathBuf};

/// A file that is to be written, held for one process until the value is dropped.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    _lock: Lock,
}

impl OutputFile {
    /// Takes `path`, a set of embeddings in one file; it may not be one of the `inputs`, nor lie in one.
    ///
    /// # Errors
    /// [`Error::OutputAddress`], [`Error::OutputFileExists`] with [`Existing::Refuse`], [`Error::NotEmbeddings`] where the file to be replaced holds
    /// something else, [`Error::InputInOutput`], [`Error::OutputNotAFolder`] where a parent is a file, [`Error::OutputNoFolder`], [`Error::OutputInUse`],
    /// [`Error::Io`].
    pub fn open<'a>(
        path: &Path,
        existing: Existing,
        inputs: impl IntoIterator<Item = &'a Path>,
    ) -> Result<Self, Error> {
        refuse_address(path)?;
        let folder = parent(path);
        let here = std::path::absolute(folder).map_err(Error::io("resolve", folder))?;
        let obstacle = here.ancestors().find(|ancestor| ancestor.exists() && !ancestor.is_dir());
        if let Some(obstacle) = obstacle {
            return Err(Error::OutputNotAFolder { path: folder.to_path_buf(), obstacle: obstacle.to_path_buf() });
        }
        if !here.exists() {
            return Err(Error::OutputNoFolder { path: path.to_path_buf(), folder: folder.to_path_buf() });
        }
        if let Ok(there) = path.canonicalize() {
            if existing == Existing::Refuse {
                return Err(Error::OutputFileExists(path.to_path_buf()));
            }
            if let Some(input) =
                inputs.into_iter().find(|input| input.canonicalize().is_ok_and(|input| there.starts_with(input)))
            {
                return Err(Error::InputInOutput { input: input.to_path_buf(), output: path.to_path_buf() });
            }
            if !there.is_file() || Embeddings::open(path, None).is_err() {
                return Err(Error::NotEmbeddings(path.to_path_buf()));
            }
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let short: String = name.chars().take(40).collect();
        let lock = Lock::take(&folder.join(format!(".himacl-{short}-lock")), path)?;
        remove_unfinished_of(path)?;
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
