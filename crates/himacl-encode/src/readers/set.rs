//! Sets of embeddings that are elsewhere: which files they have, and how these come to the disk, where they lie as the set lies
//! there.

use super::elsewhere::Input;
use crate::error::{Error, HubError, ReadError};
use crate::hub::{Event, HubSettings, Remote, RemoteFile};
use himacl_data::Error as DataError;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The parts of a clip-retrieval folder.
const KINDS: [&str; 2] = ["img_emb", "text_emb"];
const METADATA: &str = "metadata";
/// All files in and below a folder.
const ALL: &str = "**/*";

/// A set of embeddings whose files are elsewhere.
#[derive(Debug, Clone)]
pub struct RemoteSet {
    /// What was asked for, without secrets, and with the commit in place of a branch or tag.
    pub name: String,
    /// The address of the folder that the set is in, with a slash at its end.
    folder: String,
    /// What of that folder is to be opened; the folder itself where this is empty.
    opened: String,
    remote: Remote,
    /// The files, by their paths in the folder.
    files: Vec<(String, RemoteFile)>,
}

impl RemoteSet {
    /// Finds the files of a set: of a .npy, .npz, .safetensors, .parquet or .arrow file, of several such that a pattern names, or of a folder,
    /// in a bucket or on the Hub, with what [`Embeddings`](himacl_data::Embeddings) would read of it. Nothing is fetched.
    ///
    /// # Errors
    /// As those of [`Input::find`]; [`DataError::UnknownFormat`], [`DataError::Key`].
    pub fn find(
        address: &str,
        key: Option<&str>,
        settings: &HubSettings,
        should_stop: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let should_stop: Arc<dyn Fn() -> bool + Send + Sync> = Arc::new(should_stop);
        let find = |input: &str| {
            let should_stop = Arc::clone(&should_stop);
            Input::find(input, settings.clone(), move || should_stop())
        };
        if is_folder(address) { in_folder(address, key, &find) } else { of_files(address, find(address)?) }
    }

    /// What changes when one of the files does.
    pub fn fingerprint(&self) -> String {
        RemoteFile::fingerprint(&self.files.iter().map(|(_, file)| file.clone()).collect::<Vec<_>>())
    }

    /// How many files there are.
    pub fn num_files(&self) -> usize {
        self.files.len()
    }

    /// Their bytes in all; `None` where a server does not tell.
    pub fn bytes(&self) -> Option<u64> {
        self.files.iter().map(|(_, file)| file.size()).sum()
    }

    /// Bytes that are still to come before the set is whole in `folder`, by the folders where they take room.
    ///
    /// # Errors
    /// [`HubError::RepoName`].
    pub fn missing(&self, folder: &Path) -> Result<BTreeMap<PathBuf, u64>, Error> {
        let mut all = BTreeMap::new();
        for (path, file) in &self.files {
            let (place, bytes) = self.remote.missing(file, &folder.join(path))?;
            *all.entry(place).or_default() += bytes;
        }
        Ok(all)
    }

    /// Fetches the files into `folder`, one after the other; `observe` is told how many bytes of the set are there. What an earlier run
    /// has fetched there of the same [`Self::fingerprint`] is not fetched again. Files of the Hub go to its cache, and `folder` leads to
    /// them.
    ///
    /// # Errors
    /// [`HubError`] as its variants say; [`DataError::Io`].
    pub fn fetch(&self, folder: &Path, observe: &dyn Fn(u64)) -> Result<(), Error> {
        let mut before = 0;
        for (path, file) in &self.files {
            let here = Cell::new(0);
            let watch = |event: Event<'_>| {
                match event {
                    Event::Started { done, .. } => here.set(done),
                    Event::Advanced(bytes) => here.set(here.get() + bytes),
                    Event::Finished => {}
                }
                observe(before + here.get());
            };
            let path = folder.join(path);
            self.remote.keep(file, &path, &watch).map_err(Error::of_dataset)?;
            before += fs::metadata(&path).map_err(Error::io("read", &path))?.len();
            observe(before);
        }
        Ok(())
    }

    /// The path to open once the set is in `folder`.
    pub fn path_in(&self, folder: &Path) -> PathBuf {
        if self.opened.is_empty() { folder.to_path_buf() } else { folder.join(&self.opened) }
    }

    /// A text with addresses in place of the paths of the files that were fetched into `folder`.
    pub fn with_addresses(&self, text: &str, folder: &Path) -> String {
        let folder = folder.display().to_string();
        let whole = self.folder.trim_end_matches('/');
        text.replace(&format!("{folder}/"), &self.folder).replace(&folder, whole)
    }
}

/// Whether an address is that of a folder: web servers have none that could be listed.
fn is_folder(address: &str) -> bool {
    let on_the_web = address.starts_with("https://") || address.starts_with("http://");
    !on_the_web && !address.contains(['*', '?', '[', '{']) && (address.ends_with('/') || !has_format(address))
}

/// Whether a name is that of a file with embeddings.
fn has_format(name: &str) -> bool {
    ["npy", "npz", "safetensors", "parquet", "parq", "arrow", "feather", "ipc"]
        .iter()
        .any(|format| ends_in(name, format))
}

fn ends_in(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

/// The set of the files that an address names.
fn of_files(address: &str, input: Input) -> Result<RemoteSet, Error> {
    let Input { name, remote, .. } = input;
    let (remote, files) = remote.ok_or_else(|| ReadError::Remote(address.to_owned()))?;
    let place = |file: &RemoteFile| {
        let shown = file.shown.to_string_lossy();
        shown.rsplit_once('/').map(|(folder, name)| (format!("{folder}/"), name.to_owned()))
    };
    let unknown = || DataError::UnknownFormat(PathBuf::from(&name));
    let folder = files.first().and_then(place).ok_or_else(unknown)?.0;
    let mut named = Vec::new();
    for file in files {
        match place(&file) {
            Some((of_file, name)) if of_file == folder => named.push((name, file)),
            _ => {
                let reason = "its files are in several folders, expected those of one".to_owned();
                return Err(ReadError::Pattern { pattern: name, reason }.into());
            }
        }
    }
    let opened = match named.as_slice() {
        [(single, _)] if has_format(single) => single.clone(),
        _ => {
            named = alike(&named).ok_or_else(unknown)?;
            String::new()
        }
    };
    Ok(RemoteSet { name, folder, opened, remote, files: named })
}

/// Of the files of a folder those of one format, .npy before .parquet, .arrow and .safetensors; not what `datasets` keeps beside those that it
/// has saved.
fn alike(files: &[(String, RemoteFile)]) -> Option<Vec<(String, RemoteFile)>> {
    let is_saved = files.iter().any(|(name, _)| name == "dataset_info.json");
    let of = |formats: &[&str]| -> Vec<(String, RemoteFile)> {
        let is_one = |name: &str| {
            let is_aside = name.starts_with('.') || is_saved && name.starts_with("cache-");
            !is_aside && formats.iter().any(|format| ends_in(name, format))
        };
        files.iter().filter(|(name, _)| is_one(name)).cloned().collect()
    };
    let kinds = [of(&["npy"]), of(&["parquet", "parq"]), of(&["arrow", "feather", "ipc"]), of(&["safetensors"])];
    kinds.into_iter().find(|files| !files.is_empty())
}

/// The set in a folder: the shards of a kind of a clip-retrieval folder with their metadata, or files of one format.
fn in_folder(
    address: &str,
    key: Option<&str>,
    find: &dyn Fn(&str) -> Result<Input, Error>,
) -> Result<RemoteSet, Error> {
    let address = address.trim_end_matches('/');
    let found = find(&format!("{address}/{ALL}")).map_err(|error| match error {
        Error::Read(ReadError::NoFiles { .. }) => ReadError::NoFiles { input: format!("{address}/") }.into(),
        other => other,
    });
    let Input { name, remote, .. } = found?;
    let (remote, files) = remote.ok_or_else(|| ReadError::Remote(address.to_owned()))?;
    // With the commit in place of a branch.
    let folder = name.trim_end_matches(ALL).to_owned();
    let name = folder.trim_end_matches('/').to_owned();
    let files: Vec<(String, RemoteFile)> = files.into_iter().filter_map(|file| below(&folder, file)).collect();
    let (above, last) = name.rsplit_once('/').unwrap_or(("", &name));
    let of_kind =
        |kind: &str, path: &str| path.split_once('/').is_some_and(|(part, name)| part == kind && is_shard(kind, name));
    if KINDS.contains(&last) && files.iter().any(|(path, _)| is_shard(last, path)) {
        let shards = files.into_iter().filter(|(path, _)| is_shard(last, path));
        let mut files: Vec<_> = shards.map(|(path, file)| (format!("{last}/{path}"), file)).collect();
        let (folder, opened) = (format!("{above}/"), last.to_owned());
        files.extend(metadata(&folder, find)?);
        return Ok(RemoteSet { name, folder, opened, remote, files });
    }
    let available: Vec<&str> =
        KINDS.into_iter().filter(|kind| files.iter().any(|(path, _)| of_kind(kind, path))).collect();
    let Some(first) = available.first() else {
        let own: Vec<_> = files.into_iter().filter(|(path, _)| !path.contains('/')).collect();
        let files = alike(&own).ok_or_else(|| DataError::UnknownFormat(PathBuf::from(&name)))?;
        return Ok(RemoteSet { name, folder, opened: String::new(), remote, files });
    };
    let kind = match key {
        Some(key) => available.iter().find(|kind| **kind == key),
        None => Some(first).filter(|_| available.len() == 1),
    };
    let Some(kind) = kind else {
        let (path, key) = (PathBuf::from(&name), key.map(str::to_owned));
        return Err(DataError::Key { path, key, available: available.into_iter().map(str::to_owned).collect() }.into());
    };
    let is_wanted = |path: &str| of_kind(kind, path) || is_metadata(path);
    let files = files.into_iter().filter(|(path, _)| is_wanted(path)).collect();
    Ok(RemoteSet { name, folder, opened: (*kind).to_owned(), remote, files })
}

/// A file by its path below the address of a folder.
fn below(folder: &str, file: RemoteFile) -> Option<(String, RemoteFile)> {
    let path = file.shown.to_str()?.strip_prefix(folder)?.to_owned();
    Some((path, file))
}

/// The tables beside the shards of a clip-retrieval folder, which need not be there.
fn metadata(folder: &str, find: &dyn Fn(&str) -> Result<Input, Error>) -> Result<Vec<(String, RemoteFile)>, Error> {
    let found = match find(&format!("{folder}{METADATA}/{METADATA}_*.parquet")) {
        Err(Error::Read(ReadError::NoFiles { .. }) | Error::Hub(HubError::NoFile { .. })) => return Ok(Vec::new()),
        found => found?,
    };
    let files = found.remote.into_iter().flat_map(|(_, files)| files).filter_map(|file| below(folder, file));
    Ok(files.filter(|(path, _)| is_metadata(path)).collect())
}

/// `{kind}_{number}.npy`.
fn is_shard(kind: &str, name: &str) -> bool {
    is_numbered(name, kind, ".npy")
}

/// `metadata/metadata_{number}.parquet`.
fn is_metadata(path: &str) -> bool {
    path.split_once('/').is_some_and(|(part, name)| part == METADATA && is_numbered(name, METADATA, ".parquet"))
}

fn is_numbered(name: &str, kind: &str, end: &str) -> bool {
    let number = name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('_')?.strip_suffix(end));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether an address is one that [`RemoteSet::find`] finds sets at.
pub fn is_readable(address: &str, settings: &HubSettings) -> bool {
    let scheme = address.split_once("://").map(|(scheme, _)| scheme);
    super::is_address(address) || (scheme.is_some() && scheme == settings.s3.scheme.as_deref())
}
