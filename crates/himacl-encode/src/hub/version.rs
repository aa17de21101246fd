//! What of an answer tells which content it is about.

use super::http::{Answer, Failure, header};
use super::text::shown;
use crate::error::HubError;
use ureq::http::{HeaderMap, StatusCode};

/// What names a version of a file.
pub(super) fn tag(headers: &HeaderMap) -> Option<String> {
    header(headers, "etag").map(|etag| plain(&etag)).or_else(|| header(headers, "last-modified"))
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
