//! One file's content: streamed, resumed, checked.

use super::aside::{next, pieces};
use super::cache::open_own;
use super::event::{Event, Watch};
use super::http::{Answer, Failure, Http, header, refused};
use super::text::hexadecimal;
use super::version::{changed, is_changed};
use crate::error::Error;
use crate::error::HubError;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use ureq::Body;
use ureq::http::{Method, StatusCode};

const BUFFER_BYTES: usize = 1 << 18;
/// So much of a file is looked at for whether it is a web page.
const PAGE_BYTES: u64 = 512;

/// What is to be fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer<'a> {
    pub(super) repo: &'a str,
    pub(super) file: &'a str,
    pub(super) url: &'a str,
    /// Length that the content must have.
    pub(super) size: Option<u64>,
    /// What names the content: the SHA-256 of a large file, Git's sum of a small one; a mirror may have other names.
    ///
    /// Nothing where no sum is known; then what comes is not looked at.
    pub(super) etag: &'a str,
    /// What the server called the version of the file that is meant, where that is no sum.
    pub(super) tag: Option<&'a str>,
}

/// The part of a content that has come.
pub(super) struct Partial<'a> {
    pub(super) file: File,
    pub(super) path: &'a Path,
    /// Where in the content it ends.
    pub(super) length: u64,
    /// What any attempt has got to.
    pub(super) furthest: u64,
}

impl Partial<'_> {
    fn clear(&mut self) -> Result<(), Error> {
        self.length = 0;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(Error::io("write", self.path))
    }
}

impl Transfer<'_> {
    /// Fetches the content to `path`, going on with what is there, and renames it to `complete`.
    pub(super) fn run(&self, http: &Http, path: &Path, complete: &Path, watch: Watch<'_>) -> Result<(), Error> {
        let file = open_own(path)?;
        let file = self.fill(http, file, path, watch)?.map_err(|refusal| {
            let removed = fs::remove_file(path).map_err(Error::io("remove", path));
            removed.err().unwrap_or_else(|| refusal.into())
        })?;
        file.sync_all().map_err(Error::io("write", path))?;
        fs::rename(path, complete).map_err(Error::io("write", complete))
    }

    /// Fetches the content to a file that is empty, and hands it back at its beginning; `path` is what to call it.
    pub(super) fn fill_file(&self, http: &Http, file: File, path: &Path, watch: Watch<'_>) -> Result<File, Error> {
        let mut file = self.fill(http, file, path, watch)??;
        file.rewind().map_err(Error::io("read", path))?;
        Ok(file)
    }

    /// Completes a file, or says why what has come is not the content.
    fn fill(&self, http: &Http, file: File, path: &Path, watch: Watch<'_>) -> Result<Result<File, HubError>, Error> {
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let mut partial = Partial { file, path, length, furthest: 0 };
        // The part that was there before may be damaged: an attempt from the start tells.
        let mut again = length > 0;
        loop {
            http.retry(watch.should_stop, |attempt| self.attempt(http, &mut partial, attempt, watch))?;
            match self.verify(&mut partial)? {
                None => return Ok(Ok(partial.file)),
                Some(_) if again => partial.clear()?,
                Some(refusal) => return Ok(Err(refusal)),
            }
            again = false;
        }
    }

    /// One request for what is missing.
    fn attempt(&self, http: &Http, partial: &mut Partial<'_>, attempt: u32, watch: Watch<'_>) -> Result<(), Failure> {
        if self.size.is_some_and(|size| partial.length > size) {
            partial.clear()?;
        }
        let length = partial.length;
        (watch.observe)(Event::Started { file: self.file, done: length, total: self.size });
        if self.size == Some(length) {
            return Ok(());
        }
        let rest = (length > 0).then(|| format!("bytes={length}-"));
        let answer = http.send(&Method::GET, self.url, rest.as_deref(), attempt, watch.should_stop, |_| false)?;
        if self.repo.is_empty() && answer.status.is_success() && is_changed(&answer, self.tag, self.size) {
            return Err(changed(self.url));
        }
        match answer.status {
            StatusCode::OK => {
                // The server does not know ranges, or sends another part than was asked for: from the start.
                if length > 0 {
                    partial.clear()?;
                    (watch.observe)(Event::Started { file: self.file, done: 0, total: self.size });
                }
            }
            StatusCode::PARTIAL_CONTENT if starts_at(&answer, length) => {}
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if length > 0 => {
                partial.clear()?;
                let error = HubError::Protocol { url: answer.url, what: "the range asked for" };
                return Err(Failure::Passing { error, wait: None, progress: false });
            }
            _ => {
                let (repo, file) = (self.repo.to_owned(), self.file.to_owned());
                let missing = |status, _: &str, _: &str| {
                    (status == 404 && !self.repo.is_empty()).then(|| HubError::NoFile {
                        repo,
                        revision: "this".to_owned(),
                        file,
                    })
                };
                return Err(refused(answer, attempt, missing));
            }
        }
        let announced = header(&answer.headers, "content-length").and_then(|length| length.parse::<u64>().ok());
        let expected = self.size.or(announced.map(|rest| partial.length + rest));
        let ended = copy(answer.body, partial, expected, watch)?;
        let got = partial.length;
        let error = match (expected, ended) {
            (Some(expected), _) if got == expected => return Ok(()),
            (None, None) => return Ok(()),
            (Some(expected), None) => HubError::Truncated { url: answer.url, got, expected, attempts: attempt },
            (_, Some(reason)) => HubError::Network { url: answer.url, reason, attempts: attempt },
        };
        // A server that ignores ranges and always cuts the body gets no further, however much it sends.
        let progress = got > partial.furthest;
        partial.furthest = got.max(partial.furthest);
        Err(Failure::Passing { error, wait: None, progress })
    }

    /// Why the content is not what was announced, `None` if it is, as far as its name tells.
    fn verify(&self, partial: &mut Partial<'_>) -> Result<Option<HubError>, Error> {
        if self.etag.is_empty() {
            return Ok(None);
        }
        let read = |error| Error::io("read", partial.path)(error);
        let mut start = Vec::new();
        partial.file.rewind().and_then(|()| (&partial.file).take(PAGE_BYTES).read_to_end(&mut start)).map_err(read)?;
        partial.file.rewind().map_err(read)?;
        let is_hexadecimal = self.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        let got = match self.etag.len() {
            64 if is_hexadecimal => Some(digest(Sha256::new(), &mut partial.file)),
            40 if is_hexadecimal => {
                let header = format!("blob {}\0", partial.length);
                Some(digest(Sha1::new_with_prefix(header), &mut partial.file))
            }
            _ => None,
        };
        let got = got.transpose().map_err(read)?;
        if got.as_ref().is_some_and(|got| got.eq_ignore_ascii_case(self.etag)) {
            return Ok(None);
        }
        let url = self.url.to_owned();
        // No file that describes an encoder begins so.
        if start.trim_ascii_start().starts_with(b"<") {
            return Ok(Some(HubError::Page { url }));
        }
        Ok(got.map(|got| HubError::Checksum { url, got, expected: self.etag.to_owned() }))
    }
}

/// Copies the body to the file; a connection that breaks is told as text.
pub(super) fn copy(
    body: Body,
    partial: &mut Partial<'_>,
    expected: Option<u64>,
    watch: Watch<'_>,
) -> Result<Option<String>, Failure> {
    let pieces = pieces(body.into_reader(), BUFFER_BYTES);
    while let Some(piece) = next(&pieces, watch.should_stop)? {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return Ok(Some(error.to_string())),
        };
        // More than was announced would never match: the rest is not worth fetching.
        let got = piece.len();
        let room = expected.map_or(got, |expected| got.min(expected.saturating_sub(partial.length) as usize));
        partial.file.write_all(&piece[..room]).map_err(Error::io("write", partial.path))?;
        partial.length += room as u64;
        (watch.observe)(Event::Advanced(room as u64));
        if room < got {
            break;
        }
    }
    Ok(None)
}

/// SHA-256 of the content of files, one after the other, in hexadecimal.
///
/// # Errors
/// [`himacl_data::Error::Io`].
pub fn files_sha256(paths: &[impl AsRef<Path>]) -> Result<String, Error> {
    let mut all = Sha256::new();
    for path in paths.iter().map(AsRef::as_ref) {
        File::open(path).and_then(|mut file| feed(&mut all, &mut file)).map_err(Error::io("read", path))?;
    }
    Ok(hexadecimal(&all.finalize()))
}

/// The digest with the rest of a file added, in hexadecimal.
fn digest<D: Digest>(mut digest: D, file: &mut File) -> io::Result<String> {
    feed(&mut digest, file)?;
    Ok(hexadecimal(&digest.finalize()))
}

fn feed(digest: &mut impl Digest, file: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            got => digest.update(&buffer[..got]),
        }
    }
}

/// Whether an answer is the part of a content that begins there.
pub(super) fn starts_at(answer: &Answer, start: u64) -> bool {
    let range = header(&answer.headers, "content-range").unwrap_or_default();
    let first = range.strip_prefix("bytes ").and_then(|rest| rest.split('-').next()?.trim().parse().ok());
    first == Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told() {
        let path = Path::new("/dev/full");
        let Ok(file) = File::options().write(true).open(path) else { return };
        let mut partial = Partial { file, path, length: 0, furthest: 0 };
        let body = Body::builder().data(vec![7; 1000]);
        let watch = Watch { observe: &|_| (), should_stop: &|| false };
        let Err(Failure::Final(error)) = copy(body, &mut partial, None, watch) else { panic!("there is no room") };
        let error = error.to_string();
        assert!(error.starts_with("cannot write") && error.contains("\nhint: free some space"), "{error}");
    }
}
