//! Inputs that are elsewhere: addresses and the Hub's repositories of datasets, fetched file by file.

use super::input::expand_braces;
use super::location::Location;
use super::order::compare_paths;
use crate::error::{Error, HubError, ReadError};
use crate::hub::{HubSettings, Remote, RemoteFile, S3_SCHEME, escape, shown_address};
use glob::{MatchOptions, Pattern};
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
    /// Finds what a path, a pattern or an address names: `data/{00..99}.tar`, a folder that `datasets` has saved, `https://host/{00..99}.tar`,
    /// `hf://datasets/ORG/NAME@REVISION/data/*.parquet`, `s3://BUCKET/data/*.tar`. Files that are elsewhere are asked about and not fetched;
    /// `should_stop` is asked while a server is waited for, then and later.
    ///
    /// # Errors
    /// As those of [`expand_input`](super::expand_input); [`ReadError::HubAddress`]; what the servers say.
    pub fn find(
        input: &str,
        settings: HubSettings,
        should_stop: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let scheme = settings.s3.scheme.clone();
        let in_store = scheme.as_ref().and_then(|scheme| input.strip_prefix(scheme.as_str())?.strip_prefix("://"));
        let found = if is_address(input) || in_store.is_some() {
            Remote::new(settings, Arc::new(should_stop)).map_err(Error::from).and_then(|remote| {
                let (name, files) = if let Some(place) = input.strip_prefix("hf://") {
                    on_the_hub(&remote, input, place)?
                } else if let Some(place) = in_store.or_else(|| input.strip_prefix(S3_SCHEME)) {
                    let mut files = in_a_bucket(&remote, input, place)?;
                    if let Some(scheme) = scheme.filter(|_| in_store.is_some()) {
                        files.iter_mut().for_each(|file| file.show_by(&scheme));
                    }
                    (input.to_owned(), files)
                } else {
                    (shown_address(input), remote.describe(&expand_braces(input)?)?)
                };
                Ok(Self::elsewhere(name, remote, files))
            })
        } else {
            Ok(Self { name: input.to_owned(), files: super::expand_input(input)?, remote: None })
        };
        found.map_err(Error::of_dataset)
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

/// Whether an input is elsewhere, and [`Input::find`] finds it there.
pub fn is_address(input: &str) -> bool {
    ["hf://", S3_SCHEME, "https://", "http://"].iter().any(|scheme| input.starts_with(scheme))
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
    let folder = fixed_part(pattern).rsplit_once('/').map_or("", |(folder, _)| folder);
    let listed = remote.list(&repo, &commit, folder)?;
    let place = format!("hf://datasets/{repo}@{commit}/");
    let files = choose(&alternatives(pattern)?, listed, &place)?;
    Ok((format!("{place}{pattern}"), files))
}

/// The files of `BUCKET/PATTERN`: those of a pattern with wildcards are looked for, others are asked about.
fn in_a_bucket(remote: &Remote, input: &str, place: &str) -> Result<Vec<RemoteFile>, Error> {
    let wrong = || ReadError::BucketAddress(input.to_owned());
    let (bucket, pattern) = place.split_once('/').ok_or_else(wrong)?;
    let is_name =
        !bucket.is_empty() && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_name || pattern.is_empty() || pattern.ends_with('/') {
        return Err(wrong().into());
    }
    if !pattern.contains(['*', '?', '[']) {
        let address = |key: String| format!("{S3_SCHEME}{bucket}/{}", escape(&key));
        return remote.describe(&expand_braces(pattern)?.into_iter().map(address).collect::<Vec<_>>());
    }
    let alternatives = alternatives(pattern)?;
    let wanted = |key: &str| alternatives.iter().any(|alternative| alternative.is_match(key));
    let listed = remote.list_bucket(bucket, fixed_part(pattern), &wanted)?;
    choose(&alternatives, listed, &format!("{S3_SCHEME}{bucket}/"))
}

/// What is the same for all that a pattern names.
fn fixed_part(pattern: &str) -> &str {
    &pattern[..pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len())]
}

/// One of the patterns that a pattern with braces stands for.
struct Alternative {
    text: String,
    pattern: Pattern,
}

impl Alternative {
    fn is_match(&self, path: &str) -> bool {
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::default() };
        path == self.text || self.pattern.matches_with(path, options)
    }
}

fn alternatives(pattern: &str) -> Result<Vec<Alternative>, ReadError> {
    let of = |text: String| match Pattern::new(&text) {
        Ok(pattern) => Ok(Alternative { text, pattern }),
        Err(error) => Err(ReadError::Pattern { reason: error.to_string(), pattern: text }),
    };
    expand_braces(pattern)?.into_iter().map(of).collect()
}

/// Of the files of a `place`, those of each alternative in the order of their names; each must have some.
fn choose(
    alternatives: &[Alternative],
    mut listed: Vec<(String, RemoteFile)>,
    place: &str,
) -> Result<Vec<RemoteFile>, Error> {
    listed.sort_by(|(a, _), (b, _)| compare_paths(Path::new(a), Path::new(b)));
    let mut files = Vec::new();
    for alternative in alternatives {
        let before = files.len();
        files.extend(listed.iter().filter(|(path, _)| alternative.is_match(path)).map(|(_, file)| file.clone()));
        if files.len() == before {
            return Err(ReadError::NoFiles { input: format!("{place}{}", alternative.text) }.into());
        }
    }
    Ok(files)
}

/// Fetches files one after the other, the next one, or what is first needed of it, while the one before is read.
pub(super) struct Fetcher {
    remote: Remote,
    files: Vec<RemoteFile>,
    /// Whether parts of a file are enough, where its server has them.
    by_parts: bool,
    under_way: Option<(usize, Receiver<Result<Location, Error>>)>,
    is_unwanted: Arc<AtomicBool>,
}

impl Fetcher {
    pub(super) fn new(remote: Remote, files: Vec<RemoteFile>, by_parts: bool) -> Self {
        Self { remote, files, by_parts, under_way: None, is_unwanted: Arc::default() }
    }

    /// The file of a number.
    pub(super) fn take(&mut self, number: usize) -> Result<Location, Error> {
        let location = match self.under_way.take() {
            Some((under_way, location)) if under_way == number => location,
            _ => self.begin(number),
        };
        let location =
            location.recv().unwrap_or_else(|_| Err(HubError::Interrupted.into())).map_err(Error::of_dataset)?;
        if number + 1 < self.files.len() {
            self.under_way = Some((number + 1, self.begin(number + 1)));
        }
        Ok(location)
    }

    fn begin(&self, number: usize) -> Receiver<Result<Location, Error>> {
        let (sender, receiver) = sync_channel(1);
        let (remote, file) = (self.remote.clone(), self.files[number].clone());
        let (is_unwanted, by_parts) = (Arc::clone(&self.is_unwanted), self.by_parts);
        let locate = move || {
            let parts = if by_parts { remote.parts(&file, &is_unwanted)? } else { None };
            if let Some(parts) = parts {
                return Ok(Location::in_parts(&file.shown, parts));
            }
            let content = remote.fetch(&file, &|| is_unwanted.load(Ordering::Relaxed))?;
            Ok(Location::fetched(&file.shown, content))
        };
        // Nobody may want it any more.
        std::thread::spawn(move || drop(sender.send(locate())));
        receiver
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.is_unwanted.store(true, Ordering::Relaxed);
    }
}
