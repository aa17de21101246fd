//! What the items of both sides look like: their texts and pictures, by row of the embeddings.

use crate::error::Error;
use clap::Args;
use himacl::data::{ColumnValues, Embeddings, Metadata, natural_order};
use std::fs;
use std::path::{Path, PathBuf};

/// Columns of metadata that hold an item's text, the first that is there.
const TEXT_COLUMNS: [&str; 5] = ["caption", "text", "title", "TEXT", "name"];
/// Columns that hold where its picture lies.
const PICTURE_COLUMNS: [&str; 3] = ["image_path", "filepath", "image"];
/// Ends of the names of pictures' files.
const PICTURES: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// Where texts and pictures come from, on the command line.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Texts and pictures")]
pub(crate) struct ItemsArgs {
    /// The texts of x: a file with one a line, or a column of its metadata [default: the column `caption`, `text` or `title`].
    #[arg(long, value_name = "FILE|COLUMN")]
    pub(crate) x_texts: Option<PathBuf>,

    /// The texts of y, in the same way.
    #[arg(long, value_name = "FILE|COLUMN")]
    pub(crate) y_texts: Option<PathBuf>,

    /// The pictures of x: a folder with one a row, in the order of their names, or a column of its metadata with their paths
    /// [default: the column `image_path`].
    #[arg(long, value_name = "DIR|COLUMN")]
    pub(crate) x_images: Option<PathBuf>,

    /// The pictures of y, in the same way.
    #[arg(long, value_name = "DIR|COLUMN")]
    pub(crate) y_images: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) metadata: MetadataArgs,

    /// The folder that paths of pictures in metadata are relative to [default: the present one].
    #[arg(long, value_name = "DIR")]
    pub(crate) images: Option<PathBuf>,
}

/// Metadata beside embeddings, on the command line.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Texts and pictures")]
pub(crate) struct MetadataArgs {
    /// The metadata of x: a parquet or Arrow table with one row for each of x [default: that of its folder, or what else is in the table that X is].
    #[arg(long, value_name = "TABLE")]
    pub(crate) x_metadata: Option<PathBuf>,

    /// The metadata of y.
    #[arg(long, value_name = "TABLE")]
    pub(crate) y_metadata: Option<PathBuf>,
}

/// Texts, pictures and columns of one side; empty where it has none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Items {
    /// One a row.
    pub(crate) texts: Vec<Option<String>>,
    /// The file of each row's picture.
    pub(crate) pictures: Vec<Option<PathBuf>>,
    /// The columns that were asked for, of those that there are.
    pub(crate) columns: Vec<(String, ColumnValues)>,
    /// The columns that there are, `name: type`.
    pub(crate) known_columns: Vec<String>,
}

impl Items {
    /// Reads those of a side: 0 is x, 1 is y; and the columns of these names, where it has them.
    ///
    /// # Errors
    /// Files or columns that are not there, or of another length.
    pub(crate) fn read(
        args: &ItemsArgs,
        columns: &[String],
        side: usize,
        embeddings: &Embeddings,
    ) -> Result<Self, Error> {
        let (texts, pictures, table) = if side == 0 {
            (&args.x_texts, &args.x_images, &args.metadata.x_metadata)
        } else {
            (&args.y_texts, &args.y_images, &args.metadata.y_metadata)
        };
        let metadata = match table {
            None => embeddings.metadata()?,
            Some(path) => {
                let table = Metadata::open(path)?;
                expect_rows(path, "rows", table.num_rows(), embeddings)?;
                Some(table)
            }
        };
        let column = |names: &[&str]| names.iter().find_map(|name| metadata.as_ref()?.text_column(name));
        let texts = match texts {
            None => column(&TEXT_COLUMNS).unwrap_or_default(),
            Some(path) if path.is_file() => lines(path, embeddings)?,
            Some(path) => named(path, metadata.as_ref(), embeddings)?,
        };
        let base = args.images.as_deref().unwrap_or(Path::new(""));
        let joined = |paths: Vec<Option<String>>| -> Vec<Option<PathBuf>> {
            paths.into_iter().map(|path| path.map(|path| base.join(path))).collect()
        };
        let pictures = match pictures {
            None => joined(column(&PICTURE_COLUMNS).unwrap_or_default()),
            Some(path) if path.is_dir() => folder(path, embeddings)?,
            Some(path) => joined(named(path, metadata.as_ref(), embeddings)?),
        };
        let named = |name: &String| Some((name.clone(), metadata.as_ref()?.values(name)?));
        let columns = columns.iter().filter_map(named).collect();
        Ok(Self { texts, pictures, columns, known_columns: names(metadata.as_ref()) })
    }

    /// Those of `rows`, in that order.
    pub(crate) fn of_rows(&self, rows: &[u32]) -> Self {
        fn chosen<T: Clone>(all: &[Option<T>], rows: &[u32]) -> Vec<Option<T>> {
            if all.is_empty() { Vec::new() } else { rows.iter().map(|&row| all[row as usize].clone()).collect() }
        }
        let column = |(name, values): &(String, ColumnValues)| {
            let values = match values {
                ColumnValues::Numbers(all) => ColumnValues::Numbers(chosen(all, rows)),
                ColumnValues::Names(all) => ColumnValues::Names(chosen(all, rows)),
            };
            (name.clone(), values)
        };
        Self {
            texts: chosen(&self.texts, rows),
            pictures: chosen(&self.pictures, rows),
            columns: self.columns.iter().map(column).collect(),
            known_columns: self.known_columns.clone(),
        }
    }
}

/// The columns of a table, `name: type`.
fn names(metadata: Option<&Metadata>) -> Vec<String> {
    let fields = metadata.iter().flat_map(|metadata| metadata.schema().fields());
    fields.map(|field| format!("{}: {}", field.name(), field.data_type())).collect()
}

fn lines(path: &Path, embeddings: &Embeddings) -> Result<Vec<Option<String>>, Error> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<Option<String>> =
        text.lines().map(|line| Some(line.to_owned()).filter(|line| !line.is_empty())).collect();
    expect_rows(path, "lines", lines.len(), embeddings)?;
    Ok(lines)
}

fn folder(path: &Path, embeddings: &Embeddings) -> Result<Vec<Option<PathBuf>>, Error> {
    let entries = fs::read_dir(path).map_err(Error::io("list", path))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let is_picture = |path: &PathBuf| {
        let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
        PICTURES.iter().any(|known| known.eq_ignore_ascii_case(end))
    };
    files.retain(is_picture);
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.sort_by(|a, b| natural_order(&name(a), &name(b)));
    expect_rows(path, "pictures", files.len(), embeddings)?;
    Ok(files.into_iter().map(Some).collect())
}

fn named(column: &Path, metadata: Option<&Metadata>, embeddings: &Embeddings) -> Result<Vec<Option<String>>, Error> {
    let name = column.to_string_lossy().into_owned();
    metadata.and_then(|metadata| metadata.text_column(&name)).ok_or_else(|| {
        let got = names(metadata);
        let path = embeddings.path().to_path_buf();
        Error::NoColumn { path, column: name, expected: "text (nor is it a file)", got }
    })
}

fn expect_rows(path: &Path, what: &'static str, got: usize, embeddings: &Embeddings) -> Result<(), Error> {
    let expected = embeddings.num_rows();
    if got == expected {
        return Ok(());
    }
    let (path, reference) = (path.to_path_buf(), embeddings.path().to_path_buf());
    Err(himacl::data::Error::Disagree { path, quantity: what, got, expected, reference }.into())
}
