//! Which column holds what.

use super::json::{field, is_called};
use super::picture::Picture;
use super::reader::ReadOptions;
use crate::error::{ReadError, list};
use serde_json::Value;
use std::path::Path;

/// Names that columns of pictures have, most usual first; `open_clip`'s is the first.
const IMAGE: [&str; 10] =
    ["filepath", "image_path", "image", "image_bytes", "jpg", "png", "webp", "path", "file_name", "filename"];
/// Names that columns of captions have.
const CAPTION: [&str; 8] = ["title", "caption", "text", "TEXT", "txt", "captions", "sentence", "label"];
/// Names that columns of keys have.
const KEY: [&str; 4] = ["key", "__key__", "uid", "id"];

/// Which of the columns of a table hold the pictures, the captions and the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) image: Option<usize>,
    pub(super) caption: Option<usize>,
    pub(super) key: Option<usize>,
}

impl Columns {
    /// Finds the columns among `available`; those of a modality that is not asked for are taken where they are plain.
    pub(super) fn find(options: &ReadOptions, available: &[String], path: &Path) -> Result<Self, ReadError> {
        let find = |asked: Option<&String>, usual: &[&str], needed: bool, what| {
            let found = if let Some(name) = asked {
                position(available, name)
            } else {
                let exact = usual.iter().find_map(|name| available.iter().position(|column| column == name));
                exact.or_else(|| usual.iter().find_map(|name| position(available, name)))
            };
            if found.is_none() && (needed || asked.is_some()) {
                return Err(ReadError::Column { path: path.to_path_buf(), what, available: available.to_vec() });
            }
            Ok(found)
        };
        let (modality, image, caption) = (options.modality, &options.image_column, &options.caption_column);
        Ok(Self {
            image: find(image.as_ref(), &IMAGE, modality.has_image(), "picture")?,
            caption: find(caption.as_ref(), &CAPTION, modality.has_text(), "caption")?,
            key: KEY.iter().find_map(|name| position(available, name)),
        })
    }

    /// Whether a name is one that columns usually have.
    pub(super) fn is_usual(name: &str) -> bool {
        let mut usual = IMAGE.iter().chain(&CAPTION).chain(&KEY);
        usual.any(|usual| is_called(name, usual))
    }

    /// The caption in a JSON object, by the name asked for or a usual one.
    pub(super) fn caption_in(options: &ReadOptions, object: &Value) -> Option<String> {
        Self::in_object(options.caption_column.as_deref(), &CAPTION, object, text_of)
    }

    /// The picture in a JSON object.
    pub(super) fn image_in(options: &ReadOptions, object: &Value) -> Option<Picture> {
        let picture = |value: &Value| Picture::in_object(value, &IMAGE).or_else(|| Some(Picture::of(&text_of(value)?)));
        Self::in_object(options.image_column.as_deref(), &IMAGE, object, picture)
    }

    /// The key in a JSON object.
    pub(super) fn key_in(object: &Value) -> Option<String> {
        Self::in_object(None, &KEY, object, text_of)
    }

    fn in_object<T>(
        asked: Option<&str>,
        usual: &[&str],
        object: &Value,
        take: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        if let Some(name) = asked {
            return take(field(object, name)?);
        }
        // Names as they usually are before those in other letters' case.
        let exact = usual.iter().find_map(|name| take(object.get(name)?));
        exact.or_else(|| usual.iter().find_map(|name| take(field(object, name)?)))
    }
}

/// A column by its name; where none has it, by its name in other letters' case, or with space around it.
fn position(available: &[String], name: &str) -> Option<usize> {
    let exact = available.iter().position(|column| column == name);
    exact.or_else(|| available.iter().position(|column| is_called(column, name)))
}

/// A text, a number as it is written, or the first of several.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(values) => values.iter().filter(|value| !value.is_array()).find_map(text_of),
        _ => None,
    }
}

/// The names of an object's fields.
pub(super) fn fields_of(object: &Value) -> String {
    match object.as_object() {
        Some(object) => list(object.keys()),
        None => "no fields, it is no object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Modality;
    use super::*;

    #[test]
    fn texts_of_fields() {
        let object: Value = serde_json::from_str(
            r#"{"a": ["", null, 7], "b": [null, "x", "y"], "c": 2.5, "d": {}, "e": [], "caption": null, "text": "t"}"#,
        )
        .unwrap();
        let text = |name: &str| text_of(&object[name]);
        assert_eq!(["a", "b", "c"].map(text), [Some(String::new()), Some("x".to_owned()), Some("2.5".to_owned())]);
        assert_eq!(["d", "e"].map(text), [None, None]);
        let options = ReadOptions { modality: Modality::Text, image_column: None, caption_column: None };
        assert_eq!(Columns::caption_in(&options, &object).as_deref(), Some("t"));
        for other in [r#"{"Caption": "c"}"#, r#"{"x": 1, " CAPTION ": "c"}"#, r#"{"Captions": ["c", "d"]}"#] {
            let object = serde_json::from_str(other).unwrap();
            assert_eq!(Columns::caption_in(&options, &object).as_deref(), Some("c"), "{other}");
        }
        // A usual name as it is comes before one in other letters' case.
        let object = serde_json::from_str(r#"{"Title": "IMG_1", "caption": "c"}"#).unwrap();
        assert_eq!(Columns::caption_in(&options, &object).as_deref(), Some("c"));
        let asked = ReadOptions { caption_column: Some("alt".to_owned()), ..options };
        let object = serde_json::from_str(r#"{"caption": "c", "ALT": "a"}"#).unwrap();
        assert_eq!(Columns::caption_in(&asked, &object).as_deref(), Some("a"));
        let many = list((0..12).map(|number| format!("{number}{}", "x".repeat(80))));
        assert!(many.starts_with("`0xxx") && many.ends_with("...` and 2 more"), "{many}");
    }

    #[test]
    fn usual_names_and_names_asked_for() {
        let columns = |asked: Option<&str>, modality, available: &[&str]| {
            let available: Vec<String> = available.iter().map(|&name| name.to_owned()).collect();
            let options = ReadOptions { modality, image_column: None, caption_column: asked.map(ToOwned::to_owned) };
            Columns::find(&options, &available, Path::new("t.csv"))
        };
        let found = columns(None, Modality::Both, &["filepath", "title", "caption", "key"]).unwrap();
        assert_eq!(found, Columns { image: Some(0), caption: Some(1), key: Some(3) });
        let found = columns(Some("caption"), Modality::Both, &["filepath", "title", "caption"]).unwrap();
        assert_eq!(found.caption, Some(2));
        assert_eq!(columns(None, Modality::Text, &["text"]).unwrap().image, None);
        assert_eq!(columns(None, Modality::Text, &["filepath", " Title"]).unwrap().caption, Some(1));
        assert_eq!(columns(None, Modality::Text, &["Title", "caption"]).unwrap().caption, Some(1));
        let error = columns(None, Modality::Both, &["text", "url"]).unwrap_err().to_string();
        assert!(error.contains("no picture column: it has `text`, `url`\nhint: name it"), "{error}");
        assert!(columns(Some("absent"), Modality::Image, &["filepath"]).is_err());
    }
}
