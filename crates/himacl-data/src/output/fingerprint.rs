//! Fingerprints of inputs: whether they are still what they were.

use crate::error::Error;
use crate::files::parent;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes that are hashed at a time.
const CHUNK: u64 = 4 << 20;
/// Inputs of up to so many bytes in all are read whole, where samples would do.
const SMALL: u64 = 1 << 30;
/// Otherwise so many blocks ...
const BLOCKS: u64 = 4096;
/// ... of so many bytes each are read.
const BLOCK: u64 = 64 << 10;

/// How much of the inputs is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every byte: for inputs that are read as a whole anyway.
    Whole,
    /// Every byte of inputs of up to 1 GiB in all. Of larger ones the names and lengths of all files, the first and the
    /// last 64 KiB of each (where there are at most 4096) and 4096 blocks of 64 KiB, evenly spread over all bytes.
    Sampled,
}

/// SHA-256 over names, lengths and contents of `files`, in their order, and of all files below those that are folders; a
/// name is the path below such a folder, or the file's name alone. Whatever lies in `without` is left out.
///
/// # Errors
/// [`Error::Io`].
pub fn fingerprint(files: &[PathBuf], without: Option<&Path>, depth: Depth) -> Result<String, Error> {
    let mut all = Vec::new();
    let without = without.and_then(|path| path.canonicalize().ok());
    for file in files {
        let from = if file.is_dir() { file.as_path() } else { parent(file) };
        list(file, without.as_deref(), &mut |path, length| {
            all.push((path.to_path_buf(), name_below(path, from), length))
        })?;
    }
    let total: u64 = all.iter().map(|(_, _, length)| length).sum();
    let mut pieces = Vec::new();
    let mut before = 0_u64;
    for (index, (_, _, length)) in all.iter().enumerate() {
        if depth == Depth::Whole || total <= SMALL {
            pieces.extend((0..length.div_ceil(CHUNK)).map(|chunk| (index, chunk * CHUNK, CHUNK)));
        } else {
            let apart = total / BLOCKS;
            let first = before.div_ceil(apart);
            let inside = (first..).map(|block| block * apart).take_while(|at| *at < before + length);
            pieces.extend(inside.map(|at| (index, at - before, BLOCK)));
            if all.len() as u64 <= BLOCKS {
                pieces.extend([(index, 0, BLOCK), (index, length.saturating_sub(BLOCK), BLOCK)]);
            }
        }
        before += length;
    }
    let digests: Vec<[u8; 32]> = pieces
        .par_iter()
        .map(|&(index, start, length)| {
            let path = &all[index].0;
            digest(path, start, length).map_err(Error::io("read", path))
        })
        .collect::<Result<_, _>>()?;
    let mut whole = Sha256::new();
    for (_, name, length) in &all {
        whole.update((name.len() as u64).to_le_bytes());
        whole.update(name);
        whole.update(length.to_le_bytes());
    }
    digests.iter().for_each(|digest| whole.update(digest));
    Ok(whole.finalize().iter().fold(String::from("sha256:"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// The path of a file below a folder, in bytes.
fn name_below(path: &Path, folder: &Path) -> Vec<u8> {
    path.strip_prefix(folder).unwrap_or(path).as_os_str().as_encoded_bytes().to_vec()
}

fn digest(path: &Path, start: u64, length: u64) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(Sha256::digest(&bytes).into())
}

/// Tells of the regular files at or below `path`, with their lengths, in the order of their names. Links to folders below it are
/// not followed.
fn list(path: &Path, without: Option<&Path>, found: &mut dyn FnMut(&Path, u64)) -> Result<(), Error> {
    let metadata = fs::metadata(path).map_err(Error::io("read", path))?;
    if metadata.is_file() {
        found(path, metadata.len());
    } else if metadata.is_dir() && without.is_none_or(|without| path.canonicalize().is_ok_and(|path| path != without)) {
        let entries = fs::read_dir(path).map_err(Error::io("list", path))?;
        let mut entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(Error::io("list", path))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let inner = entry.path();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            // A link to nothing is no content.
            if !(is_link && !inner.is_file()) {
                list(&inner, without, found)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn contents_lengths_names_and_order_count() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |name: &str, bytes: &[u8]| {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), bytes).unwrap();
        };
        let of = |names: &[&str]| {
            let files: Vec<PathBuf> = names.iter().map(|name| root.join(name)).collect();
            fingerprint(&files, Some(&root.join("set/out")), Depth::Whole).unwrap()
        };
        write("a", b"12");
        write("b", b"3");
        let first = of(&["a", "b"]);
        assert_eq!(of(&["a", "b"]), first);
        assert_ne!(of(&["b", "a"]), first);
        write("a", b"1");
        write("b", b"23");
        assert_ne!(of(&["a", "b"]), first);
        write("set/x", b"1");
        write("set/inner/y", b"2");
        let set = of(&["set"]);
        write("set/out/result", b"left out");
        assert_eq!(of(&["set"]), set);
        write("set/inner/y", b"3");
        assert_ne!(of(&["set"]), set);
    }

    #[test]
    fn every_byte_of_a_middling_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut bytes = vec![7_u8; 2 * CHUNK as usize + 5];
        let mut of = |at: Option<usize>| {
            at.into_iter().for_each(|at| bytes[at] ^= 1);
            fs::write(&path, &bytes).unwrap();
            fingerprint(std::slice::from_ref(&path), None, Depth::Sampled).unwrap()
        };
        let mut seen = vec![of(None)];
        for at in [0, CHUNK as usize - 1, CHUNK as usize, 2 * CHUNK as usize + 4] {
            seen.push(of(Some(at)));
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn large_files_are_sampled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let length = SMALL + (1 << 20);
        let mut file = File::create(&path).unwrap();
        file.set_len(length).unwrap();
        let of = || fingerprint(std::slice::from_ref(&path), None, Depth::Sampled).unwrap();
        let first = of();
        for at in [0, 5 * (length / BLOCKS) + 17, length - 1] {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(b"x").unwrap();
            let changed = of();
            assert_ne!(changed, first, "byte {at}");
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[0]).unwrap();
            assert_eq!(of(), first);
        }
    }
}
