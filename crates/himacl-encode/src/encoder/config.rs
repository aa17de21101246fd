//! JSON configurations beside the weights.

use crate::error::EncoderError;
use himacl_data::files::is_pointer;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A JSON object and the file that it comes from.
#[derive(Debug, Clone)]
pub(super) struct Config {
    path: PathBuf,
    value: Value,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self, EncoderError> {
        let wrong = |reason: String| EncoderError::File { path: path.to_path_buf(), reason };
        let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        if is_pointer(&bytes) {
            let hint = "`git lfs pull` in the repository fetches the file";
            return Err(wrong(format!("a Git LFS pointer, not the file itself\nhint: {hint}")));
        }
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            let is_page = bytes.trim_ascii_start().starts_with(b"<");
            let hint =
                "\nhint: remove it and fetch it again; a proxy or a login page may have answered in the Hub's place";
            wrong(if is_page { format!("a web page, expected JSON{hint}") } else { format!("not JSON: {error}") })
        })?;
        Ok(Self { path: path.to_path_buf(), value })
    }

    /// The file's content, `None` where there is no such file.
    pub(super) fn read_if_there(path: &Path) -> Result<Option<Self>, EncoderError> {
        path.exists().then(|| Self::read(path)).transpose()
    }

    /// The object under a key; an empty one where the key is absent, so that every value is the default.
    pub(super) fn at(&self, key: &str) -> Self {
        Self { path: self.path.clone(), value: self.value.get(key).cloned().unwrap_or(Value::Null) }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.value.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> EncoderError {
        EncoderError::File { path: self.path.clone(), reason: reason.into() }
    }

    pub(super) fn size(&self, key: &str) -> Result<usize, EncoderError> {
        let value = self.get(key).ok_or_else(|| self.wrong(format!("`{key}` is missing")))?;
        let size = value.as_u64().ok_or_else(|| self.wrong(format!("`{key}` is {value}, expected a whole number")))?;
        Ok(size as usize)
    }

    pub(super) fn size_or(&self, key: &str, default: usize) -> Result<usize, EncoderError> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    pub(super) fn maybe_size(&self, key: &str) -> Result<Option<usize>, EncoderError> {
        self.get(key).map(|_| self.size(key)).transpose()
    }

    pub(super) fn number_or(&self, key: &str, default: f64) -> f64 {
        self.get(key).and_then(Value::as_f64).unwrap_or(default)
    }

    /// What Python takes for true: published configurations have texts and numbers for flags, too.
    pub(super) fn flag(&self, key: &str) -> bool {
        match self.get(key) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            _ => false,
        }
    }

    pub(super) fn text<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.get(key).and_then(Value::as_str).unwrap_or(default)
    }
}
