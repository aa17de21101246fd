//! Addresses and bytes as text.

use std::fmt::Write as _;

/// What the addresses of objects begin with.
pub(crate) const SCHEME: &str = "s3://";

/// An address without a user's name and password.
pub(super) fn without_user(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => address.to_owned(),
    }
}

/// An address without what is only for the server: user, password, query.
///
/// Keys of objects, which are escaped in addresses alone, are shown as they are.
pub(crate) fn shown(url: &str) -> String {
    let plain = without_user(url);
    let plain = plain.split(['?', '#']).next().unwrap_or_default();
    if plain.starts_with(SCHEME) { unescape(plain) } else { plain.to_owned() }
}

/// A path for an address.
pub(crate) fn escape(path: &str) -> String {
    path.split('/').map(escape_all).collect::<Vec<_>>().join("/")
}

/// One segment of a path for an address.
pub(super) fn escape_all(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push_str(&hexadecimal(&[byte]).to_ascii_uppercase());
        }
        escaped
    })
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

/// Bytes in hexadecimal.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
