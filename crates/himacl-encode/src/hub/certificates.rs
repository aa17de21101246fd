//! Whose certificates a server may show: those of the file that the user names, else the system's, else Mozilla's.

use crate::error::HubError;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

/// Where systems have them: Debian, Fedora, openSUSE, Alpine and macOS.
const SYSTEM: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];
/// Bytes of such a file; those of systems have less than one MiB.
const MOST_BYTES: u64 = 64 << 20;

/// The authorities to trust; `named` must be there and hold certificates.
pub(super) fn roots(named: Option<&Path>) -> Result<RootCerts, HubError> {
    if let Some(path) = named {
        let wrong = |reason: String| HubError::Certificates { path: path.to_path_buf(), reason };
        return match read(path).map_err(|error| wrong(error.to_string()))? {
            found if found.is_empty() => Err(wrong("it holds no certificate as PEM".to_owned())),
            found => Ok(RootCerts::from(found)),
        };
    }
    let system = SYSTEM.iter().filter_map(|path| read(Path::new(path)).ok()).find(|found| !found.is_empty());
    Ok(system.map_or(RootCerts::WebPki, RootCerts::from))
}

/// The certificates of a file; what else is in it is passed over.
fn read(path: &Path) -> std::io::Result<Vec<Certificate<'static>>> {
    if !path.metadata()?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut pem = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut pem)?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    Ok(parse_pem(&pem).filter_map(certificate).collect())
}

/// Whether a connection failed because of what the server showed of itself: another attempt would fail, too.
pub(super) fn is_refusal(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Tls(_) | ureq::Error::Pem(_) | ureq::Error::Rustls(_) => true,
        ureq::Error::Io(error) => {
            let inner = error.get_ref().map(ToString::to_string).unwrap_or_default();
            ["peer certificate", "fatal alert", "corrupt message"].iter().any(|sign| inner.contains(sign))
        }
        _ => false,
    }
}
