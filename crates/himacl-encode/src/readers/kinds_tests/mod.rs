//! Inputs of the kinds that people have: everything seen is used, or is told.

mod archives;
mod folders;
mod tables;

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use image::ImageFormat;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

fn options(modality: Modality) -> ReadOptions {
    ReadOptions { modality, image_column: None, caption_column: None }
}

/// Key, and the picture's width and caption, or why there is none.
type Brief = (String, Result<(Option<u32>, Option<String>), String>);

fn read_with(path: &Path, options: &ReadOptions) -> Result<Vec<Brief>, String> {
    let open = || Dataset::open(vec![path.to_path_buf()], options.clone()).map_err(|error| error.to_string());
    let all: Vec<Record> = open()?.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    // Every reader resumes anywhere.
    for count in 0..=all.len() {
        let mut dataset = open()?;
        dataset.skip_records(count as u64).map_err(|error| error.to_string())?;
        let rest: Vec<Record> = dataset.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        assert_eq!(rest, all[count..], "after {count}");
    }
    Ok(all.into_iter().map(brief).collect())
}

fn brief(record: Record) -> Brief {
    match record {
        Record::Unusable { key, reason, .. } => (key, Err(reason)),
        Record::Sample(Sample { key, image, caption, .. }) => {
            let width = image.map(|image| image.decode_with(|_, image| image.width()).unwrap());
            (key, Ok((width, caption)))
        }
    }
}

fn read(path: &Path, modality: Modality) -> Result<Vec<Brief>, String> {
    read_with(path, &options(modality))
}

fn captions(path: &Path) -> Result<Vec<String>, String> {
    read(path, Modality::Text)?.into_iter().map(|(_, found)| Ok(found?.1.unwrap_or_default())).collect()
}

fn picture(width: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::from_pixel(width, 2, image::Rgb([9, 8, 7])).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn tar_bytes(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn text(content: &str) -> Vec<u8> {
    content.as_bytes().to_vec()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

fn shard(members: &[(&str, Vec<u8>)]) -> (Folder, PathBuf) {
    let folder = Folder::new();
    let path = folder.write("s.tar", tar_bytes(members));
    (folder, path)
}
