//! Files of datasets at addresses, and in the Hub's repositories of datasets: described first, fetched when their turn comes.

use super::cache::check_name;
use super::client::Hub;
use super::event::Watch;
use super::http::{Answer, header, refused};
use super::s3::read_list;
use super::settings::HubSettings;
use super::text::{SCHEME, escape, escape_all, hexadecimal, shown};
use super::transfer::Transfer;
use super::version::{plain, tag};
use crate::error::{Error, HubError};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use ureq::http::{HeaderMap, Method};

/// Files that are asked about at a time.
const SIDE_BY_SIDE: usize = 8;
/// Pages of a list of files, of a thousand each.
const PAGES: usize = 1 << 10;

/// A file of a dataset that is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its address as it may be shown: without a user's name, a password or a signature.
    pub shown: PathBuf,
    pub(super) url: String,
    pub(super) size: Option<u64>,
    /// What the server has in place of a version of the file: its `ETag` or the time of its last change.
    pub(super) tag: Option<String>,
    /// SHA-256 of the content, or Git's sum.
    pub(super) sum: Option<String>,
    /// Where it is in a repository of the Hub.
    pub(super) in_repo: Option<InRepo>,
}

/// The place of a file in a repository of datasets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InRepo {
    pub(super) repo: String,
    pub(super) commit: String,
    pub(super) path: String,
}

impl RemoteFile {
    /// Its length, where the server tells.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// How its content comes.
    pub(super) fn transfer(&self) -> Transfer<'_> {
        Transfer {
            repo: "",
            file: self.shown.to_str().unwrap_or_default(),
            url: &self.url,
            size: self.size,
            etag: self.sum.as_deref().unwrap_or_default(),
            tag: self.tag.as_deref(),
        }
    }

    /// Shows an object of a store by an address of another scheme.
    pub(crate) fn show_by(&mut self, scheme: &str) {
        let shown = self.shown.to_string_lossy();
        if let Some(place) = shown.strip_prefix(SCHEME) {
            self.shown = PathBuf::from(format!("{scheme}://{place}"));
        }
    }

    /// Of several files, what would change with any of them.
    pub fn fingerprint(files: &[Self]) -> String {
        let mut all = Sha256::new();
        for file in files {
            let version = file.sum.as_ref().or(file.tag.as_ref());
            all.update(format!("{} {:?} {version:?}\n", file.shown.display(), file.size));
        }
        format!("remote-sha256:{}", hexadecimal(&all.finalize()))
    }
}

/// A file as the Hub lists it.
#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    size: u64,
    oid: String,
    lfs: Option<Large>,
}

#[derive(Debug, Deserialize)]
struct Large {
    oid: String,
    size: u64,
}

/// A client for files of datasets.
#[derive(Clone)]
pub struct Remote {
    pub(super) hub: Hub,
    pub(super) should_stop: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Remote").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl Remote {
    /// A client; connects to nothing. `should_stop` is asked while an answer is waited for.
    ///
    /// # Errors
    /// [`HubError::Address`], [`HubError::Certificates`].
    pub fn new(settings: HubSettings, should_stop: Arc<dyn Fn() -> bool + Send + Sync>) -> Result<Self, HubError> {
        Ok(Self { hub: Hub::for_any_host(settings)?, should_stop })
    }

    /// What the servers say of files at addresses, in their order.
    ///
    /// # Errors
    /// [`HubError::OfflineAddress`]; [`HubError::Status`] and others that name the address.
    pub fn describe(&self, urls: &[String]) -> Result<Vec<RemoteFile>, Error> {
        self.online(urls.first().map_or("", String::as_str))?;
        let found: Vec<Mutex<Option<Result<RemoteFile, Error>>>> = urls.iter().map(|_| Mutex::default()).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..SIDE_BY_SIDE.min(urls.len()) {
                scope.spawn(|| {
                    while let Some((url, place)) = {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        urls.get(index).zip(found.get(index))
                    } {
                        let described = self.describe_one(url);
                        if described.is_err() {
                            // The first failure, in the order of the files, is told; the rest is not worth asking for.
                            next.store(urls.len(), Ordering::Relaxed);
                        }
                        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(described);
                    }
                });
            }
        });
        let taken = |place: Mutex<Option<_>>| place.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.into_iter().filter_map(taken).collect()
    }

    fn describe_one(&self, url: &str) -> Result<RemoteFile, Error> {
        let (http, stop) = (self.hub.http(), &*self.should_stop);
        http.retry(stop, |attempt| {
            let (mut linked, mut size) = (None, None);
            // The Hub itself tells about a file that another host keeps.
            let mut until = |answer: &Answer| {
                linked = header(&answer.headers, "x-linked-etag").map(|etag| plain(&etag));
                size = header(&answer.headers, "x-linked-size").and_then(|size| size.parse().ok());
                linked.is_some()
            };
            let mut answer = http.send(&Method::HEAD, url, None, attempt, stop, &mut until)?;
            // A signed address may be signed for GET alone.
            // Stores say nothing of why they refuse, unless they may send a body.
            let is_refused_by_store = answer.asker.is_some() && !answer.status.is_success();
            if is_refused_by_store || matches!(answer.status.as_u16(), 400 | 403 | 405 | 501) {
                answer = http.send(&Method::GET, url, None, attempt, stop, until)?;
            }
            if !answer.status.is_success() && linked.is_none() {
                return Err(refused(answer, attempt, |_, _, _| None));
            }
            let tag = if linked.is_some() { None } else { tag(&answer.headers) };
            let size = size.or_else(|| header(&answer.headers, "content-length")?.parse().ok());
            let (shown, url) = (PathBuf::from(shown(url)), url.to_owned());
            Ok(RemoteFile { shown, url, size, tag, sum: linked, in_repo: None })
        })
    }

    /// The commit that a revision of a repository of datasets is.
    ///
    /// # Errors
    /// [`HubError`] as its variants say.
    pub fn commit(&self, repo: &str, revision: &str) -> Result<String, Error> {
        self.online(&format!("hf://datasets/{repo}"))?;
        let watch = Watch { observe: &|_| (), should_stop: &*self.should_stop };
        self.hub.commit(&format!("datasets/{repo}"), revision, watch)
    }

    /// The files of a repository of datasets at a commit, in and below a folder, with their paths in the repository.
    ///
    /// # Errors
    /// [`HubError`] as its variants say.
    pub fn list(&self, repo: &str, commit: &str, folder: &str) -> Result<Vec<(String, RemoteFile)>, Error> {
        let endpoint = &self.hub.settings().endpoint;
        let below = if folder.is_empty() { String::new() } else { format!("/{}", escape(folder)) };
        let mut url = format!("{endpoint}/api/datasets/{repo}/tree/{}{below}?recursive=true", escape_all(commit));
        let watch = Watch { observe: &|_| (), should_stop: &*self.should_stop };
        let mut files = Vec::new();
        for _ in 0..PAGES {
            let (text, headers) = self.hub.get(&url, watch, &|status, code, message| {
                self.hub.explain(status, code, message, &format!("datasets/{repo}"), commit, Some(folder))
            })?;
            let what = "the list of the repository's files";
            let listed: Vec<Listed> =
                serde_json::from_slice(&text).map_err(|_| HubError::Protocol { url: url.clone(), what })?;
            for Listed { path, size, oid, lfs, .. } in listed.into_iter().filter(|listed| listed.kind == "file") {
                check_name(&path)?;
                let (sum, size) = lfs.map_or((oid, size), |lfs| (lfs.oid, lfs.size));
                let shown = PathBuf::from(format!("hf://datasets/{repo}@{commit}/{path}"));
                let url = format!("{endpoint}/datasets/{repo}/resolve/{commit}/{}", escape(&path));
                let in_repo = Some(InRepo { repo: repo.to_owned(), commit: commit.to_owned(), path: path.clone() });
                files.push((path, RemoteFile { shown, url, size: Some(size), tag: None, sum: Some(sum), in_repo }));
            }
            match next_page(&headers) {
                // The token goes along: the list must stay where it began.
                Some(next) if next.starts_with(&format!("{endpoint}/")) => url = next,
                Some(next) => return Err(HubError::Protocol { url: next, what: "a list of its own" }.into()),
                None => return Ok(files),
            }
        }
        Err(HubError::Protocol { url, what: "an end to the list of files" }.into())
    }

    /// The objects of a bucket whose keys begin with a prefix, those that are `wanted`, with their keys.
    ///
    /// # Errors
    /// [`HubError`] as its variants say.
    pub(crate) fn list_bucket(
        &self,
        bucket: &str,
        prefix: &str,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<(String, RemoteFile)>, Error> {
        self.online(&format!("{SCHEME}{bucket}/{prefix}"))?;
        let watch = Watch { observe: &|_| (), should_stop: &*self.should_stop };
        let (mut files, mut page) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            // Sorted, as signatures want it.
            let url = format!("{}{bucket}/?{page}list-type=2&prefix={}", SCHEME, escape_all(prefix));
            let (text, _) = self.hub.get(&url, watch, &|_, _, _| None)?;
            let list = read_list(&String::from_utf8_lossy(&text))
                .ok_or_else(|| HubError::Protocol { url: shown(&url), what: "a list of the bucket's objects" })?;
            // Programs that have folders write empty objects for them.
            for object in list.objects.into_iter().filter(|object| !object.key.ends_with('/') && wanted(&object.key)) {
                let url = format!("{}{bucket}/{}", SCHEME, escape(&object.key));
                let (shown, tag) =
                    (PathBuf::from(shown(&url)), Some(plain(&object.etag)).filter(|tag| !tag.is_empty()));
                let size = Some(object.size);
                files.push((object.key, RemoteFile { shown, url, size, tag, sum: None, in_repo: None }));
            }
            match list.next {
                Some(next) => page = format!("continuation-token={}&", escape_all(&next)),
                None => return Ok(files),
            }
        }
        let url = format!("{SCHEME}{bucket}/{prefix}");
        Err(HubError::Protocol { url, what: "fewer than a million objects below the pattern's fixed beginning" }.into())
    }

    /// The content of a file, in an unnamed file of the system's temporary folder; ends early where `is_unwanted` says so.
    ///
    /// # Errors
    /// [`HubError::Changed`], [`HubError::Checksum`], and others that name the address; [`himacl_data::Error::Io`].
    pub fn fetch(&self, file: &RemoteFile, is_unwanted: &dyn Fn() -> bool) -> Result<File, Error> {
        let place = tempfile::tempfile().map_err(Error::io("make a temporary file for", &file.shown))?;
        let should_stop = || is_unwanted() || (self.should_stop)();
        let watch = Watch { observe: &|_| (), should_stop: &should_stop };
        tracing::info!("fetching {}", file.shown.display());
        file.transfer().fill_file(self.hub.http(), place, &file.shown, watch)
    }

    fn online(&self, address: &str) -> Result<(), HubError> {
        if self.hub.settings().offline { Err(HubError::OfflineAddress(shown(address))) } else { Ok(()) }
    }
}

/// `<ADDRESS>; rel="next"` of a list that goes on.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = header(headers, "link")?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    Some(next.split_once('<')?.1.split_once('>')?.0.to_owned())
}
