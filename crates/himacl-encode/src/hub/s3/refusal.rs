//! Why a store refuses a request, in words that help.

use super::super::text::SCHEME;
use super::list::text;
use crate::error::HubError;

/// Who asked a store, and where.
#[derive(Debug, Clone)]
pub(in super::super) struct Asker {
    pub(in super::super) region: String,
    pub(in super::super) is_signed: bool,
}

/// What an answer says of itself.
#[derive(Debug, Default)]
pub(in super::super) struct Said {
    pub(in super::super) code: String,
    pub(in super::super) message: String,
    /// The region that the bucket is in.
    pub(in super::super) region: Option<String>,
}

impl Said {
    /// Reads the body of a refusal.
    pub(in super::super) fn of(xml: &str) -> Option<Self> {
        let code = text(xml, "Code")?;
        Some(Self { code, message: text(xml, "Message").unwrap_or_default(), region: text(xml, "Region") })
    }
}

const EXPORT: &str = "`aws configure export-credentials --format env` prints those of a profile";

impl Asker {
    /// Why an object, or the list of a bucket, cannot be had.
    pub(in super::super) fn explain(&self, address: &str, status: u16, said: &Said) -> Option<HubError> {
        let bucket = address.strip_prefix(SCHEME).and_then(|place| place.split('/').next()).unwrap_or_default();
        let region = said.region.as_deref().filter(|&region| region != self.region);
        let (reason, hint) = match (said.code.as_str(), status) {
            (_, 300..=400) if let Some(region) = region => (
                format!("bucket `{bucket}` is in region {region}, asked was {}", self.region),
                format!("set AWS_REGION={region}"),
            ),
            ("NoSuchBucket", _) => {
                (format!("there is no bucket `{bucket}`"), "check its name, and AWS_ENDPOINT_URL for another store than Amazon's".to_owned())
            }
            ("NoSuchKey" | "", 404) => (
                "there is no such object".to_owned(),
                "capital and small letters differ; a pattern, such as 's3://BUCKET/data/*.tar', finds what is there".to_owned(),
            ),
            ("ExpiredToken" | "TokenRefreshRequired" | "InvalidToken", _) => (
                "the credentials have expired, or their session token is another's".to_owned(),
                format!("set new ones; {EXPORT}; a resumed run goes on from there"),
            ),
            ("InvalidAccessKeyId", _) => {
                ("the store does not know the key".to_owned(), format!("check AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL; {EXPORT}"))
            }
            ("SignatureDoesNotMatch", _) => {
                ("the signature does not match".to_owned(), "check AWS_SECRET_ACCESS_KEY".to_owned())
            }
            ("RequestTimeTooSkewed", _) => {
                ("this machine's clock and the store's differ".to_owned(), "set the clock".to_owned())
            }
            ("InvalidObjectState", _) => {
                ("the object is archived".to_owned(), "restore it first (`aws s3api restore-object`)".to_owned())
            }
            (_, 401 | 403) if self.is_signed => (
                "access is denied".to_owned(),
                "these credentials need s3:GetObject, and s3:ListBucket for patterns; where a bucket may not be listed, objects that \
                 are not there are denied, too"
                    .to_owned(),
            ),
            (_, 401 | 403) => (
                "access is denied to a request without credentials".to_owned(),
                format!("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; {EXPORT}"),
            ),
            _ => return None,
        };
        let reason = match (said.code.as_str(), said.message.as_str()) {
            ("", _) => reason,
            (code, "") => format!("{reason} ({code})"),
            (code, message) => format!("{reason} ({code}: \"{message}\")"),
        };
        Some(HubError::Bucket { address: address.to_owned(), reason, hint })
    }
}
