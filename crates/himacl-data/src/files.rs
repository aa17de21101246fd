//! Files that are either whole or absent.

use crate::error::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cmp::Ordering;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// How the names of files begin and end that are being written.
const TEMPORARY_PREFIX: &str = ".himacl-";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Writes a file so that at every moment `path` holds either its former content or all of the new one.
///
/// The content goes to a temporary file in the same folder, which is flushed to the disk and renamed. Permissions are
/// those of an ordinary new file.
///
/// # Errors
/// [`Error::Io`]; `path` is as before then.
pub fn write_atomic(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    write_atomic_with(path, |file| {
        let mut buffer = BufWriter::with_capacity(1 << 20, file);
        content(&mut buffer).and_then(|()| buffer.flush()).map_err(Error::io("write", path))
    })
}

/// As [`write_atomic`], for writers with errors of their own.
///
/// # Errors
/// [`Error::Io`], or the error of `content`; `path` is as before then.
pub fn write_atomic_with(path: &Path, content: impl FnOnce(&mut File) -> Result<(), Error>) -> Result<(), Error> {
    let folder = parent(path);
    let mut builder = tempfile::Builder::new();
    let prefix = temporary_prefix(path);
    builder.prefix(&prefix).suffix(TEMPORARY_SUFFIX);
    #[cfg(unix)]
    let builder = builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
    let mut temporary = builder.tempfile_in(folder).map_err(Error::io("write", path))?;
    content(temporary.as_file_mut())?;
    temporary.as_file().sync_all().map_err(Error::io("write", path))?;
    temporary.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    sync_folder(folder)
}

/// Writes text as [`write_atomic`] does.
///
/// # Errors
/// [`Error::Io`].
pub fn write_text(path: &Path, text: &str) -> Result<(), Error> {
    write_atomic(path, |out| out.write_all(text.as_bytes()))
}

/// Reads a text.
///
/// # Errors
/// [`Error::Io`].
pub fn read_text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(Error::io("read", path))
}

/// Reads a JSON file.
///
/// # Errors
/// [`Error::Io`], [`Error::Json`].
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    serde_json::from_str(&read_text(path)?).map_err(|source| Error::Json { path: path.to_path_buf(), source })
}

/// Writes a value as indented JSON, as [`write_atomic`] does.
///
/// # Errors
/// [`Error::Json`] for a value that JSON cannot hold, [`Error::Io`].
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    write_text(path, &(text + "\n"))
}

/// Reads a TOML file.
///
/// # Errors
/// [`Error::Io`], [`Error::Config`].
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    toml::from_str(&read_text(path)?).map_err(|source| Error::Config { path: path.to_path_buf(), source })
}

/// Removes a file if there is one.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_if_present(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Whether content is what Git has in the place of a large file that was not fetched.
pub fn is_pointer(content: &[u8]) -> bool {
    content.starts_with(b"version https://git-lfs")
}

/// Whether a file is one that [`write_atomic`] had not finished when its process was killed.
pub fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with(TEMPORARY_PREFIX) && name.ends_with(TEMPORARY_SUFFIX)
}

/// Removes what a kill in the middle of writing has left in a folder.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_unfinished(folder: &Path) -> Result<(), Error> {
    remove_temporary(folder, TEMPORARY_PREFIX, true)
}

/// As [`remove_unfinished`], of the file `path` alone.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_unfinished_of(path: &Path) -> Result<(), Error> {
    remove_temporary(parent(path), &temporary_prefix(path), false)
}

/// Removes temporary files whose names begin with `prefix`, those of files with longer names too where `any`.
fn remove_temporary(folder: &Path, prefix: &str, any: bool) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_meant = name.strip_prefix(prefix).is_some_and(|rest| any || !rest.contains('-'));
        if is_meant && is_unfinished(&path) {
            remove_if_present(&path)?;
        }
    }
    Ok(())
}

/// The order of names in which runs of digits count as numbers: `part-2` before `part-10`, with any number of leading zeros.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    while let (Some(&x), Some(&y)) = (left.first(), right.first()) {
        let (m, n) = (digits(left), digits(right));
        if m > 0 && n > 0 {
            let number = |text: &'_ [u8], length: usize| {
                let zeros = text[..length].iter().take_while(|&&byte| byte == b'0').count();
                (length - zeros, text[zeros..length].to_vec())
            };
            let order = number(left, m).cmp(&number(right, n));
            if order != Ordering::Equal {
                return order;
            }
            (left, right) = (&left[m..], &right[n..]);
        } else if x == y {
            (left, right) = (&left[1..], &right[1..]);
        } else {
            return x.cmp(&y);
        }
    }
    // Equal but for leading zeros, or one begins with the other.
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// How the name of the temporary file of `path` begins: with its own name, as far as file systems take it.
fn temporary_prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{TEMPORARY_PREFIX}{}-", name.chars().take(40).collect::<String>())
}

/// Makes a rename within `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("write into", folder))?;
    }
    Ok(())
}

pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_former_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_text(&path, "old").unwrap();
        let failed = write_atomic(&path, |out| {
            out.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(failed.unwrap_err().to_string().contains("free some space"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the temporary file is gone");
        write_text(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let sorted =
            ["a", "img_2.npy", "img_0003.npy", "img_10.npy", "img_10b.npy", "part-2-9", "part-10-1", "part-10-02"];
        let mut names = sorted;
        names.reverse();
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, sorted);
        assert_eq!(natural_order("a01", "a1"), Ordering::Less);
        assert_eq!(natural_order("a1", "a1"), Ordering::Equal);
    }
}
