//! Which column holds what.

use super::reader::ReadOptions;
use crate::error::ReadError;
use std::path::Path;

/// Names that columns of pictures have, most usual first; `open_clip`'s is the first.
const IMAGE: [&str; 9] = ["filepath", "image_path", "image", "image_bytes", "jpg", "png", "webp", "path", "file_name"];
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
        let position = |name: &str| available.iter().position(|column| column == name);
        let find = |asked: Option<&String>, usual: &[&str], needed: bool, what| {
            let found = match asked {
                Some(name) => position(name),
                None => usual.iter().find_map(|name| position(name)),
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
            key: KEY.iter().find_map(|name| position(name)),
        })
    }

    /// The caption in a JSON object, by the name asked for or a usual one.
    pub(super) fn caption_in(options: &ReadOptions, object: &serde_json::Value) -> Option<String> {
        Self::in_object(options.caption_column.as_deref(), &CAPTION, object)
    }

    /// The picture's path in a JSON object.
    pub(super) fn image_in(options: &ReadOptions, object: &serde_json::Value) -> Option<String> {
        Self::in_object(options.image_column.as_deref(), &IMAGE, object)
    }

    /// The key in a JSON object.
    pub(super) fn key_in(object: &serde_json::Value) -> Option<String> {
        KEY.iter().find_map(|name| match object.get(name)? {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    }

    fn in_object(asked: Option<&str>, usual: &[&str], object: &serde_json::Value) -> Option<String> {
        let text = |name: &str| object.get(name)?.as_str().map(ToOwned::to_owned);
        match asked {
            Some(name) => text(name),
            None => usual.iter().find_map(|name| text(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Modality;
    use super::*;

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
        let error = columns(None, Modality::Both, &["text", "url"]).unwrap_err().to_string();
        assert!(error.contains("no picture column: it has `text`, `url`\nhint: name it"), "{error}");
        assert!(columns(Some("absent"), Modality::Image, &["filepath"]).is_err());
    }
}
