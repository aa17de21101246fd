//! Shards on disk: the clip-retrieval layout, the done marks, and what was skipped.

use super::prefetch::Row;
use super::shard::{EmbeddingRows, Shard, SkippedSample};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use himacl_data::Error;
use himacl_data::files::{is_unfinished, remove_if_present, write_atomic, write_atomic_with, write_text};
use himacl_data::write_npy_f16;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ERRORS: &str = "errors.jsonl";

/// Every file that a run may write: `#` stands for a number.
pub const EMBED_FILES: [&str; 7] = [
    "config.toml",
    "summary.json",
    ERRORS,
    "img_emb/img_emb_#.npy",
    "text_emb/text_emb_#.npy",
    "metadata/metadata_#.parquet",
    "stats/#.json",
];

/// The done mark of a shard, stats/{i}.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShardStats {
    /// The shard's number.
    pub(super) shard: usize,
    /// Position of its first record in the dataset.
    pub(super) first_record: u64,
    /// Records seen.
    pub(super) records: u64,
    /// Rows written.
    pub(super) rows: u64,
    /// Records without a row.
    pub(super) skipped: Vec<SkippedSample>,
    /// Records of each of the input's files that ended within this shard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) input_files: Vec<u64>,
}

/// Positions of the records of a dataset that have no row in the folder that it was embedded into.
///
/// # Errors
/// A done mark that cannot be read.
pub fn skipped_positions(folder: &Path) -> Result<BTreeSet<u64>, Error> {
    let done = Store::new(folder, false, false).done()?;
    Ok(done.iter().flat_map(|stats| stats.skipped.iter().map(|skipped| skipped.position)).collect())
}

/// An output folder.
#[derive(Debug, Clone)]
pub(super) struct Store {
    root: PathBuf,
    images: bool,
    texts: bool,
}

impl Store {
    pub(super) fn new(root: &Path, images: bool, texts: bool) -> Self {
        Self { root: root.to_path_buf(), images, texts }
    }

    /// Makes the folders.
    pub(super) fn create(&self) -> Result<(), Error> {
        let kinds = [("img_emb", self.images), ("text_emb", self.texts), ("metadata", true), ("stats", true)];
        for (name, _) in kinds.into_iter().filter(|(_, used)| *used) {
            let folder = self.root.join(name);
            fs::create_dir_all(&folder).map_err(Error::io("make folder", &folder))?;
        }
        Ok(())
    }

    /// Removes the shards of an earlier run from number `from` on, the done marks first, and what a kill in the middle of
    /// writing a file has left.
    pub(super) fn remove_shards(&self, from: usize) -> Result<(), Error> {
        let folders =
            [("stats", ""), ("img_emb", "img_emb_"), ("text_emb", "text_emb_"), ("metadata", "metadata_"), ("", "-")];
        for (name, prefix) in folders {
            let folder = self.root.join(name);
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry.map_err(Error::io("list", &folder))?.path();
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                let number = stem.strip_prefix(prefix).and_then(|number| number.parse::<usize>().ok());
                if number.is_some_and(|number| number >= from) || is_unfinished(&path) {
                    remove_if_present(&path)?;
                }
            }
        }
        remove_if_present(&self.root.join(ERRORS))?;
        remove_if_present(&self.root.join("summary.json"))
    }

    /// The done marks of the shards that are whole, from the first on.
    pub(super) fn done(&self) -> Result<Vec<ShardStats>, Error> {
        let (mut done, mut files) = (Vec::new(), 0_u64);
        loop {
            let path = self.stats(done.len());
            let Ok(text) = fs::read_to_string(&path) else { return Ok(done) };
            let stats: ShardStats = serde_json::from_str(&text).map_err(|source| Error::Json { path, source })?;
            // Someone may have removed files since, or a disk may have changed a digit.
            let number = stats.shard;
            let follows = number == done.len()
                && stats.first_record == done.iter().map(|stats: &ShardStats| stats.records).sum::<u64>()
                && stats.rows + stats.skipped.len() as u64 == stats.records;
            files = stats.input_files.iter().fold(files, |sum, records| sum.saturating_add(*records));
            let follows = follows && files <= stats.first_record + stats.records;
            let has = |(file, used): &(PathBuf, bool)| !used || file.is_file();
            let whole = follows && (stats.rows == 0 || self.files(number).iter().all(has));
            if !whole {
                return Ok(done);
            }
            done.push(stats);
        }
    }

    /// Writes a finished shard; the done mark comes last.
    pub(super) fn write(&self, shard: &Shard, input_files: Vec<u64>) -> Result<ShardStats, Error> {
        let rows = shard.rows.len();
        let [(image_file, _), (text_file, _), (metadata_file, _)] = self.files(shard.number);
        // A shard of which nothing is left has no files: a matrix without rows is of no use to anyone.
        if rows > 0 {
            let write =
                |path: &Path, matrix: &EmbeddingRows| write_npy_f16(path, &matrix.values, &[rows, matrix.dimension]);
            for (path, matrix) in [(&image_file, &shard.images), (&text_file, &shard.texts)] {
                matrix.as_ref().map_or(Ok(()), |matrix| write(path, matrix))?;
            }
            write_metadata(&metadata_file, &shard.rows)?;
        }
        let stats = ShardStats {
            shard: shard.number,
            first_record: shard.first,
            records: shard.records,
            rows: rows as u64,
            skipped: shard.skipped.clone(),
            input_files,
        };
        let path = self.stats(shard.number);
        let text = serde_json::to_string(&stats).map_err(|source| Error::Json { path: path.clone(), source })?;
        write_text(&path, &(text + "\n"))?;
        Ok(stats)
    }

    /// Writes errors.jsonl from the done marks of shards `0..count`.
    pub(super) fn write_errors(&self, count: usize) -> Result<PathBuf, Error> {
        let path = self.root.join(ERRORS);
        write_atomic(&path, |out| {
            for number in 0..count {
                let stats: ShardStats = serde_json::from_str(&fs::read_to_string(self.stats(number))?)?;
                for skipped in &stats.skipped {
                    serde_json::to_writer(&mut *out, skipped)?;
                    out.write_all(b"\n")?;
                }
            }
            Ok(())
        })?;
        Ok(path)
    }

    fn stats(&self, number: usize) -> PathBuf {
        self.root.join("stats").join(format!("{number}.json"))
    }

    /// Pictures, texts, metadata; whether each is used.
    fn files(&self, number: usize) -> [(PathBuf, bool); 3] {
        let file = |kind: &str, extension: &str| self.root.join(kind).join(format!("{kind}_{number}.{extension}"));
        [
            (file("img_emb", "npy"), self.images),
            (file("text_emb", "npy"), self.texts),
            (file("metadata", "parquet"), true),
        ]
    }
}

fn write_metadata(path: &Path, rows: &[Row]) -> Result<(), Error> {
    let wrong = Error::parquet(path);
    let names = ["image_path", "caption", "key", "sha256"];
    let schema = Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Utf8, true)).to_vec()));
    let column = |value: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringArray>())
    };
    let columns = vec![
        column(&|row| row.image_path.clone()),
        column(&|row| row.caption.clone()),
        column(&|row| Some(row.key.clone())),
        column(&|row| Some(row.sha256.clone())),
    ];
    let batch = RecordBatch::try_new(schema.clone(), columns).map_err(|error| wrong(error.into()))?;
    write_atomic_with(path, |file| {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(&wrong)?;
        writer.write(&batch).map_err(&wrong)?;
        writer.close().map(drop).map_err(&wrong)
    })
}
