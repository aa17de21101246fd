//! The cache's folders and files, as the Hub's own library lays them out.

use crate::error::HubError;
use himacl_data::Error;
use himacl_data::files::write_text;
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

/// The part of the cache that belongs to one repository.
#[derive(Debug, Clone)]
pub(super) struct RepoCache {
    root: PathBuf,
    locks: PathBuf,
}

impl RepoCache {
    /// The folder of the models of `repo`, `ORG/NAME`, in `cache`; makes nothing.
    pub(super) fn new(cache: &Path, repo: &str) -> Result<Self, HubError> {
        Self::of_kind("models", cache, repo)
    }

    /// The same of a repository of datasets.
    pub(super) fn of_dataset(cache: &Path, repo: &str) -> Result<Self, HubError> {
        Self::of_kind("datasets", cache, repo)
    }

    fn of_kind(kind: &str, cache: &Path, repo: &str) -> Result<Self, HubError> {
        let is_name = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let parts: Vec<&str> = repo.split('/').collect();
        if parts.len() > 2 || !parts.iter().all(|part| is_name(part)) {
            return Err(HubError::RepoName(repo.to_owned()));
        }
        let name = format!("{kind}--{}", parts.join("--"));
        Ok(Self { root: cache.join(&name), locks: cache.join(".locks").join(name) })
    }

    /// The folder with the files of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// Whether the repository is known to lack a file at a commit; the Hub's own library keeps such marks, too.
    pub(super) fn is_absent(&self, commit: &str, file: &str) -> bool {
        self.root.join(".no_exist").join(commit).join(file).is_file()
    }

    /// Remembers that it does.
    pub(super) fn mark_absent(&self, commit: &str, file: &str) -> Result<(), Error> {
        if self.is_absent(commit, file) {
            return Ok(());
        }
        let path = self.root.join(".no_exist").join(commit).join(file);
        make_parent(&path)?;
        write_text(&path, "")
    }

    /// The commit that a revision is, or meant when it was last looked up.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_ascii_lowercase());
        }
        let text = fs::read_to_string(self.root.join("refs").join(revision)).ok()?;
        is_commit(text.trim()).then(|| text.trim().to_owned())
    }

    /// Remembers what a branch or tag means.
    pub(super) fn remember(&self, revision: &str, commit: &str) -> Result<(), Error> {
        let path = self.root.join("refs").join(revision);
        if self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        make_parent(&path)?;
        write_text(&path, commit)
    }

    /// Where content with this name is kept, and where it grows while it comes.
    pub(super) fn blob(&self, etag: &str) -> (PathBuf, PathBuf) {
        let blobs = self.root.join("blobs");
        (blobs.join(etag), blobs.join(format!("{etag}.incomplete")))
    }

    /// Keeps other processes from fetching the same content, until the value is dropped.
    pub(super) fn lock(&self, etag: &str) -> Result<File, Error> {
        let path = self.locks.join(format!("{etag}.lock"));
        make_parent(&path)?;
        let file = open_own(&path)?;
        file.lock().map_err(Error::io("lock", &path))?;
        Ok(file)
    }

    /// Makes a blob appear as a file of a commit.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<PathBuf, Error> {
        let path = self.snapshot(commit).join(file);
        make_parent(&path)?;
        let depth = Path::new(file).components().count() + 1;
        let target = Path::new(&"../".repeat(depth)).join("blobs").join(etag);
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).map_err(Error::io("replace", &path))?;
        }
        #[cfg(unix)]
        let linked = std::os::unix::fs::symlink(&target, &path);
        #[cfg(not(unix))]
        let linked = fs::copy(path.parent().unwrap_or(Path::new("")).join(&target), &path).map(drop);
        linked.map_err(Error::io("write", &path))?;
        Ok(path)
    }
}

/// Opens a file of the cache to read it and to write at its end.
///
/// Others may write into a shared cache, too: what a link there leads to is not the cache's, and stays as it is.
pub(super) fn open_own(path: &Path) -> Result<File, Error> {
    let mut options = File::options();
    options.create(true).read(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
        let foreign = |found: fs::Metadata| !found.is_file() || found.nlink() > 1;
        if path.symlink_metadata().is_ok_and(foreign) {
            fs::remove_file(path).map_err(Error::io("replace", path))?;
        }
        options.custom_flags(libc::O_NOFOLLOW);
    }
    options.open(path).map_err(Error::io("write", path))
}

/// Whether a revision is a full commit, which never changes its meaning.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Refuses names that would lead out of a folder.
pub(super) fn check_name(name: &str) -> Result<(), HubError> {
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !inside || name.contains('\\') { Err(HubError::Name(name.to_owned())) } else { Ok(()) }
}

pub(super) fn make_parent(path: &Path) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io("make folder", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_cache() {
        for wrong in ["", "/etc", "a//b", "../a", "a/..", "a/b/c", "a b", "a/b?c", ".", "org/.git"] {
            assert!(RepoCache::new(Path::new("/c"), wrong).is_err(), "{wrong}");
        }
        let cache = RepoCache::new(Path::new("/c"), "org/na.me-1_x").unwrap();
        assert_eq!(cache.snapshot("0"), Path::new("/c/models--org--na.me-1_x/snapshots/0"));
        let cache = RepoCache::of_dataset(Path::new("/c"), "org/name").unwrap();
        assert_eq!(cache.snapshot("0"), Path::new("/c/datasets--org--name/snapshots/0"));
        for wrong in ["../x", "/etc/passwd", "a/../../b", "", "a\\..\\b"] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
        check_name("1_Pooling/config.json").unwrap();
    }

    #[test]
    fn links_resolve_at_any_depth() {
        let folder = tempfile::tempdir().unwrap();
        let cache = RepoCache::new(folder.path(), "org/name").unwrap();
        let (blob, _) = cache.blob("abc");
        fs::create_dir_all(blob.parent().unwrap()).unwrap();
        fs::write(&blob, "content").unwrap();
        for file in ["config.json", "1_Pooling/config.json"] {
            let path = cache.link("c0ffee", file, "abc").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "content");
            cache.link("c0ffee", file, "abc").expect("linking again is fine");
        }
    }
}
