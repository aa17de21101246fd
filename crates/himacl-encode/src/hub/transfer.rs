//! One file's content: streamed, resumed, checked.

use super::event::{Event, Watch};
use super::http::{Answer, Failure, Http, header, refused};
use crate::error::Error;
use crate::error::HubError;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use ureq::http::{Method, StatusCode};

const BUFFER_BYTES: usize = 1 << 18;

/// What is to be fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer<'a> {
    pub(super) repo: &'a str,
    pub(super) file: &'a str,
    pub(super) url: &'a str,
    /// Length that the content must have.
    pub(super) size: Option<u64>,
    /// SHA-256 that the content must have, in hexadecimal.
    pub(super) sha256: Option<&'a str>,
}

impl Transfer<'_> {
    /// Fetches the content to `partial`, going on with what is there, and renames it to `complete`.
    pub(super) fn run(&self, http: &Http, partial: &Path, complete: &Path, watch: Watch<'_>) -> Result<(), Error> {
        let mut restarted = false;
        loop {
            let resumed = fs::metadata(partial).is_ok_and(|found| found.len() > 0);
            let mut furthest = 0;
            http.retry(watch.should_stop, |attempt| self.attempt(http, partial, attempt, &mut furthest, watch))?;
            match self.verify(partial) {
                Ok(()) => break,
                Err(error @ Error::Hub(HubError::Checksum { .. })) => {
                    fs::remove_file(partial).map_err(Error::io("remove", partial))?;
                    // The part that was there before may have been damaged: one attempt from the start tells.
                    if !resumed || restarted {
                        return Err(error);
                    }
                    restarted = true;
                }
                Err(error) => return Err(error),
            }
        }
        let file = File::options().append(true).open(partial).map_err(Error::io("write", partial))?;
        file.sync_all().map_err(Error::io("write", partial))?;
        fs::rename(partial, complete).map_err(Error::io("write", complete))
    }

    /// One request for what is missing; `furthest` is what any attempt has got to.
    fn attempt(
        &self,
        http: &Http,
        partial: &Path,
        attempt: u32,
        furthest: &mut u64,
        watch: Watch<'_>,
    ) -> Result<(), Failure> {
        let write = |error| Failure::from(Error::io("write", partial)(error));
        let mut file = File::options().create(true).append(true).open(partial).map_err(write)?;
        let mut length = file.metadata().map_err(write)?.len();
        if self.size.is_some_and(|size| length > size) {
            file.set_len(0).map_err(write)?;
            length = 0;
        }
        (watch.observe)(Event::Started { file: self.file, done: length, total: self.size });
        if self.size == Some(length) {
            return Ok(());
        }
        let mut answer = http.send(&Method::GET, self.url, Some(length), attempt, |_| false)?;
        match answer.status {
            StatusCode::OK => {
                // The server does not know ranges, or sends another part than was asked for: from the start.
                if length > 0 {
                    file.set_len(0).map_err(write)?;
                    length = 0;
                    (watch.observe)(Event::Started { file: self.file, done: 0, total: self.size });
                }
            }
            StatusCode::PARTIAL_CONTENT if starts_at(&answer, length) => {}
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if length > 0 => {
                file.set_len(0).map_err(write)?;
                let error = HubError::Protocol { url: answer.url, what: "the range asked for" };
                return Err(Failure::Passing { error, wait: None, progress: false });
            }
            _ => {
                let (repo, file) = (self.repo.to_owned(), self.file.to_owned());
                let missing = |status, _: &str, _: &str| {
                    (status == 404).then(|| HubError::NoFile { repo, revision: "this".to_owned(), file })
                };
                return Err(refused(answer, attempt, missing));
            }
        }
        let announced = header(&answer.headers, "content-length").and_then(|length| length.parse::<u64>().ok());
        let expected = self.size.or(announced.map(|rest| length + rest));
        let ended = self.copy(&mut answer, &mut file, partial, &mut length, expected, watch)?;
        let failure = match (expected, ended) {
            (Some(expected), _) if length == expected => return Ok(()),
            (None, None) => return Ok(()),
            (Some(expected), None) => HubError::Truncated { url: answer.url, got: length, expected, attempts: attempt },
            (_, Some(reason)) => HubError::Network { url: answer.url, reason, attempts: attempt },
        };
        // A server that ignores ranges and always cuts the body gets no further, however much it sends.
        let progress = length > *furthest;
        *furthest = length.max(*furthest);
        Err(Failure::Passing { error: failure, wait: None, progress })
    }

    /// Copies the body to the file; a connection that breaks is told as text.
    fn copy(
        &self,
        answer: &mut Answer,
        file: &mut File,
        partial: &Path,
        length: &mut u64,
        expected: Option<u64>,
        watch: Watch<'_>,
    ) -> Result<Option<String>, Error> {
        let mut reader = answer.body.as_reader();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            if (watch.should_stop)() {
                return Err(HubError::Interrupted { repo: self.repo.to_owned(), file: self.file.to_owned() }.into());
            }
            let got = match reader.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(got) => got,
                Err(error) => return Ok(Some(error.to_string())),
            };
            // More than was announced would never match: the rest is not worth fetching.
            let room = expected.map_or(got, |expected| got.min(expected.saturating_sub(*length) as usize));
            file.write_all(&buffer[..room]).map_err(Error::io("write", partial))?;
            *length += room as u64;
            (watch.observe)(Event::Advanced(room as u64));
            if room < got {
                return Ok(None);
            }
        }
    }

    fn verify(&self, partial: &Path) -> Result<(), Error> {
        let Some(expected) = self.sha256 else { return Ok(()) };
        let got = files_sha256(&[partial])?;
        if got.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        Err(HubError::Checksum { url: self.url.to_owned(), got, expected: expected.to_owned() }.into())
    }
}

/// SHA-256 of the content of files, one after the other, in hexadecimal.
///
/// # Errors
/// [`himacl_data::Error::Io`].
pub fn files_sha256(paths: &[impl AsRef<Path>]) -> Result<String, Error> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    for path in paths.iter().map(AsRef::as_ref) {
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        loop {
            match file.read(&mut buffer).map_err(Error::io("read", path))? {
                0 => break,
                got => digest.update(&buffer[..got]),
            }
        }
    }
    Ok(hexadecimal(&digest.finalize()))
}

/// Bytes in hexadecimal.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn starts_at(answer: &Answer, start: u64) -> bool {
    let range = header(&answer.headers, "content-range").unwrap_or_default();
    let first = range.strip_prefix("bytes ").and_then(|rest| rest.split('-').next()?.trim().parse().ok());
    first == Some(start)
}
