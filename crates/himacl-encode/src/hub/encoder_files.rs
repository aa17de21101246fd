//! Which of a repository's files an encoder needs, and the folders that hold them.

use super::check::{check_weights, is_weights};
use crate::error::Error;
use crate::error::HubError;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Names that weights have, the first found is taken.
pub(crate) const WEIGHTS: [&str; 2] = ["model.safetensors", "open_clip_model.safetensors"];
/// The list of the parts of weights that are in several files.
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// Endings of weights that are not read.
const OTHER_WEIGHTS: [&str; 5] = ["bin", "pth", "pt", "h5", "onnx"];

/// The files of one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder that holds them, by the names they have in the repository.
    pub folder: PathBuf,
    /// The full commit; `None` for a folder of the user's.
    pub commit: Option<String>,
}

/// Which files are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// These.
    Named(Vec<String>),
    /// Weights, and everything that describes them: configurations, tokenizers, Sentence-Transformers modules.
    Encoder,
}

impl Files {
    /// The files to fetch out of those `listed`, weights last.
    pub(super) fn choose(&self, repo: &str, revision: &str, listed: &[String]) -> Result<Vec<String>, HubError> {
        let mut chosen = match self {
            Self::Named(names) => {
                if let Some(missing) = names.iter().find(|name| !listed.contains(name)) {
                    let (repo, revision, file) = (repo.to_owned(), revision.to_owned(), missing.clone());
                    return Err(HubError::NoFile { repo, revision, file });
                }
                names.clone()
            }
            Self::Encoder => {
                let weights = weights_among(repo, listed)?;
                let describes = |name: &&String| is_description(name);
                listed.iter().filter(describes).cloned().chain(weights).collect()
            }
        };
        chosen.sort_by_key(|name| is_weights(name) && !name.contains('/'));
        Ok(chosen)
    }

    /// The first file that `folder` lacks.
    pub(super) fn first_missing(&self, folder: &Path) -> Option<String> {
        match self {
            Self::Named(names) => names.iter().find(|name| !folder.join(name).is_file()).cloned(),
            Self::Encoder => {
                if WEIGHTS.iter().any(|name| folder.join(name).is_file()) {
                    return None;
                }
                match parts(&folder.join(INDEX)) {
                    Some(parts) => parts.into_iter().find(|part| !folder.join(part).is_file()),
                    None => Some(self.first()),
                }
            }
        }
    }

    /// A file to name where none is there.
    pub(super) fn first(&self) -> String {
        match self {
            Self::Named(names) => names.first().cloned().unwrap_or_default(),
            Self::Encoder => WEIGHTS[0].to_owned(),
        }
    }
}

/// The files of an encoder in a folder of the user's, by the names they have in `repo`; weights are checked.
///
/// # Errors
/// [`HubError::NoLocalFile`], [`HubError::Weights`], [`Error::Io`].
pub fn local_snapshot(folder: &Path, repo: &str, files: &Files) -> Result<Snapshot, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io("list", folder))?;
    if let Some(file) = files.first_missing(folder) {
        return Err(HubError::NoLocalFile { folder: folder.to_path_buf(), file, repo: repo.to_owned() }.into());
    }
    for entry in entries {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let needed = match files {
            Files::Named(names) => names.iter().any(|needed| needed == name),
            Files::Encoder => true,
        };
        if needed && is_weights(name) {
            check_weights(&path)?;
        }
    }
    Ok(Snapshot { folder: folder.to_path_buf(), commit: None })
}

/// What describes the encoder in a folder of the user's, as paths in it: configurations, tokenizers, modules of
/// Sentence-Transformers; not the weights, nor the list of their parts.
///
/// # Errors
/// A folder that cannot be listed.
pub fn descriptions(folder: &Path) -> Result<Vec<String>, Error> {
    let names = |folder: &Path| -> Result<Vec<(String, bool)>, Error> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
            let path = entry.map_err(Error::io("list", folder))?.path();
            if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                names.push((name.to_owned(), path.is_dir()));
            }
        }
        names.sort();
        Ok(names)
    };
    let mut found = Vec::new();
    for (name, is_folder) in names(folder)? {
        if is_folder {
            let inner = names(&folder.join(&name))?.into_iter().filter(|(_, is_folder)| !is_folder);
            found.extend(inner.map(|(file, _)| format!("{name}/{file}")).filter(|name| is_description(name)));
        } else if is_description(&name) && name != INDEX {
            found.push(name);
        }
    }
    Ok(found)
}

/// The weights to fetch: one file, or the parts of which there is a list.
fn weights_among(repo: &str, listed: &[String]) -> Result<Vec<String>, HubError> {
    let has = |name: &str| listed.iter().any(|listed| listed == name);
    if let Some(name) = WEIGHTS.iter().find(|name| has(name)) {
        return Ok(vec![(*name).to_owned()]);
    }
    let at_root = |name: &&String| is_weights(name) && !name.contains('/');
    let parts: Vec<String> = listed.iter().filter(at_root).cloned().collect();
    if has(INDEX) && !parts.is_empty() {
        return Ok(parts);
    }
    let other = |name: &&String| {
        let extension = Path::new(name.as_str()).extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| OTHER_WEIGHTS.contains(&extension))
    };
    Err(HubError::NoWeights { place: repo.to_owned(), found: listed.iter().filter(other).cloned().collect() })
}

/// Configurations and tokenizers at the root, and the numbered folders of Sentence-Transformers (`1_Pooling`, `2_Dense`).
fn is_description(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match name.split_once('/') {
        None => matches!(extension, "json" | "model") || matches!(name, "vocab.txt" | "merges.txt"),
        Some((folder, file)) => {
            let number = folder.split('_').next().unwrap_or_default();
            let is_module = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            is_module && !file.contains('/') && matches!(extension, "json" | "safetensors")
        }
    }
}

/// The files that an index of weights names.
fn parts(index: &Path) -> Option<BTreeSet<String>> {
    let value: serde_json::Value = serde_json::from_str(&fs::read_to_string(index).ok()?).ok()?;
    let map = value.get("weight_map")?.as_object()?;
    map.values().map(|file| file.as_str().map(ToOwned::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn an_encoders_files_are_chosen() {
        let listed = names(
            "model.safetensors pytorch_model.bin onnx/model.onnx onnx/config.json config.json README.md vocab.txt \
             1_Pooling/config.json 2_Dense/model.safetensors modules.json tokenizer.json data_config.txt",
        );
        let chosen = Files::Encoder.choose("o/n", "main", &listed).unwrap();
        let expected = names(
            "config.json vocab.txt 1_Pooling/config.json 2_Dense/model.safetensors modules.json tokenizer.json \
             model.safetensors",
        );
        assert_eq!(chosen, expected, "the weights come last");
        let named = Files::Named(names("model.safetensors config.json"));
        assert_eq!(named.choose("o/n", "main", &listed).unwrap(), names("config.json model.safetensors"));
    }

    #[test]
    fn weights_in_parts_are_complete_with_the_last() {
        let listed = names(
            "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json",
        );
        assert_eq!(Files::Encoder.choose("o/n", "main", &listed).unwrap().len(), 4);
        let folder = tempfile::tempdir().unwrap();
        let missing = || Files::Encoder.first_missing(folder.path());
        assert_eq!(missing().as_deref(), Some("model.safetensors"));
        let index =
            r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
        fs::write(folder.path().join(INDEX), index).unwrap();
        fs::write(folder.path().join(&listed[1]), "").unwrap();
        assert_eq!(missing().as_ref(), Some(&listed[2]));
        fs::write(folder.path().join(&listed[2]), "").unwrap();
        assert_eq!(missing(), None);
    }

    #[test]
    fn other_formats_are_named() {
        let error = Files::Encoder.choose("o/n", "main", &names("config.json pytorch_model.bin")).unwrap_err();
        assert!(error.to_string().contains("only pytorch_model.bin\nhint: convert"), "{error}");
    }
}
