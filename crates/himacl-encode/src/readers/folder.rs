//! Pictures in folders, captions in files beside them: `cat.jpg` with `cat.txt` or `cat.json`.

use super::columns::Columns;
use super::reader::{ReadOptions, Reader};
use super::sample::{ImageSource, Record, Sample};
use crate::error::Error;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

/// Endings of pictures, in the order of preference where a sample has several.
pub(super) const IMAGE_EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "gif"];

/// The files of one sample.
#[derive(Debug, Default)]
struct Files {
    /// The picture and the rank of its ending.
    image: Option<(usize, PathBuf)>,
    txt: Option<PathBuf>,
    json: Option<PathBuf>,
}

/// Reads a folder and those in it: in each the files by name, then the folders by name. Hidden ones are left out.
#[derive(Debug)]
pub(super) struct FolderReader {
    root: PathBuf,
    options: ReadOptions,
    /// Folders still to be read, the next one last.
    folders: Vec<PathBuf>,
    samples: VecDeque<(String, Files)>,
}

impl FolderReader {
    pub(super) fn open(path: &Path, options: ReadOptions) -> Result<Self, Error> {
        let (root, folders) = (path.to_path_buf(), vec![path.to_path_buf()]);
        let mut reader = Self { root, options, folders, samples: VecDeque::new() };
        reader.fill()?;
        Ok(reader)
    }

    /// Reads folders until there are samples.
    fn fill(&mut self) -> Result<(), Error> {
        while self.samples.is_empty() {
            let Some(folder) = self.folders.pop() else { return Ok(()) };
            let mut samples: BTreeMap<String, Files> = BTreeMap::new();
            let mut inside = Vec::new();
            for entry in fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
                let path = entry.map_err(Error::io("list", &folder))?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if name.is_empty() || name.starts_with('.') {
                    continue;
                }
                if path.is_dir() {
                    inside.push(path);
                } else {
                    self.place(path, &mut samples);
                }
            }
            inside.sort_unstable_by(|a, b| b.cmp(a));
            self.folders.append(&mut inside);
            self.samples = samples.into_iter().filter(|(_, files)| self.is_sample(files)).collect();
        }
        Ok(())
    }

    fn place(&self, path: PathBuf, samples: &mut BTreeMap<String, Files>) {
        let Some(extension) = path.extension().and_then(|extension| extension.to_str()) else { return };
        let extension = extension.to_ascii_lowercase();
        let inside = path.strip_prefix(&self.root).unwrap_or(&path);
        let key = inside.with_extension("").to_string_lossy().into_owned();
        if let Some(rank) = IMAGE_EXTENSIONS.iter().position(|&known| known == extension) {
            let files = samples.entry(key).or_default();
            if files.image.as_ref().is_none_or(|(found, _)| rank < *found) {
                files.image = Some((rank, path));
            }
        } else if extension == "txt" {
            samples.entry(key).or_default().txt = Some(path);
        } else if extension == "json" {
            samples.entry(key).or_default().json = Some(path);
        }
    }

    /// Whether files of one name are a sample at all: a README beside pictures is none.
    fn is_sample(&self, files: &Files) -> bool {
        files.image.is_some() || !self.options.modality.has_image() && (files.txt.is_some() || files.json.is_some())
    }

    fn record(&self, key: String, files: Files) -> Record {
        let caption = match caption(&files, &self.options) {
            Ok(caption) => caption,
            Err(_) if !self.options.modality.has_text() => None,
            Err(reason) => return Record::unusable(key, reason),
        };
        let image = files.image.map(|(_, path)| path);
        let image_path = image.as_ref().map(|path| path.display().to_string());
        Record::checked(Sample { key, image_path, image: image.map(ImageSource::File), caption }, self.options.modality)
    }
}

/// The caption of a sample: the text file's content, or the JSON file's field.
fn caption(files: &Files, options: &ReadOptions) -> Result<Option<String>, String> {
    let read = |path: &PathBuf| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    if let Some(path) = &files.txt {
        return read(path).map(|text| Some(text.trim_end().to_owned()));
    }
    let Some(path) = &files.json else { return Ok(None) };
    let object: serde_json::Value =
        serde_json::from_str(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Columns::caption_in(options, &object))
}

impl Iterator for FolderReader {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.fill() {
            return Some(Err(error));
        }
        let (key, files) = self.samples.pop_front()?;
        Some(Ok(self.record(key, files)))
    }
}

impl Reader for FolderReader {
    fn skip_records(&mut self, count: u64) -> Result<u64, Error> {
        let mut skipped = 0;
        while skipped < count {
            self.fill()?;
            if self.samples.is_empty() {
                break;
            }
            let some = (count - skipped).min(self.samples.len() as u64);
            self.samples.drain(..some as usize);
            skipped += some;
        }
        Ok(skipped)
    }
}
