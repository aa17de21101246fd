//! Files that are elsewhere and stay once they have come: at a path, or in the Hub's cache where they are the Hub's.

use super::cache::{RepoCache, check_name, make_parent};
use super::event::{Event, Watch};
use super::remote::{InRepo, Remote, RemoteFile};
use crate::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

impl Remote {
    /// The folder in which what is fetched of a file takes room, and how many bytes of it are still to come; none are known
    /// where the server does not tell the length. `path` is as for [`Self::keep`].
    ///
    /// # Errors
    /// [`HubError::RepoName`](crate::error::HubError::RepoName).
    pub(crate) fn missing(&self, file: &RemoteFile, path: &Path) -> Result<(PathBuf, u64), Error> {
        let (complete, partial) = match &file.in_repo {
            Some(place) => self.cache_of(place)?.blob(file.sum.as_deref().unwrap_or_default()),
            None => (path.to_path_buf(), partial(path)),
        };
        let folder = complete.parent().unwrap_or(Path::new(".")).to_path_buf();
        let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        let is_there = complete.is_file();
        let rest = file.size.unwrap_or_default().saturating_sub(length(&partial));
        Ok((folder, if is_there { 0 } else { rest }))
    }

    /// Makes a file's content appear at `path`, going on with what has come of it before. A file of the Hub comes into the
    /// cache, and `path` leads there; others come to `path` itself. Whatever is there already must be of the same version.
    ///
    /// # Errors
    /// [`HubError`](crate::error::HubError) as its variants say; [`himacl_data::Error::Io`].
    pub(crate) fn keep(&self, file: &RemoteFile, path: &Path, observe: &dyn Fn(Event<'_>)) -> Result<(), Error> {
        let watch = Watch { observe, should_stop: &*self.should_stop };
        if let Some(place) = &file.in_repo {
            let kept = self.keep_in_cache(file, place, watch)?;
            return lead(path, &kept);
        }
        let partial = partial(path);
        // Nothing tells whether what is there is of the same version.
        if file.tag.is_none() && file.sum.is_none() {
            [path, &partial].into_iter().try_for_each(himacl_data::files::remove_if_present)?;
        }
        if !path.is_file() {
            make_parent(path)?;
            file.transfer().run(self.hub.http(), &partial, path, watch)?;
        }
        Ok(())
    }

    fn keep_in_cache(&self, file: &RemoteFile, place: &InRepo, watch: Watch<'_>) -> Result<PathBuf, Error> {
        let (cache, sum) = (self.cache_of(place)?, file.sum.as_deref().unwrap_or_default());
        check_name(sum)?;
        check_name(&place.path)?;
        let snapshot = cache.snapshot(&place.commit).join(&place.path);
        if snapshot.is_file() {
            return Ok(snapshot);
        }
        let (complete, partial) = cache.blob(sum);
        let _lock = cache.lock(sum)?;
        make_parent(&complete)?;
        if !complete.is_file() {
            file.transfer().run(self.hub.http(), &partial, &complete, watch)?;
        }
        Ok(cache.link(&place.commit, &place.path, sum)?)
    }

    fn cache_of(&self, place: &InRepo) -> Result<RepoCache, Error> {
        Ok(RepoCache::of_dataset(&self.hub.settings().cache, &place.repo)?)
    }
}

/// Where content grows while it comes.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".incomplete");
    path.with_file_name(name)
}

/// Lets `path` lead to a file.
fn lead(path: &Path, file: &Path) -> Result<(), Error> {
    make_parent(path)?;
    himacl_data::files::remove_if_present(path)?;
    let target = std::path::absolute(file).map_err(Error::io("resolve", file))?;
    #[cfg(unix)]
    let led = std::os::unix::fs::symlink(target, path);
    #[cfg(not(unix))]
    let led = fs::copy(target, path).map(drop);
    led.map_err(Error::io("write", path))
}
