//! A set of embeddings on disk, in any of the formats.

use super::clip_folder::{self, ClipFolder};
use super::metadata::{Metadata, count_rows};
use super::rows::{ElementType, MappedRows};
use super::{npy, safetensors};
use crate::error::Error;
use candle_core::{Device, Tensor};
use half::{bf16, f16};
use std::fs;
use std::path::{Path, PathBuf};

/// The format of a set of embeddings.
#[derive(Debug, Clone)]
pub enum Layout {
    /// One .npy file.
    Npy,
    /// One tensor of a .safetensors file.
    Safetensors {
        /// The tensor's name.
        key: String,
    },
    /// The shards of one kind in a clip-retrieval folder.
    ClipFolder {
        /// `img_emb` or `text_emb`.
        kind: String,
        /// The shards' numbers as in their names.
        numbers: Vec<String>,
    },
}

/// Embeddings as rows, `(n, d)`, memory-mapped: opening reads headers only.
///
/// ```
/// use himacl_data::{Embeddings, write_npy_f32};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("x.npy");
/// write_npy_f32(&path, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2])?;
/// let x = Embeddings::open(&path, None)?;
/// assert_eq!((x.num_rows(), x.dimension()), (3, 2));
/// assert_eq!(x.to_tensor(&candle_core::Device::Cpu)?.dims(), [3, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Embeddings {
    path: PathBuf,
    layout: Layout,
    shards: Vec<MappedRows>,
    metadata_files: Vec<PathBuf>,
    num_rows: usize,
    dimension: usize,
}

impl Embeddings {
    /// Opens a .npy file (f16, f32, f64; C order), a .safetensors file or a clip-retrieval folder.
    ///
    /// `key` names the tensor of a .safetensors file, or `img_emb` or `text_emb` of a folder that has both; it may be
    /// left out where there is no choice.
    ///
    /// # Errors
    /// Whatever can be known without reading the values: a missing, truncated or malformed file, an unsupported type,
    /// order or shape, no rows, an unclear key, shards that disagree, metadata of another length.
    pub fn open(path: &Path, key: Option<&str>) -> Result<Self, Error> {
        let kind = fs::metadata(path).map_err(Error::io("read", path))?;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let (layout, shards, metadata_files) = if kind.is_dir() {
            let ClipFolder { kind, numbers, shards, metadata } = clip_folder::open(path, key)?;
            (Layout::ClipFolder { kind, numbers }, shards, metadata)
        } else if extension.eq_ignore_ascii_case("npy") {
            (Layout::Npy, vec![npy::open_matrix(path)?], Vec::new())
        } else if extension.eq_ignore_ascii_case("safetensors") {
            let (rows, key) = safetensors::open_matrix(path, key)?;
            (Layout::Safetensors { key }, vec![rows], Vec::new())
        } else {
            return Err(Error::UnknownFormat(path.to_path_buf()));
        };
        for (shard, metadata) in shards.iter().zip(&metadata_files) {
            let got = count_rows(metadata)?;
            if got != shard.rows {
                let (path, reference) = (metadata.clone(), shard.path.clone());
                return Err(Error::Disagree { path, quantity: "rows", got, expected: shard.rows, reference });
            }
        }
        let (rows, dimension) = (shards.iter().map(|shard| shard.rows).sum(), shards[0].dimension);
        if rows == 0 || dimension == 0 {
            return Err(Error::Empty { path: path.to_path_buf(), rows, dimension });
        }
        Ok(Self { path: path.to_path_buf(), layout, shards, metadata_files, num_rows: rows, dimension })
    }

    /// Number of rows, n.
    pub fn num_rows(&self) -> usize {
        self.num_rows
    }

    /// Number of coordinates, d.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number format (of the first shard).
    pub fn element(&self) -> ElementType {
        self.shards[0].element
    }

    /// Number of rows of each shard.
    pub fn shard_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.shards.iter().map(|shard| shard.rows)
    }

    /// The metadata files, one a shard; none without metadata.
    pub fn metadata_files(&self) -> &[PathBuf] {
        &self.metadata_files
    }

    /// All files that the embeddings and their metadata are read from.
    pub fn files(&self) -> Vec<PathBuf> {
        self.shards.iter().map(|shard| &shard.path).chain(&self.metadata_files).cloned().collect()
    }

    /// All values as f32, `(n * d,)`, row-major.
    ///
    /// # Errors
    /// [`Error::NotFinite`], naming the first rows with NaN or infinite values and their file.
    pub fn to_vec(&self) -> Result<Vec<f32>, Error> {
        let mut values = vec![0.0; self.num_rows * self.dimension];
        let mut rest = values.as_mut_slice();
        for shard in &self.shards {
            let (own, following) = rest.split_at_mut(shard.rows * self.dimension);
            shard.decode(own)?;
            rest = following;
        }
        Ok(values)
    }

    /// All values, `(n, d)`, f32, on `device`.
    ///
    /// # Errors
    /// As [`Self::to_vec`]; [`Error::Tensor`] where the device has not enough memory.
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor, Error> {
        Ok(Tensor::from_vec(self.to_vec()?, (self.num_rows, self.dimension), device)?)
    }

    /// All values, `(n, d)`, on `device`, in the type they are stored in: half precision stays half precision, and takes half the memory;
    /// f64 becomes f32.
    ///
    /// # Errors
    /// As [`Self::to_tensor`].
    pub fn to_stored_tensor(&self, device: &Device) -> Result<Tensor, Error> {
        let shape = (self.num_rows, self.dimension);
        match self.element() {
            element if self.shards.iter().any(|shard| shard.element != element) => self.to_tensor(device),
            ElementType::F16 => Ok(Tensor::from_vec(self.halves(f16::from_le_bytes)?, shape, device)?),
            ElementType::Bf16 => Ok(Tensor::from_vec(self.halves(bf16::from_le_bytes)?, shape, device)?),
            ElementType::F32 | ElementType::F64 => self.to_tensor(device),
        }
    }

    /// All values of two bytes each, `(n * d,)`.
    fn halves<T: Copy + Default + Into<f32> + Send + Sync>(&self, value: fn([u8; 2]) -> T) -> Result<Vec<T>, Error> {
        let mut values = vec![T::default(); self.num_rows * self.dimension];
        let mut rest = values.as_mut_slice();
        for shard in &self.shards {
            let (own, following) = rest.split_at_mut(shard.rows * self.dimension);
            shard.copy_halves(own, value)?;
            rest = following;
        }
        Ok(values)
    }

    /// Reads the metadata columns, one row for each embedding; `None` where the input has none.
    ///
    /// # Errors
    /// [`Error::Parquet`] or [`Error::Columns`].
    pub fn metadata(&self) -> Result<Option<Metadata>, Error> {
        Metadata::read(&self.metadata_files)
    }
}
