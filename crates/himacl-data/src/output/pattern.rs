//! Which files of a folder a command makes: names with `#` for a number and `*` for anything, part by part.

use crate::error::Error;
use crate::files::is_unfinished;
use std::fs;
use std::path::{Path, PathBuf};

/// The files below a folder that are a command's own.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Those that match, by their paths from the folder, sorted.
    pub(super) files: Vec<PathBuf>,
    /// The folders that matching files may be in, each before those in it; some may hold none.
    pub(super) folders: Vec<PathBuf>,
    /// What killed processes were writing, in the folder and in those that matching files may be in.
    pub(super) unfinished: Vec<PathBuf>,
}

/// Looks for the files that `patterns` describe. Symbolic links to folders are not followed.
///
/// # Errors
/// [`Error::Io`]; [`Error::OutputLink`] where a folder that a pattern names is a symbolic link.
pub(super) fn own_files(root: &Path, patterns: &[String]) -> Result<Own, Error> {
    let patterns: Vec<Vec<&str>> = patterns.iter().map(|pattern| pattern.split('/').collect()).collect();
    let mut own = Own::default();
    collect(root, Path::new(""), &patterns.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut own)?;
    own.files.sort();
    Ok(own)
}

fn collect(root: &Path, inner: &Path, patterns: &[&[&str]], own: &mut Own) -> Result<(), Error> {
    let folder = root.join(inner);
    for entry in fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
        let entry = entry.map_err(Error::io("list", &folder))?;
        let name = entry.file_name();
        // Names that are not text are none of ours.
        let Some(text) = name.to_str() else { continue };
        let (path, kind) = (inner.join(&name), entry.file_type().map_err(Error::io("read", &entry.path()))?);
        let deeper: Vec<&[&str]> = patterns
            .iter()
            .filter(|pattern| pattern.len() > 1 && matches(pattern[0], text))
            .map(|pattern| &pattern[1..])
            .collect();
        if !deeper.is_empty() && kind.is_symlink() && entry.path().is_dir() {
            return Err(Error::OutputLink(entry.path()));
        }
        if kind.is_dir() {
            if !deeper.is_empty() {
                own.folders.push(path.clone());
                collect(root, &path, &deeper, own)?;
            }
        } else if patterns.iter().any(|pattern| pattern.len() == 1 && matches(pattern[0], text)) {
            own.files.push(path);
        } else if is_unfinished(&path) {
            own.unfinished.push(path);
        }
    }
    Ok(())
}

/// Whether a name is of the form of one part of a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.find(['*', '#']) {
        None => pattern == name,
        Some(at) => {
            let Some(rest) = name.strip_prefix(&pattern[..at]) else { return false };
            let (wild, pattern) = (pattern.as_bytes()[at], &pattern[at + 1..]);
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            match wild {
                b'#' => digits > 0 && matches(pattern, &rest[digits..]),
                _ => (0..=rest.len()).any(|end| rest.is_char_boundary(end) && matches(pattern, &rest[end..])),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_their_form() {
        for (pattern, name, expected) in [
            ("map.json", "map.json", true),
            ("map.json", "map.json2", false),
            ("img_emb_#.npy", "img_emb_0012.npy", true),
            ("img_emb_#.npy", "img_emb_.npy", false),
            ("img_emb_#.npy", "img_emb_mine.npy", false),
            ("step_#.partial", "step_7.partial", true),
            ("events.*", "events.out.tfevents.0", true),
            ("*", "ä", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn only_what_a_pattern_names_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["a/x_1.npy", "a/notes", "a/.himacl-x_1.npy-abc.tmp", "b/x_1.npy", "a/deep/x_1.npy", "top", "mine"]
        {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), "").unwrap();
        }
        let own = own_files(root, &["top".to_owned(), "a/x_#.npy".to_owned()]).unwrap();
        assert_eq!(own.files, [Path::new("a/x_1.npy"), Path::new("top")]);
        assert_eq!(own.unfinished, [Path::new("a/.himacl-x_1.npy-abc.tmp")]);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.join("b"), root.join("c")).unwrap();
            assert!(matches!(own_files(root, &["c/x_#.npy".to_owned()]), Err(Error::OutputLink(_))));
        }
    }
}
