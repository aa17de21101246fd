//! Signatures of requests, version 4, as Amazon documents them ("Authenticating Requests: Using the Authorization Header").

use super::super::text::hexadecimal;
use super::settings::S3Keys;
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

/// SHA-256 of nothing, which is what requests for objects carry.
pub(super) const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What is signed.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// Escaped.
    pub(super) path: &'a str,
    /// Escaped, sorted by name, each name with a value.
    pub(super) query: &'a str,
    /// Sorted by name, names in small letters.
    pub(super) headers: &'a [(&'static str, String)],
}

/// The header `Authorization` of a request without a body, at a time as [`time_of`] writes it.
pub(super) fn authorization(keys: &S3Keys, region: &str, time: &str, request: &Request<'_>) -> String {
    let Request { method, path, query, headers } = request;
    let lines = headers.iter().fold(String::new(), |lines, (name, value)| lines + name + ":" + value + "\n");
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{EMPTY_SHA256}");
    let date = &time[..8];
    let scope = format!("{date}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hexadecimal(&Sha256::digest(canonical)));
    let mut key = hmac(format!("AWS4{}", keys.secret).as_bytes(), date);
    for part in [region, "s3", "aws4_request", &text] {
        key = hmac(&key, part);
    }
    let (id, signature) = (&keys.id, hexadecimal(&key));
    format!("AWS4-HMAC-SHA256 Credential={id}/{scope},SignedHeaders={names},Signature={signature}")
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    const BLOCK: usize = 64;
    let short = if key.len() > BLOCK { Sha256::digest(key).to_vec() } else { key.to_vec() };
    let padded =
        |pad: u8| -> Vec<u8> { (0..BLOCK).map(|place| short.get(place).copied().unwrap_or_default() ^ pad).collect() };
    let inner = Sha256::new_with_prefix(padded(0x36)).chain_update(text).finalize();
    Sha256::new_with_prefix(padded(0x5c)).chain_update(inner).finalize().into()
}

/// A time as `20130524T000000Z`.
pub(super) fn time_of(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, of which the leap day is the last, in eras of 400 (Howard Hinnant's civil_from_days).
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * era + year + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// The examples of Amazon's own documentation ("Signature Calculations for the Authorization Header").
    #[test]
    fn signatures_are_those_of_the_documentation() {
        let keys = S3Keys {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            session: None,
        };
        let time = "20130524T000000Z";
        let sign = |path: &str, query: &str, range: Option<&str>| {
            let mut headers = vec![("host", "examplebucket.s3.amazonaws.com".to_owned())];
            headers.extend(range.map(|range| ("range", range.to_owned())));
            headers.extend([("x-amz-content-sha256", EMPTY_SHA256.to_owned()), ("x-amz-date", time.to_owned())]);
            authorization(&keys, "us-east-1", time, &Request { method: "GET", path, query, headers: &headers })
        };
        let start =
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;";
        let object = sign("/test.txt", "", Some("bytes=0-9"));
        assert_eq!(
            object.strip_prefix(start),
            Some(
                "range;x-amz-content-sha256;x-amz-date,\
                 Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
            )
        );
        let lifecycle = sign("/", "lifecycle=", None);
        assert!(
            lifecycle.ends_with("=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            "{lifecycle}"
        );
        let list = sign("/", "max-keys=2&prefix=J", None);
        assert!(list.ends_with("=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"), "{list}");
    }

    /// RFC 4231, cases 2 and 6.
    #[test]
    fn codes_of_messages() {
        let code = hmac(b"Jefe", "what do ya want for nothing?");
        assert!(hexadecimal(&code).starts_with("5bdcc146bf60754e6a042426089575c7"));
        let code = hmac(&[0xaa; 131], "Test Using Larger Than Block-Size Key - Hash Key First");
        assert!(hexadecimal(&code).starts_with("60e431591ee0b67f0d8a26aacbf5b77f"));
    }

    #[test]
    fn times_of_the_calendar() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_369_353_600, "20130524T000000Z"),
            (1_798_761_599, "20261231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(time_of(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
