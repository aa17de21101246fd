//! Files that are either whole or absent, and output folders that are never overwritten by accident.

use crate::error::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cmp::Ordering;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// How the names of files begin and end that are being written.
const TEMPORARY_PREFIX: &str = ".himacl-";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// What to do with output that already exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Refuse to touch it.
    #[default]
    Refuse,
    /// Overwrite it.
    Overwrite,
    /// Go on with it.
    Resume,
}

/// An output folder, checked before the work and made when the input has proved to be sound.
///
/// A folder that this value made and nothing was written to is removed again when the value is dropped.
#[derive(Debug)]
pub struct OutputDir {
    path: PathBuf,
    made: Vec<PathBuf>,
}

impl OutputDir {
    /// Checks that `path` can be an output folder; leaves nothing behind.
    ///
    /// # Errors
    /// [`Error::OutputExists`] for a non-empty folder with [`Existing::Refuse`], [`Error::OutputNotAFolder`] where a file
    /// is in the way, [`Error::Io`] where the nearest existing parent cannot be written to.
    pub fn check(path: &Path, existing: Existing) -> Result<Self, Error> {
        let here = std::path::absolute(path).map_err(Error::io("resolve", path))?;
        // A parent that is a file makes `metadata` fail with a wording that does not say which, so every parent is asked.
        let ancestor = here.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok());
        let ancestor = ancestor.unwrap_or(&here);
        if !ancestor.is_dir() {
            return Err(Error::OutputNotAFolder { path: path.to_path_buf(), obstacle: ancestor.to_path_buf() });
        }
        if ancestor == here && existing == Existing::Refuse {
            let mut entries = fs::read_dir(path).map_err(Error::io("list", path))?;
            if entries.next().is_some() {
                return Err(Error::OutputExists(path.to_path_buf()));
            }
        }
        // Permissions, read-only mounts and the like: the sure way to know is to try.
        tempfile::tempfile_in(ancestor).map_err(Error::io("write into", ancestor))?;
        Ok(Self { path: path.to_path_buf(), made: Vec::new() })
    }

    /// Makes the folder and its parents.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(&mut self) -> Result<(), Error> {
        let missing: Vec<PathBuf> = self
            .path
            .ancestors()
            .take_while(|part| !part.as_os_str().is_empty() && !part.exists())
            .map(Path::to_path_buf)
            .collect();
        fs::create_dir_all(&self.path).map_err(Error::io("make folder", &self.path))?;
        self.made = missing;
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in the folder.
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for OutputDir {
    fn drop(&mut self) {
        // Deepest first; `remove_dir` refuses a folder that holds something, and then its parents do too.
        for folder in &self.made {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

/// Checks that an output file may be written at `path`: it does not exist, or `existing` allows for it.
///
/// # Errors
/// [`Error::OutputFileExists`], or [`Error::OutputNotAFolder`] where a parent is a file.
pub fn check_output_file(path: &Path, existing: Existing) -> Result<(), Error> {
    if path.exists() && existing == Existing::Refuse {
        return Err(Error::OutputFileExists(path.to_path_buf()));
    }
    let folder = parent(path);
    OutputDir::check(folder, Existing::Overwrite).map(drop)
}

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
    builder.prefix(TEMPORARY_PREFIX).suffix(TEMPORARY_SUFFIX);
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
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if is_unfinished(&path) {
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

/// Makes a rename within `folder` survive a power cut.
fn sync_folder(folder: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("write into", folder))?;
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
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

    #[test]
    fn existing_output_needs_a_flag() {
        let folder = tempfile::tempdir().unwrap();
        OutputDir::check(folder.path(), Existing::Refuse).expect("an empty folder is fine");
        fs::write(folder.path().join("precious"), "x").unwrap();
        let refused = OutputDir::check(folder.path(), Existing::Refuse).unwrap_err();
        assert!(matches!(refused, Error::OutputExists(_)), "{refused}");
        OutputDir::check(folder.path(), Existing::Overwrite).unwrap();
        OutputDir::check(folder.path(), Existing::Resume).unwrap();
        let file = folder.path().join("precious");
        assert!(matches!(check_output_file(&file, Existing::Refuse), Err(Error::OutputFileExists(_))));
        check_output_file(&file, Existing::Overwrite).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        for path in [file.clone(), file.join("deep/er")] {
            match OutputDir::check(&path, Existing::Overwrite).unwrap_err() {
                Error::OutputNotAFolder { obstacle, .. } => assert_eq!(obstacle, file),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn an_unused_folder_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let mut output = OutputDir::check(&path, Existing::Refuse).unwrap();
        assert!(!path.exists());
        output.create().unwrap();
        assert!(path.exists());
        drop(output);
        assert!(!folder.path().join("a").exists());

        let mut output = OutputDir::check(&path, Existing::Refuse).unwrap();
        output.create().unwrap();
        write_text(&output.file("kept"), "x").unwrap();
        drop(output);
        assert!(path.join("kept").exists());
    }
}
