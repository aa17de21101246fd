//! What of an answer tells which content it is about.

use super::http::{Answer, Failure, header};
use super::s3;
use super::settings::without_user;
use crate::error::HubError;
use ureq::http::{HeaderMap, StatusCode};

/// What names a version of a file.
pub(super) fn tag(headers: &HeaderMap) -> Option<String> {
    header(headers, "etag").map(|etag| plain(&etag)).or_else(|| header(headers, "last-modified"))
}

/// An address without what is only for the server: user, password, query.
///
/// Keys of objects, which are escaped in addresses alone, are shown as they are.
pub(crate) fn shown(url: &str) -> String {
    let plain = without_user(url);
    let plain = plain.split(['?', '#']).next().unwrap_or_default();
    if plain.starts_with(s3::SCHEME) { unescape(plain) } else { plain.to_owned() }
}

/// An address without its escapes; what is none stays.
fn unescape(address: &str) -> String {
    let mut bytes = Vec::with_capacity(address.len());
    let mut rest = address.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok()).flatten();
        let value = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(value.unwrap_or(byte));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether an answer is about another content than the one that was described.
pub(super) fn is_changed(answer: &Answer, expected: Option<&str>, size: Option<u64>) -> bool {
    let other_tag = expected.is_some_and(|expected| tag(&answer.headers).is_some_and(|got| got != expected));
    let whole = match answer.status {
        StatusCode::OK => header(&answer.headers, "content-length").and_then(|length| length.parse::<u64>().ok()),
        _ => header(&answer.headers, "content-range").and_then(|range| range.rsplit('/').next()?.parse().ok()),
    };
    other_tag || size.is_some_and(|size| whole.is_some_and(|whole| whole != size))
}

/// An attempt that found another content than the one described.
pub(super) fn changed(url: &str) -> Failure {
    HubError::Changed { url: shown(url) }.into()
}

/// An `ETag` without its quotes and weakness.
pub(super) fn plain(etag: &str) -> String {
    etag.trim_start_matches("W/").trim_matches('"').to_owned()
}
