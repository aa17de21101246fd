//! The environment variables that all programs for S3 know.

use super::super::text::without_user;

/// Where buckets are and who asks for their objects.
///
/// | variable | meaning | without it |
/// |---|---|---|
/// | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` | who asks | requests are not signed: for public buckets |
/// | `AWS_SESSION_TOKEN` | the third part of credentials that expire | none |
/// | `AWS_REGION`, `AWS_DEFAULT_REGION` | the region of the bucket | `us-east-1` |
/// | `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` | another store than Amazon's | Amazon's |
/// | `HIMACL_STORE_SCHEME` | another scheme, such as `gs`, whose addresses that store answers for | `s3` alone |
/// | `AWS_SKIP_SIGNATURE` | `true`: requests are not signed, whatever credentials there are | off |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// Another scheme, such as `gs`, of addresses that the endpoint answers for.
    pub scheme: Option<String>,
    /// Address of the store without a trailing slash; Amazon's where there is none.
    pub endpoint: Option<String>,
    /// The region that requests go to and are signed for.
    pub region: String,
    /// Who asks; nobody in particular where there is nothing.
    pub keys: Option<S3Keys>,
}

/// Credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Keys {
    /// The name of the key.
    pub id: String,
    /// The key.
    pub secret: String,
    /// What shows that the two were lent.
    pub session: Option<String>,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self { scheme: None, endpoint: None, region: "us-east-1".to_owned(), keys: None }
    }
}

impl std::fmt::Debug for S3Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("S3Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

impl S3Settings {
    /// The settings that variables, given by a function that leaves out empty ones, ask for.
    pub(in super::super) fn from_variables(set: &dyn Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&str; 2]| {
            names.iter().find_map(|name| set(name)).map(|value| value.trim().trim_end_matches('/').to_owned())
        };
        let text = |name: &str| set(name).map(|value| value.trim().to_owned());
        let (id, secret) = (text("AWS_ACCESS_KEY_ID"), text("AWS_SECRET_ACCESS_KEY"));
        let is_skipped =
            text("AWS_SKIP_SIGNATURE").is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
        // One without the other is a mistake, which the first request names.
        let keys = ((id.is_some() || secret.is_some()) && !is_skipped).then(|| S3Keys {
            id: id.unwrap_or_default(),
            secret: secret.unwrap_or_default(),
            session: text("AWS_SESSION_TOKEN"),
        });
        Self {
            scheme: text("HIMACL_STORE_SCHEME"),
            endpoint: first(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]).map(|address| without_user(&address)),
            region: first(["AWS_REGION", "AWS_DEFAULT_REGION"]).unwrap_or(Self::default().region),
            keys,
        }
    }

    /// The address of a bucket with an escaped key or a query.
    pub(super) fn address(&self, place: &str) -> String {
        if let Some(endpoint) = &self.endpoint {
            return format!("{endpoint}/{place}");
        }
        let region = &self.region;
        let host = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let (bucket, rest) = place.split_once('/').unwrap_or((place, ""));
        // Certificates are for one name before the store's; buckets of the first days have capital letters.
        if bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            format!("https://{bucket}.s3.{region}.{host}/{rest}")
        } else {
            format!("https://s3.{region}.{host}/{place}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> S3Settings {
        S3Settings::from_variables(&|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_are_those_of_other_programs() {
        assert_eq!(settings(&[]), S3Settings::default());
        let keys = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "word\n"), ("AWS_SESSION_TOKEN", "lent")];
        let found = settings(&keys);
        let expected = S3Keys { id: "AKIA".to_owned(), secret: "word".to_owned(), session: Some("lent".to_owned()) };
        assert_eq!(found.keys, Some(expected));
        assert!(!format!("{found:?}").contains("word"), "a key must not get into logs");
        let skipped = [keys.as_slice(), &[("AWS_SKIP_SIGNATURE", "true")]].concat();
        assert_eq!(settings(&skipped).keys, None);
        let region = [("AWS_DEFAULT_REGION", "eu-west-1"), ("AWS_REGION", "auto")];
        assert_eq!((settings(&region[..1]).region.as_str(), settings(&region).region.as_str()), ("eu-west-1", "auto"));
        let endpoint = [("AWS_ENDPOINT_URL", "http://a:1/"), ("AWS_ENDPOINT_URL_S3", "http://b:2")];
        assert_eq!(settings(&endpoint[..1]).endpoint.as_deref(), Some("http://a:1"));
        assert_eq!(settings(&endpoint).endpoint.as_deref(), Some("http://b:2"));
    }

    #[test]
    fn buckets_have_addresses() {
        let of = |variables: &[(&str, &str)], place: &str| settings(variables).address(place);
        assert_eq!(of(&[], "data/a/b%20c.tar"), "https://data.s3.us-east-1.amazonaws.com/a/b%20c.tar");
        assert_eq!(of(&[], "data.org/a"), "https://s3.us-east-1.amazonaws.com/data.org/a");
        assert_eq!(of(&[("AWS_REGION", "cn-north-1")], "b/a"), "https://b.s3.cn-north-1.amazonaws.com.cn/a");
        assert_eq!(of(&[("AWS_ENDPOINT_URL", "http://me:word@h:9000/s3")], "b/a"), "http://h:9000/s3/b/a");
    }
}
