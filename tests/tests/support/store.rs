//! What the server of the tests does as a store of objects: signatures, lists, refusals. Signatures are computed anew from the
//! lines of the request, by the steps of Amazon's documentation.

use super::hub::{FakeHub, hexadecimal, sha256};
use himacl::hub::{HubSettings, Proxies, S3Keys, S3Settings};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// The bucket that wants signed requests, one that anybody may read, one of another region.
pub(crate) const PRIVATE: &str = "shards";
pub(crate) const PUBLIC: &str = "open.data";
pub(crate) const AWAY: &str = "away";
pub(crate) const REGION: &str = "eu-test-1";
pub(crate) const OTHER_REGION: &str = "us-test-2";
pub(crate) const ID: &str = "AKIDTEST";
pub(crate) const SECRET: &str = "a/secret+key";
/// The session token that belongs to the key; another one has expired.
pub(crate) const SESSION: &str = "lent==";

/// Settings that the store of a server takes.
pub(crate) fn settings(server: &FakeHub) -> S3Settings {
    let keys = S3Keys { id: ID.to_owned(), secret: SECRET.to_owned(), session: Some(SESSION.to_owned()) };
    S3Settings { scheme: None, endpoint: Some(server.store.clone()), region: REGION.to_owned(), keys: Some(keys) }
}

/// Settings of readers that reach the server as the Hub, and its store.
pub(crate) fn hub_settings(server: &FakeHub) -> HubSettings {
    HubSettings {
        endpoint: server.endpoint.clone(),
        cache: "/nonexistent".into(),
        token: Some("hf_secret".to_owned()),
        certificates: None,
        proxies: Proxies::default(),
        s3: settings(server),
        offline: false,
        retries: 3,
        first_wait: Duration::from_millis(1),
    }
}

type Answer = (u16, String, Vec<u8>);

fn refuse(status: u16, code: &str, more: &str) -> Answer {
    let body =
        format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>no &amp; no</Message>{more}</Error>");
    (status, String::new(), body.into_bytes())
}

/// The answer to a request of a bucket's list, or a refusal; or the name of the object that is asked for.
pub(super) fn answer(
    method: &str,
    target: &str,
    headers: &[String],
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<String, Answer> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    match bucket {
        AWAY => {
            let (_, _, body) = refuse(301, "PermanentRedirect", "");
            return Err((301, format!("x-amz-bucket-region: {OTHER_REGION}\r\n"), body));
        }
        PRIVATE => check(method, path, query, headers)?,
        PUBLIC if value(headers, "authorization").is_none() => {}
        PUBLIC => return Err(refuse(403, "AccessDenied", "")),
        _ => return Err(refuse(404, "NoSuchBucket", "")),
    }
    let key = decode(key);
    if key.is_empty() {
        return Err(list(query, files));
    }
    if files.contains_key(&key) { Ok(key) } else { Err(refuse(404, "NoSuchKey", "")) }
}

fn value<'a>(headers: &'a [String], name: &str) -> Option<&'a str> {
    let mut named =
        headers.iter().filter_map(|line| line.split_once(": ")).filter(|(key, _)| key.eq_ignore_ascii_case(name));
    let found = named.next().map(|(_, value)| value);
    assert!(named.next().is_none(), "`{name}` is there twice: {headers:?}");
    found
}

/// Refuses requests that are not signed with the key.
fn check(method: &str, path: &str, query: &str, headers: &[String]) -> Result<(), Answer> {
    let Some(authorization) = value(headers, "authorization") else { return Err(refuse(403, "AccessDenied", "")) };
    let fields = authorization.strip_prefix("AWS4-HMAC-SHA256 ").expect("signatures of version 4");
    let field = |name: &str| {
        let found = fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
        found.expect("a field of the signature")
    };
    let (id, scope) = field("Credential").split_once('/').unwrap();
    let [date, region, "s3", "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else { panic!("{scope}") };
    if region != REGION {
        return Err(refuse(400, "AuthorizationHeaderMalformed", &format!("<Region>{REGION}</Region>")));
    }
    if id != ID {
        return Err(refuse(403, "InvalidAccessKeyId", ""));
    }
    let signed: Vec<&str> = field("SignedHeaders").split(';').collect();
    for wanted in ["host", "x-amz-content-sha256", "x-amz-date"] {
        assert!(signed.contains(&wanted), "{wanted} is to be signed");
    }
    if value(headers, "x-amz-security-token").is_some_and(|token| token != SESSION) {
        return Err(refuse(400, "ExpiredToken", ""));
    }
    let mut query: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
    query.sort_unstable();
    let mut canonical = format!("{method}\n{path}\n{}\n", query.join("&"));
    for name in &signed {
        let _ = writeln!(canonical, "{name}:{}", value(headers, name).expect("a header that is signed").trim());
    }
    let content = value(headers, "x-amz-content-sha256").unwrap();
    let _ = write!(canonical, "\n{}\n{content}", signed.join(";"));
    let time = value(headers, "x-amz-date").unwrap();
    assert!(time.starts_with(date), "{time}");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let key = [date, region, "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| code(&key, part));
    let signature = hexadecimal(&code(&key, &text));
    if signature == field("Signature") { Ok(()) } else { Err(refuse(403, "SignatureDoesNotMatch", "")) }
}

/// HMAC-SHA256 with keys of a block at most.
fn code(key: &[u8], text: &str) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

/// `ListObjectsV2`, two objects to a page.
fn list(query: &str, files: &BTreeMap<String, Vec<u8>>) -> Answer {
    const PAGE: usize = 2;
    let field = |name: &str| {
        let found = query.split('&').filter_map(|field| field.split_once('=')).find(|(key, _)| *key == name);
        found.map(|(_, value)| decode(value))
    };
    assert_eq!(field("list-type").as_deref(), Some("2"));
    let prefix = field("prefix").unwrap_or_default();
    let first = field("continuation-token").map_or(0, |token| token.strip_prefix("from & ").unwrap().parse().unwrap());
    let inside: Vec<_> = files.iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
    let is_truncated = inside.len() > first + PAGE;
    let mut xml = format!("<ListBucketResult xmlns=\"x\"><Prefix>p</Prefix><IsTruncated>{is_truncated}</IsTruncated>");
    if is_truncated {
        let _ = write!(xml, "<NextContinuationToken>from &amp; {}</NextContinuationToken>", first + PAGE);
    }
    for (key, content) in inside.into_iter().skip(first).take(PAGE) {
        let (key, size, etag) = (key.replace('&', "&amp;"), content.len(), &sha256(content)[..20]);
        let _ = write!(xml, "<Contents><Key>{key}</Key><ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size></Contents>");
    }
    xml.push_str("<Contents><Key>data/folder.tar/</Key><Size>0</Size></Contents></ListBucketResult>");
    (200, String::new(), xml.into_bytes())
}

fn decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}
