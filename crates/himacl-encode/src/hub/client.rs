//! The client: revisions, file lists, files.

use super::aside::aside;
use super::cache::{RepoCache, check_name, is_commit};
use super::check::{check_weights, is_weights};
use super::encoder_files::{Files, Snapshot, is_optional};
use super::event::{Event, Watch};
use super::http::{Failure, Http, header, refused};
use super::settings::HubSettings;
use super::text::{escape, escape_all};
use super::transfer::Transfer;
use super::version::plain;
use crate::error::Error;
use crate::error::HubError;
use serde::Deserialize;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use ureq::http::{HeaderMap, Method};

/// The longest list of files that is read.
const LIST_BYTES: u64 = 64 << 20;

/// A client of the Hub with its cache.
#[derive(Debug, Clone)]
pub struct Hub {
    settings: HubSettings,
    http: Http,
}

/// What the Hub says of a repository.
#[derive(Debug, Deserialize)]
struct RepoInfo {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
}

/// What the Hub says of a file.
#[derive(Debug, Default)]
struct FileInfo {
    etag: Option<String>,
    size: Option<u64>,
    commit: Option<String>,
}

impl Hub {
    /// A client; connects to nothing.
    ///
    /// # Errors
    /// [`HubError::Address`].
    pub fn new(settings: HubSettings) -> Result<Self, HubError> {
        Ok(Self { http: Http::new(&settings, false)?, settings })
    }

    /// As [`Self::new`], for files that are anywhere.
    pub(super) fn for_any_host(settings: HubSettings) -> Result<Self, HubError> {
        Ok(Self { http: Http::new(&settings, true)?, settings })
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// The settings.
    pub fn settings(&self) -> &HubSettings {
        &self.settings
    }

    /// The files of a repository at a revision (branch, tag or full commit) if the cache has them all; no network.
    ///
    /// # Errors
    /// [`HubError::RepoName`], [`HubError::Name`].
    pub fn cached(&self, repo: &str, revision: &str, files: &Files) -> Result<Option<Snapshot>, HubError> {
        let cache = RepoCache::new(&self.settings.cache, repo)?;
        check_name(revision)?;
        let Some(commit) = cache.commit_of(revision) else { return Ok(None) };
        let folder = cache.snapshot(&commit);
        let complete = files.first_missing(&folder, &|name| cache.is_absent(&commit, name)).is_none();
        files.refuse_adapter(&folder, repo.to_owned())?;
        Ok(complete.then_some(Snapshot { folder, commit: Some(commit) }))
    }

    /// The files of a repository at a revision, from the cache or from the Hub.
    ///
    /// A full commit whose files are in the cache needs no network. A branch or tag is looked up; where that fails for
    /// lack of a network, what it meant last time is used, with a warning. `should_stop` is asked between parts of a file
    /// and while an answer is waited for; what has come is kept.
    ///
    /// # Errors
    /// [`HubError`] as its variants say; [`himacl_data::Error::Io`] for the cache.
    pub fn fetch(
        &self,
        repo: &str,
        revision: &str,
        files: &Files,
        observe: &dyn Fn(Event<'_>),
        should_stop: &dyn Fn() -> bool,
    ) -> Result<Snapshot, Error> {
        let watch = Watch { observe, should_stop };
        // The Hub and its cache write commits in small letters.
        let small = is_commit(revision).then(|| revision.to_ascii_lowercase());
        let revision = small.as_deref().unwrap_or(revision);
        let cached = self.cached(repo, revision, files)?;
        let cache = RepoCache::new(&self.settings.cache, repo)?;
        if self.settings.offline {
            return cached.ok_or_else(|| self.not_cached(repo, revision, files, &cache).into());
        }
        if is_commit(revision)
            && let Some(snapshot) = cached
        {
            return Ok(snapshot);
        }
        let info = match (self.repo_info(&format!("models/{repo}"), revision, watch), cached) {
            (Ok(info), _) => info,
            (Err(Error::Hub(error @ HubError::Network { .. })), Some(snapshot)) => {
                tracing::warn!(%error, "using what the cache has");
                return Ok(snapshot);
            }
            (Err(error), _) => return Err(error),
        };
        let listed: Vec<String> = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        let commit = info.sha;
        // Weights come last, so that a snapshot with weights is a complete one.
        for file in files.choose(repo, revision, &listed)? {
            self.file(repo, &commit, &file, watch)?;
        }
        files.absent(&listed).into_iter().try_for_each(|name| cache.mark_absent(&commit, name))?;
        // What has come may name more: modules, parts of weights.
        let folder = cache.snapshot(&commit);
        while let Some(file) = files.first_missing(&folder, &|name| cache.is_absent(&commit, name)) {
            if listed.contains(&file) {
                self.file(repo, &commit, &file, watch)?;
            } else if is_optional(&file) {
                cache.mark_absent(&commit, &file)?;
            } else {
                return Err(HubError::NoFile { repo: repo.to_owned(), revision: commit.clone(), file }.into());
            }
        }
        cache.remember(revision, &commit)?;
        Ok(Snapshot { folder, commit: Some(commit) })
    }

    /// One file at a commit: from the cache, or fetched into it.
    fn file(&self, repo: &str, commit: &str, file: &str, watch: Watch<'_>) -> Result<PathBuf, Error> {
        check_name(file)?;
        let cache = RepoCache::new(&self.settings.cache, repo)?;
        let path = cache.snapshot(commit).join(file);
        if path.is_file() {
            return Ok(path);
        }
        let url = format!("{}/{repo}/resolve/{commit}/{}", self.settings.endpoint, escape(file));
        let FileInfo { etag, size, .. } = self.file_info(repo, commit, file, &url, watch)?;
        let etag = etag.ok_or_else(|| HubError::Protocol { url: url.clone(), what: "an ETag" })?;
        check_name(&etag)?;
        let (complete, partial) = cache.blob(&etag);
        let _lock = cache.lock(&etag)?;
        let folder = complete.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(Error::io("make folder", folder))?;
        if !complete.is_file() {
            Transfer { repo, file, url: &url, size, etag: &etag, tag: None }
                .run(&self.http, &partial, &complete, watch)?;
        }
        if is_weights(file)
            && let Err(error) = check_weights(&complete)
        {
            fs::remove_file(&complete).map_err(Error::io("remove", &complete))?;
            return Err(error);
        }
        (watch.observe)(Event::Finished);
        Ok(cache.link(commit, file, &etag)?)
    }

    /// The commit that a revision is; the repository's kind is before its name.
    pub(super) fn commit(&self, place: &str, revision: &str, watch: Watch<'_>) -> Result<String, Error> {
        Ok(self.repo_info(place, revision, watch)?.sha)
    }

    /// What a revision means, and the files that it has; the repository's kind, `models` or `datasets`, is before its name.
    fn repo_info(&self, place: &str, revision: &str, watch: Watch<'_>) -> Result<RepoInfo, Error> {
        let url = format!("{}/api/{place}/revision/{}", self.settings.endpoint, escape_all(revision));
        let repo = place.strip_prefix("models/").unwrap_or(place);
        let (text, _) =
            self.get(&url, watch, &|status, code, message| self.explain(status, code, message, repo, revision, None))?;
        let protocol = || HubError::Protocol { url: url.clone(), what: "the list of the repository's files" };
        let info: RepoInfo = serde_json::from_slice(&text).map_err(|_| protocol())?;
        if !is_commit(&info.sha) {
            return Err(protocol().into());
        }
        // A branch or tag means what the server says; a commit is one and the same everywhere.
        if is_commit(revision) {
            check_commit(repo, revision, &info.sha)?;
        }
        Ok(info)
    }

    /// A short answer and its headers; `explain` names refusals.
    pub(super) fn get(
        &self,
        url: &str,
        watch: Watch<'_>,
        explain: &dyn Fn(u16, &str, &str) -> Option<HubError>,
    ) -> Result<(Vec<u8>, HeaderMap), Error> {
        self.http.retry(watch.should_stop, |attempt| {
            let mut answer = self.http.send(&Method::GET, url, None, attempt, watch.should_stop, |_| false)?;
            if !answer.status.is_success() {
                return Err(refused(answer, attempt, explain));
            }
            let headers = std::mem::take(&mut answer.headers);
            let read = aside(watch.should_stop, move || {
                let mut text = Vec::new();
                answer.body.as_reader().take(LIST_BYTES).read_to_end(&mut text).map(|_| text)
            })?;
            let text = read.map_err(|error| {
                let error = HubError::Network { url: url.to_owned(), reason: error.to_string(), attempts: attempt };
                Failure::Passing { error, wait: None, progress: false }
            })?;
            Ok((text, headers))
        })
    }

    /// The length and name of a file's content, without the content.
    fn file_info(&self, repo: &str, commit: &str, file: &str, url: &str, watch: Watch<'_>) -> Result<FileInfo, Error> {
        self.http.retry(watch.should_stop, |attempt| {
            let mut info = FileInfo::default();
            // The Hub itself tells about a file that another host keeps; that host need not be asked.
            let told = |headers: &HeaderMap, info: &mut FileInfo| {
                let linked = header(headers, "x-linked-etag").map(|etag| plain(&etag));
                info.size = info.size.or_else(|| header(headers, "x-linked-size")?.parse().ok());
                info.commit = info.commit.take().or_else(|| header(headers, "x-repo-commit"));
                info.etag = info.etag.take().or(linked);
                info.etag.is_some()
            };
            let answer = self.http.send(&Method::HEAD, url, None, attempt, watch.should_stop, |answer| {
                told(&answer.headers, &mut info)
            })?;
            if !answer.status.is_success() && !answer.status.is_redirection() {
                return Err(refused(answer, attempt, |status, code, message| {
                    self.explain(status, code, message, repo, commit, Some(file))
                }));
            }
            if answer.status.is_success() && !told(&answer.headers, &mut info) {
                info.etag = header(&answer.headers, "etag").map(|etag| plain(&etag));
                info.size = info.size.or_else(|| header(&answer.headers, "content-length")?.parse().ok());
            }
            if let Some(got) = &info.commit {
                check_commit(repo, commit, got)?;
            }
            Ok(info)
        })
    }

    /// The Hub's refusals by its `X-Error-Code`, or by status where there is none.
    pub(super) fn explain(
        &self,
        status: u16,
        code: &str,
        message: &str,
        repo: &str,
        revision: &str,
        file: Option<&str>,
    ) -> Option<HubError> {
        let (repo, revision) = (repo.to_owned(), revision.to_owned());
        let (endpoint, message, token) = (self.settings.address(), message.to_owned(), self.http.has_token());
        match (code, status, file) {
            ("GatedRepo", ..) | ("", 403, _) => {
                Some(HubError::Gated { page: format!("{endpoint}/{repo}"), repo, message, token })
            }
            ("RevisionNotFound", ..) => Some(HubError::NoRevision { repo, revision }),
            ("EntryNotFound" | "", 404, Some(file)) => Some(HubError::NoFile { repo, revision, file: file.to_owned() }),
            ("", 401, _) if token => Some(HubError::Token { endpoint, message }),
            ("RepoNotFound", ..) | (_, 401, _) | (_, 404, None) => Some(HubError::NoRepo { repo, endpoint, token }),
            _ => None,
        }
    }

    fn not_cached(&self, repo: &str, revision: &str, files: &Files, cache: &RepoCache) -> HubError {
        let missing = cache
            .commit_of(revision)
            .and_then(|commit| files.first_missing(&cache.snapshot(&commit), &|name| cache.is_absent(&commit, name)));
        HubError::Offline {
            repo: repo.to_owned(),
            revision: revision.to_owned(),
            file: missing.unwrap_or_else(|| files.first()),
            cache: self.settings.cache.clone(),
        }
    }
}

/// Refuses another commit than the one asked for.
fn check_commit(repo: &str, expected: &str, got: &str) -> Result<(), HubError> {
    if got.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(HubError::Commit { repo: repo.to_owned(), got: got.to_owned(), expected: expected.to_owned() })
}
