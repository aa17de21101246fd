//! Objects in buckets of S3 and of stores that speak its protocol, by `s3://BUCKET/KEY`: where they are, and who asks.

mod list;
mod refusal;
mod settings;
mod sign;

pub(super) use list::read_list;
pub(super) use refusal::{Asker, Said};
pub use settings::{S3Keys, S3Settings};

use super::text::SCHEME;
use crate::error::HubError;
use sign::{EMPTY_SHA256, Request, authorization, time_of};
use std::time::SystemTime;
use ureq::http::{Method, Uri};

/// A request as the store wants it.
pub(super) struct Prepared {
    pub(super) uri: Uri,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) asker: Asker,
}

/// What `place`, a bucket with an escaped key or query, means under these settings.
///
/// # Errors
/// [`HubError::Bucket`] for settings that cannot be used.
pub(super) fn prepare(
    settings: &S3Settings,
    place: &str,
    method: &Method,
    range: Option<&str>,
) -> Result<Prepared, HubError> {
    let wrong = |reason: &str, hint: &str| HubError::Bucket {
        address: format!("{SCHEME}{}", place.split('/').next().unwrap_or_default()),
        reason: reason.to_owned(),
        hint: hint.to_owned(),
    };
    let uri: Uri = settings.address(place).parse().map_err(|_| {
        wrong(
            "the address of the store cannot be used",
            "AWS_ENDPOINT_URL looks like https://host:9000, and AWS_REGION like eu-central-1",
        )
    })?;
    let host = uri.authority().map_or("", |authority| authority.as_str()).to_owned();
    let mut headers = vec![("host", host)];
    let asker = Asker { region: settings.region.clone(), is_signed: settings.keys.is_some() };
    headers.extend(range.map(|range| ("range", range.to_owned())));
    if let Some(keys) = &settings.keys {
        if keys.id.is_empty() || keys.secret.is_empty() {
            return Err(wrong(
                "one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set without the other",
                "set both; `aws configure export-credentials --format env` prints those of a profile",
            ));
        }
        let time = time_of(SystemTime::now());
        headers.push(("x-amz-content-sha256", EMPTY_SHA256.to_owned()));
        headers.push(("x-amz-date", time.clone()));
        headers.extend(keys.session.clone().map(|session| ("x-amz-security-token", session)));
        let request = Request {
            method: method.as_str(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers: &headers,
        };
        let authorization = authorization(keys, &settings.region, &time, &request);
        headers.push(("authorization", authorization));
    }
    Ok(Prepared { uri, headers, asker })
}
