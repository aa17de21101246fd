//! Inputs that are elsewhere: addresses and the Hub's repositories of datasets, fetched file by file.

use super::input::expand_braces;
use super::location::Location;
use super::order::compare_paths;
use crate::error::{Error, ReadError};
use crate::hub::{HubSettings, Remote, RemoteFile};
use glob::{MatchOptions, Pattern};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

/// The files of an input, on the disk or elsewhere.
#[derive(Debug, Clone)]
pub struct Input {
    /// What was asked for, without secrets, and with the commit in place of a branch or tag.
    pub name: String,
    /// Its files, by their paths or addresses.
    pub files: Vec<PathBuf>,
    pub(super) remote: Option<(Remote, Vec<RemoteFile>)>,
}

impl Input {
    /// Finds what a path, a pattern or an address names: `data/{00..99}.tar`, `https://host/{00..99}.tar`,
    /// `hf://datasets/ORG/NAME@REVISION/data/*.parquet`. Files that are elsewhere are asked about and not fetched;
    /// `should_stop` is asked while a server is waited for, then and later.
    ///
    /// # Errors
    /// As those of [`expand_input`](super::expand_input); [`ReadError::HubAddress`]; what the servers say.
    pub fn find(
        input: &str,
        settings: HubSettings,
        should_stop: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let remote = || Remote::new(settings, Arc::new(should_stop));
        if let Some(place) = input.strip_prefix("hf://") {
            let remote = remote()?;
            let (name, files) = on_the_hub(&remote, input, place)?;
            return Ok(Self::elsewhere(name, remote, files));
        }
        if input.starts_with("https://") || input.starts_with("http://") {
            let remote = remote()?;
            let files = remote.describe(&expand_braces(input)?)?;
            let name = crate::hub::shown_address(input);
            return Ok(Self::elsewhere(name, remote, files));
        }
        Ok(Self { name: input.to_owned(), files: super::expand_input(input)?, remote: None })
    }

    fn elsewhere(name: String, remote: Remote, files: Vec<RemoteFile>) -> Self {
        let shown = files.iter().map(|file| file.shown.clone()).collect();
        Self { name, files: shown, remote: Some((remote, files)) }
    }

    /// Of files that are elsewhere: what changes when one of them does.
    pub fn fingerprint(&self) -> Option<String> {
        self.remote.as_ref().map(|(_, files)| RemoteFile::fingerprint(files))
    }
}

/// The files of `datasets/ORG/NAME[@REVISION]/PATTERN`, and the same with the commit.
fn on_the_hub(remote: &Remote, input: &str, place: &str) -> Result<(String, Vec<RemoteFile>), Error> {
    let wrong = || ReadError::HubAddress(input.to_owned());
    let rest = place.strip_prefix("datasets/").ok_or_else(wrong)?;
    let (organisation, rest) = rest.split_once('/').ok_or_else(wrong)?;
    let (name, rest) = rest.split_at(rest.find(['/', '@']).ok_or_else(wrong)?);
    // Branches of the Hub's own have slashes in their names.
    let (revision, pattern) = match rest.strip_prefix('@') {
        None => ("main", &rest[1..]),
        Some(rest) => {
            let parts = if rest.starts_with("refs/") { 3 } else { 1 };
            let end = rest.match_indices('/').nth(parts - 1).ok_or_else(wrong)?.0;
            (&rest[..end], &rest[end + 1..])
        }
    };
    let is_name = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !is_name(organisation) || !is_name(name) || revision.is_empty() || pattern.is_empty() {
        return Err(wrong().into());
    }
    let repo = format!("{organisation}/{name}");
    let commit = remote.commit(&repo, &revision.replace("%2F", "/"))?;
    let fixed = &pattern[..pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len())];
    let folder = fixed.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut listed = remote.list(&repo, &commit, folder)?;
    listed.sort_by(|(a, _), (b, _)| compare_paths(Path::new(a), Path::new(b)));
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::default() };
    let mut files = Vec::new();
    for alternative in expand_braces(pattern)? {
        let malformed =
            |error: glob::PatternError| ReadError::Pattern { pattern: alternative.clone(), reason: error.to_string() };
        let glob = Pattern::new(&alternative).map_err(malformed)?;
        let is_one = |path: &str| path == alternative || glob.matches_with(path, options);
        let before = files.len();
        files.extend(listed.iter().filter(|(path, _)| is_one(path)).map(|(_, file)| file.clone()));
        if files.len() == before {
            return Err(ReadError::NoFiles { input: format!("hf://datasets/{repo}@{commit}/{alternative}") }.into());
        }
    }
    Ok((format!("hf://datasets/{repo}@{commit}/{pattern}"), files))
}

/// Fetches files one after the other, the next one while the one before is read.
pub(super) struct Fetcher {
    remote: Remote,
    files: Vec<RemoteFile>,
    under_way: Option<(usize, Receiver<Result<File, Error>>)>,
    is_unwanted: Arc<AtomicBool>,
}

impl Fetcher {
    pub(super) fn new(remote: Remote, files: Vec<RemoteFile>) -> Self {
        Self { remote, files, under_way: None, is_unwanted: Arc::default() }
    }

    /// The file of a number.
    pub(super) fn take(&mut self, number: usize) -> Result<Location, Error> {
        let content = match self.under_way.take() {
            Some((under_way, content)) if under_way == number => content,
            _ => self.begin(number),
        };
        let content = content.recv().unwrap_or_else(|_| Err(crate::error::HubError::Interrupted.into()))?;
        if number + 1 < self.files.len() {
            self.under_way = Some((number + 1, self.begin(number + 1)));
        }
        Ok(Location::fetched(&self.files[number].shown, content))
    }

    fn begin(&self, number: usize) -> Receiver<Result<File, Error>> {
        let (sender, receiver) = sync_channel(1);
        let (remote, file) = (self.remote.clone(), self.files[number].clone());
        let is_unwanted = Arc::clone(&self.is_unwanted);
        std::thread::spawn(move || {
            let content = remote.fetch(&file, &|| is_unwanted.load(Ordering::Relaxed));
            // Nobody may want it any more.
            drop(sender.send(content));
        });
        receiver
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.is_unwanted.store(true, Ordering::Relaxed);
    }
}
