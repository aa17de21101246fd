//! Pictures as tables and objects tell of them: by a path, or by their bytes, which text holds as base64.

use super::decode::is_picture;
use super::json::field;
use super::location::Location;
use super::sample::{ImageSource, Sample};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokenizers::NormalizedString;

/// As others write it: what fills up the end may be there or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// So many characters tell a picture from a path; all pictures have more.
const HEAD: usize = 64;

/// A picture in a field of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Picture {
    Path(String),
    Bytes(Vec<u8>),
}

impl Picture {
    /// What a text holds: base64 (with the letters of file names or without) of what begins as a picture, an address with `data:`, or
    /// else a path.
    pub(super) fn of(text: &str) -> Self {
        if let Some((_, data)) = text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
            return Self::Bytes(decode(letters(data)).unwrap_or_default());
        }
        let head: Vec<u8> = letters(text).take(HEAD).collect();
        let head = decode(head.into_iter()).filter(|head| text.len() >= HEAD && is_picture(head));
        // What is no base64 further on is a broken picture, and still no path.
        head.map_or_else(|| Self::Path(text.to_owned()), |head| Self::Bytes(decode(letters(text)).unwrap_or(head)))
    }

    /// What an object tells: `bytes`, as text or as numbers, or a path by one of the names.
    pub(super) fn in_object(object: &Value, names: &[&str]) -> Option<Self> {
        let bytes = match field(object, "bytes") {
            Some(Value::String(text)) => decode(letters(text)),
            Some(Value::Array(bytes)) => bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok()).collect(),
            _ => None,
        };
        if let Some(bytes) = bytes.filter(|bytes: &Vec<u8>| !bytes.is_empty()) {
            return Some(Self::Bytes(bytes));
        }
        let path = names.iter().find_map(|name| field(object, name)?.as_str())?;
        Some(Self::of(path))
    }

    /// Its path, where it has one.
    pub(super) fn path(&self) -> Option<&str> {
        match self {
            Self::Path(path) => Some(path),
            Self::Bytes(_) => None,
        }
    }

    /// Makes it the picture of a sample.
    pub(super) fn place(self, sample: &mut Sample, table: &Location) {
        match self {
            Self::Bytes(bytes) => sample.image = Some(ImageSource::Bytes(bytes)),
            Self::Path(path) => {
                sample.image = resolve(table, &path);
                sample.image_path = Some(path);
            }
        }
    }
}

/// The characters of base64, without lines' ends.
fn letters(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    })
}

fn decode(letters: impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    BASE64.decode(letters.collect::<Vec<u8>>()).ok()
}

/// Where a path in a table leads: relative to the table's folder, or, where there is no such file, as it stands. Paths in a
/// table that is elsewhere lead nowhere: its author has no say in what is read here.
fn resolve(table: &Location, path: &str) -> Option<ImageSource> {
    if table.is_elsewhere() {
        return None;
    }
    let folder = table.parent().unwrap_or(Path::new(""));
    // Some systems write letters with marks as one character, some as two.
    let others = [composed(path), decomposed(path)];
    let mut beside =
        std::iter::once(path).chain(others.iter().flatten().map(String::as_str)).map(|path| folder.join(path));
    Some(ImageSource::File(beside.find(|path| path.exists()).unwrap_or_else(|| PathBuf::from(path))))
}

/// A name with its letters and their marks as one character each; none where nothing could differ.
pub(super) fn composed(name: &str) -> Option<String> {
    (!name.is_ascii()).then(|| NormalizedString::from(name).nfc().get().to_owned())
}

/// A name with marks as characters of their own.
fn decomposed(name: &str) -> Option<String> {
    (!name.is_ascii()).then(|| NormalizedString::from(name).nfd().get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

    #[test]
    fn base64_of_pictures_is_told_from_paths() {
        let jpeg = [&b"\xff\xd8\xff\xe0\0\x10JFIF\0\xfb\xff"[..], &[0xFF; 90]].concat();
        let mut lines = STANDARD.encode(&jpeg);
        lines.insert(62, '\n');
        for text in [STANDARD.encode(&jpeg), STANDARD_NO_PAD.encode(&jpeg), URL_SAFE.encode(&jpeg), lines] {
            assert_eq!(Picture::of(&text), Picture::Bytes(jpeg.clone()), "{text}");
        }
        let address = format!("data:image/jpeg;base64,{}", STANDARD.encode(b"anything"));
        assert_eq!(Picture::of(&address), Picture::Bytes(b"anything".to_vec()));
        assert!(matches!(Picture::of(&(STANDARD.encode(&jpeg) + "%")), Picture::Bytes(_)), "broken, but no path");
        for path in ["a/b.jpg", "/9j/4AAQSkZJRg.jpg", "Qk1abcdef", &"a".repeat(200), "data:,x", "\u{e4}.png"] {
            assert_eq!(Picture::of(path), Picture::Path(path.to_owned()));
        }
    }

    #[test]
    fn objects_with_bytes_or_a_path() {
        let picture = |text: &str| Picture::in_object(&serde_json::from_str(text).unwrap(), &["image", "path"]);
        let bytes = Some(Picture::Bytes(vec![1, 2, 255]));
        assert_eq!(picture(r#"{"bytes": "AQL/", "path": "a.png"}"#), bytes);
        assert_eq!(picture(r#"{"bytes": [1, 2, 255], "path": null}"#), bytes);
        assert_eq!(picture(r#"{"bytes": null, "path": "a.png"}"#), Some(Picture::Path("a.png".to_owned())));
        assert_eq!(picture(r#"{"bytes": null}"#), None);
    }
}
