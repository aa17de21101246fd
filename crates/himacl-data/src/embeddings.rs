//! A set of embeddings on disk, in any of the formats.

use super::clip_folder::{self, ClipFolder, listed, warn_of_others};
use super::metadata::{Metadata, Tables, count_rows};
use super::precision::Sample;
use super::rows::{ElementType, NAMED_ROWS, NotFinite, StoredRows};
use super::saved_dataset::saved_files;
use super::table_column::TableColumn;
use super::{npy, npz, safetensors};
use crate::error::{BadRow, Error};
use crate::files::natural_order;
use candle_core::{Device, Tensor};
use half::{bf16, f16};
use std::collections::HashMap;
use std::fs;
use std::io;
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
    /// One array of a .npz archive.
    Npz {
        /// The array's name.
        key: String,
    },
    /// A column of lists of a .parquet or .arrow file.
    Table {
        /// The column's name.
        key: String,
    },
    /// Files of one format in a folder.
    Folder {
        /// Their names, in numeric order.
        names: Vec<String>,
    },
    /// The shards of one kind in a clip-retrieval folder.
    ClipFolder {
        /// `img_emb` or `text_emb`.
        kind: String,
        /// The shards' numbers as in their names.
        numbers: Vec<String>,
    },
}

/// A part of a set.
#[derive(Debug, Clone)]
pub(crate) enum Shard {
    Matrix(StoredRows),
    Column(TableColumn),
}

impl Shard {
    fn path(&self) -> &Path {
        match self {
            Self::Matrix(matrix) => &matrix.path,
            Self::Column(column) => &column.path,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Matrix(matrix) => matrix.rows,
            Self::Column(column) => column.rows,
        }
    }

    fn dimension(&self) -> usize {
        match self {
            Self::Matrix(matrix) => matrix.dimension,
            Self::Column(column) => column.dimension,
        }
    }

    pub(crate) fn element(&self) -> ElementType {
        match self {
            Self::Matrix(matrix) => matrix.element,
            // Decoded to single precision.
            Self::Column(column) if column.element.is_half() => ElementType::F32,
            Self::Column(column) => column.element,
        }
    }

    /// All values less an origin, `(d,)`, if there is one.
    fn decode(&self, out: &mut [f32], origin: Option<&[f64]>) -> Result<NotFinite, Error> {
        match (self, origin) {
            (Self::Matrix(matrix), None) => Ok(matrix.decode(out)),
            (Self::Matrix(matrix), Some(origin)) => Ok(matrix.decode_from(out, origin)),
            (Self::Column(column), origin) => column.decode(out, origin),
        }
    }

    /// Some rows as they are, if single precision does not hold them: one of so many, or the first of a column.
    fn note(&self, sample: &mut Sample, (step, most): (usize, usize)) -> Result<(), Error> {
        match self {
            shard if !shard.element().is_wide() => Ok(()),
            Self::Matrix(matrix) => {
                let rows = (0..matrix.rows).step_by(step).take(most);
                rows.for_each(|row| sample.take(matrix.wide_row(row)));
                Ok(())
            }
            Self::Column(column) => column.first_rows(most, |row| sample.take(row.into_iter())),
        }
    }
}

/// Embeddings as rows, `(n, d)`, memory-mapped: opening reads headers only (and unpacks an array of a .npz that is compressed).
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
    shards: Vec<Shard>,
    metadata_files: Vec<PathBuf>,
    num_rows: usize,
    dimension: usize,
}

impl Embeddings {
    /// Opens a .npy file (floats or integers, either order), an array of a .npz, a tensor of a .safetensors, a column of lists of a
    /// .parquet or .arrow, a folder of .npy, .parquet, .arrow or .safetensors files in numeric order, or a clip-retrieval folder.
    ///
    /// `key` names the array, tensor or column, or `img_emb` or `text_emb` of a folder that has both; it may be left out where
    /// there is no choice. Empty shards are no rows.
    ///
    /// # Errors
    /// Whatever can be known without reading the values: a missing, truncated or malformed file, an unsupported type or shape, no
    /// rows, an unclear key, shards that disagree, parts of a folder with other shards, metadata of another length.
    pub fn open(path: &Path, key: Option<&str>) -> Result<Self, Error> {
        let kind = fs::metadata(path).map_err(Error::io("read", path))?;
        let (layout, shards, metadata_files) = if kind.is_dir() {
            open_folder(path, key)?
        } else {
            let (layout, shard) = open_file(path, key)?;
            (layout, vec![shard], Vec::new())
        };
        for (shard, metadata) in shards.iter().zip(&metadata_files) {
            let got = count_rows(metadata)?;
            if got != shard.rows() {
                let (path, reference) = (metadata.clone(), shard.path().to_path_buf());
                return Err(Error::Disagree { path, quantity: "rows", got, expected: shard.rows(), reference });
            }
        }
        let rows = shards.iter().map(Shard::rows).sum();
        let reference = shards.iter().find(|shard| shard.rows() > 0).unwrap_or(&shards[0]);
        let dimension = reference.dimension();
        if let Some(other) = shards.iter().find(|shard| shard.rows() > 0 && shard.dimension() != dimension) {
            return Err(Error::Disagree {
                path: other.path().to_path_buf(),
                quantity: "coordinates",
                got: other.dimension(),
                expected: dimension,
                reference: reference.path().to_path_buf(),
            });
        }
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

    pub(crate) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The format.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number format (of the first shard with rows).
    pub fn element(&self) -> ElementType {
        self.shards.iter().find(|shard| shard.rows() > 0).unwrap_or(&self.shards[0]).element()
    }

    /// Number of rows of each shard.
    pub fn shard_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.shards.iter().map(Shard::rows)
    }

    /// The metadata files, one a shard; none without metadata.
    pub fn metadata_files(&self) -> &[PathBuf] {
        &self.metadata_files
    }

    /// All files that the embeddings and their metadata are read from.
    pub fn files(&self) -> Vec<PathBuf> {
        self.shards
            .iter()
            .map(Shard::path)
            .chain(self.metadata_files.iter().map(PathBuf::as_path))
            .map(Path::to_path_buf)
            .collect()
    }

    /// All values as f32, `(n * d,)`, row-major.
    ///
    /// # Errors
    /// [`Error::NotFinite`], naming the first rows with NaN or infinite values and their file.
    pub fn to_vec(&self) -> Result<Vec<f32>, Error> {
        self.converted(None)
    }

    /// All values as f32, less the middle of the rows where f32 cannot hold them as they are stored; differences are all that then counts.
    pub(crate) fn to_vec_from_middle(&self) -> Result<Vec<f32>, Error> {
        let is_wide = self.shards.iter().any(|shard| shard.element().is_wide());
        let origin = if is_wide { Some(self.sample()?.middle()) } else { None };
        self.converted(origin.as_deref())
    }

    fn converted(&self, origin: Option<&[f64]>) -> Result<Vec<f32>, Error> {
        let mut values = vec![0.0; self.num_rows * self.dimension];
        let mut rest = values.as_mut_slice();
        let mut bad = NotFinite::default();
        for shard in &self.shards {
            let (own, following) = rest.split_at_mut(shard.rows() * self.dimension);
            bad = bad.merge(shard.decode(own, origin)?);
            rest = following;
        }
        bad.refuse(&self.path)?;
        Ok(values)
    }

    /// Some of the rows as they are, of shards that single precision does not hold.
    fn sample(&self) -> Result<Sample, Error> {
        let mut sample = Sample::new(self.dimension);
        let steps = Sample::steps(self.num_rows, self.shards.len());
        self.shards.iter().try_for_each(|shard| shard.note(&mut sample, steps))?;
        Ok(sample)
    }

    /// Refuses rows of f64 or of whole numbers that are so near to one another, and so far from zero, that f32 does not tell them apart, judged by
    /// some of them.
    ///
    /// # Errors
    /// [`Error::Precision`].
    pub fn check_precision(&self) -> Result<(), Error> {
        match self.sample()?.lost() {
            Some(share) => Err(Error::Precision { path: self.path.clone(), share }),
            None => Ok(()),
        }
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
        let is_of = |element: ElementType| {
            let of = |shard: &Shard| match shard {
                Shard::Matrix(matrix) => matrix.element == element || matrix.rows == 0,
                Shard::Column(_) => false,
            };
            self.shards.iter().all(of)
        };
        match self.element() {
            ElementType::F16 if is_of(ElementType::F16) => {
                Ok(Tensor::from_vec(self.halves(f16::from_le_bytes)?, shape, device)?)
            }
            ElementType::Bf16 if is_of(ElementType::Bf16) => {
                Ok(Tensor::from_vec(self.halves(bf16::from_le_bytes)?, shape, device)?)
            }
            _ => self.to_tensor(device),
        }
    }

    /// All values of two bytes each, `(n * d,)`, where all shards with rows are of such a type.
    fn halves<T: Copy + Default + Into<f32> + Send + Sync>(&self, value: fn([u8; 2]) -> T) -> Result<Vec<T>, Error> {
        let mut values = vec![T::default(); self.num_rows * self.dimension];
        let mut rest = values.as_mut_slice();
        let mut bad = NotFinite::default();
        for shard in &self.shards {
            let (own, following) = rest.split_at_mut(shard.rows() * self.dimension);
            if let Shard::Matrix(matrix) = shard
                && matrix.rows > 0
            {
                bad = bad.merge(matrix.copy_halves(own, value));
            }
            rest = following;
        }
        bad.refuse(&self.path)?;
        Ok(values)
    }

    /// Where rows of the whole set stand, for messages: the first ten by their file and their number in it.
    pub fn places(&self, rows: &[usize]) -> Vec<BadRow> {
        let place = |&row: &usize| {
            let mut row = row;
            for shard in &self.shards {
                if row < shard.rows() {
                    return BadRow { path: shard.path().to_path_buf(), row };
                }
                row -= shard.rows();
            }
            BadRow { path: self.path.clone(), row }
        };
        rows.iter().take(NAMED_ROWS).map(place).collect()
    }

    /// Refuses another set that has not the same shards, where row i of one belongs to row i of the other.
    ///
    /// # Errors
    /// [`Error::ShardsDiffer`].
    pub fn check_same_shards(&self, other: &Self) -> Result<(), Error> {
        let (Some(own), Some(others)) = (self.shard_names(), other.shard_names()) else { return Ok(()) };
        let only = |of: &[String], not: &[String]| -> Vec<String> {
            of.iter().filter(|name| !not.contains(name)).cloned().collect()
        };
        let (left_shards, right_shards) = (only(own, others), only(others, own));
        if left_shards.is_empty() && right_shards.is_empty() {
            return Ok(());
        }
        let (left, right) = (self.path.clone(), other.path.clone());
        Err(Error::ShardsDiffer { left, left_shards, right, right_shards })
    }

    /// The numbers of the shards of a clip-retrieval folder.
    fn shard_names(&self) -> Option<&[String]> {
        match &self.layout {
            Layout::ClipFolder { numbers, .. } => Some(numbers),
            _ => None,
        }
    }

    /// Checks that the metadata can be read, without reading them: what [`Self::metadata`] would refuse is refused now. Columns beside
    /// embeddings that are no part of them are named in the log.
    ///
    /// # Errors
    /// As [`Self::metadata`].
    pub fn check_metadata(&self) -> Result<(), Error> {
        let left_out = Metadata::check(&self.metadata_tables())?;
        if !left_out.is_empty() {
            let names = listed(&left_out.iter().map(String::as_str).collect::<Vec<_>>());
            let path = self.path.display();
            tracing::info!(
                "columns of `{path}` that are no metadata (lists of floats, bytes, not in all files): {names}"
            );
        }
        Ok(())
    }

    /// A column as names of categories, one for each row, `None` for a null: of the metadata, or of the tables that the embeddings are
    /// in. `None` where there is no such column or it has no text.
    ///
    /// # Errors
    /// [`Error::Parquet`], [`Error::Arrow`].
    pub fn labels(&self, column: &str) -> Result<Option<Vec<Option<String>>>, Error> {
        let tables = self.tables();
        if tables.is_empty() { Ok(None) } else { Metadata::labels_in(&tables, column) }
    }

    /// The columns among which [`Self::labels`] looks, `name: type`.
    ///
    /// # Errors
    /// [`Error::Parquet`], [`Error::Arrow`].
    pub fn columns(&self) -> Result<Vec<String>, Error> {
        self.tables().first().map_or(Ok(Vec::new()), |path| Metadata::columns_of(path))
    }

    fn tables(&self) -> Vec<&Path> {
        if !self.metadata_files.is_empty() {
            return self.metadata_files.iter().map(PathBuf::as_path).collect();
        }
        let is_column = |shard: &&Shard| matches!(shard, Shard::Column(_));
        self.shards.iter().filter(is_column).map(Shard::path).collect()
    }

    /// Reads the metadata columns, one row for each embedding: those of files of their own, or what else is in the tables that the embeddings
    /// are in, but for other embeddings (lists of floats) and files (bytes). `None` where there are none.
    ///
    /// # Errors
    /// [`Error::Parquet`], [`Error::Arrow`] or [`Error::Columns`].
    pub fn metadata(&self) -> Result<Option<Metadata>, Error> {
        Metadata::read(&self.metadata_tables())
    }

    fn metadata_tables(&self) -> Tables {
        if !self.metadata_files.is_empty() {
            return Tables { paths: self.metadata_files.clone(), beside: None };
        }
        let columns = self.shards.iter().filter_map(|shard| match shard {
            Shard::Matrix(_) => None,
            Shard::Column(column) => Some((column.path.clone(), column.column.clone())),
        });
        let (paths, embeddings) = columns.unzip();
        Tables { paths, beside: Some(embeddings) }
    }
}

fn open_file(path: &Path, key: Option<&str>) -> Result<(Layout, Shard), Error> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    Ok(match extension.to_ascii_lowercase().as_str() {
        "npy" => (Layout::Npy, Shard::Matrix(npy::open_matrix(path)?)),
        "npz" => {
            let (rows, key) = npz::open_matrix(path, key)?;
            (Layout::Npz { key }, Shard::Matrix(rows))
        }
        "safetensors" => {
            let (rows, key) = safetensors::open_matrix(path, key)?;
            (Layout::Safetensors { key }, Shard::Matrix(rows))
        }
        "parquet" | "parq" | "arrow" | "feather" | "ipc" => {
            let (column, key) = TableColumn::open(path, key)?;
            (Layout::Table { key }, Shard::Column(column))
        }
        _ => return Err(Error::UnknownFormat(path.to_path_buf())),
    })
}

/// A clip-retrieval folder, or else a folder of .npy, of .parquet, of .arrow or of .safetensors files.
fn open_folder(path: &Path, key: Option<&str>) -> Result<(Layout, Vec<Shard>, Vec<PathBuf>), Error> {
    match clip_folder::open(path, key) {
        Err(Error::UnknownFormat(_)) => {}
        opened => {
            let ClipFolder { kind, numbers, shards, metadata } = opened?;
            let shards = shards.into_iter().map(Shard::Matrix).collect();
            return Ok((Layout::ClipFolder { kind, numbers }, shards, metadata));
        }
    }
    if let Some(files) = saved_files(path)? {
        let open = |file: &PathBuf| open_file(file, key).map(|(_, shard)| shard);
        let shards = files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok((Layout::Folder { names: files.iter().map(name).collect() }, shards, Vec::new()));
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(Error::io("list", path))? {
        let entry = entry.map_err(Error::io("list", path))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(Error::io("list", &entry.path())(io::Error::other("its name is not UTF-8")));
        };
        if !name.starts_with('.') {
            names.push(name.to_owned());
        }
    }
    names.sort_by(|a, b| natural_order(a, b));
    for extensions in [&["npy"][..], &["parquet", "parq"], &["arrow", "feather", "ipc"], &["safetensors"]] {
        let has = |name: &&String| {
            let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            extensions.iter().any(|wanted| extension.eq_ignore_ascii_case(wanted))
        };
        let names: Vec<String> = names.iter().filter(has).cloned().collect();
        if !names.is_empty() {
            check_one_set(path, &names)?;
            let chosen: Vec<(String, PathBuf)> = names.iter().map(|name| (name.clone(), path.join(name))).collect();
            warn_of_others(path, &format!("*.{}", extensions[0]), &chosen)?;
            let open = |name: &String| open_file(&path.join(name), key).map(|(_, shard)| shard);
            let shards = names.iter().map(open).collect::<Result<Vec<_>, _>>()?;
            return Ok((Layout::Folder { names }, shards, Vec::new()));
        }
    }
    Err(Error::UnknownFormat(path.to_path_buf()))
}

/// Refuses names that differ in more than their numbers where the numbers are the same: `img_0.npy` beside `txt_0.npy`. They
/// would be taken for one set, one after the other.
fn check_one_set(path: &Path, names: &[String]) -> Result<(), Error> {
    let mut known: HashMap<String, &String> = HashMap::new();
    for name in names {
        let digit = |character: char| if character.is_ascii_digit() { character } else { ' ' };
        let numbers = name.chars().map(digit).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
        if numbers.is_empty() {
            continue;
        }
        if let Some(other) = known.insert(numbers, name) {
            let (path, first, second) = (path.to_path_buf(), other.clone(), name.clone());
            return Err(Error::SeveralSets { path, first, second });
        }
    }
    Ok(())
}
