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
/// What decides how texts become embeddings, besides the modules that `modules.json` names.
const TEXT_FILES: [&str; 5] = [
    "config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
];
/// Either says how texts become tokens, the second one where the first is not.
const TOKENIZER_FILES: [&str; 2] = ["tokenizer.json", "vocab.txt"];
/// Any of these says how pictures are prepared, or timm's config.json.
const PICTURE_FILES: [&str; 3] = ["preprocessor_config.json", "processor_config.json", "open_clip_config.json"];
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
    /// Weights, and everything that describes them: configurations, tokenizers, Sentence-Transformers modules. What the
    /// files alone say has to be among them.
    Encoder(Open),
}

/// What is not known of an encoder otherwise: a snapshot without the files that say it is another encoder's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open {
    /// How pictures are prepared.
    pub pictures: bool,
    /// How texts become tokens.
    pub tokens: bool,
    /// How tokens become an embedding.
    pub pooling: bool,
}

impl Files {
    /// All that describes an encoder, where nothing is needed but its weights.
    pub const ENCODER: Self = Self::Encoder(Open { pictures: false, tokens: false, pooling: false });

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
            Self::Encoder(_) => {
                let weights = weights_among(repo, listed)?;
                let describes = |name: &&String| is_description(name);
                listed.iter().filter(describes).cloned().chain(weights).collect()
            }
        };
        chosen.sort_by_key(|name| is_weights(name) && !name.contains('/'));
        Ok(chosen)
    }

    /// The first file that `folder` lacks; `is_absent` knows of some that the repository has not, either.
    pub(super) fn first_missing(&self, folder: &Path, is_absent: &dyn Fn(&str) -> bool) -> Option<String> {
        let lacks = |name: &str| !folder.join(name).is_file();
        let undecided = |name: &&&str| lacks(name) && !is_absent(name);
        let open = match self {
            Self::Named(names) => return names.iter().find(|name| lacks(name)).cloned(),
            Self::Encoder(open) => open,
        };
        let mut missing = None;
        if open.pictures && PICTURE_FILES.iter().all(|name| lacks(name)) && !is_timm(folder) {
            missing = PICTURE_FILES.iter().find(undecided).copied();
        }
        if open.tokens && lacks(TOKENIZER_FILES[0]) {
            missing = missing.or_else(|| TOKENIZER_FILES.iter().find(undecided).copied());
        }
        if open.pooling {
            missing = missing.or_else(|| TEXT_FILES.iter().find(undecided).copied());
        }
        let missing = missing.map(str::to_owned).or_else(|| {
            let modules = if open.pooling { module_files(folder) } else { Vec::new() };
            modules.into_iter().find(|name| lacks(name))
        });
        if missing.is_some() || WEIGHTS.iter().any(|name| !lacks(name)) {
            return missing;
        }
        match parts(&folder.join(INDEX)) {
            Some(parts) => parts.into_iter().find(|part| lacks(part)),
            None => Some(self.first()),
        }
    }

    /// The files whose absence from a repository says something, too, and that are not among those `listed`.
    pub(super) fn absent(&self, listed: &[String]) -> Vec<&'static str> {
        let Self::Encoder(open) = self else { return Vec::new() };
        let deciding = [
            (open.pictures, PICTURE_FILES.as_slice()),
            (open.tokens, TOKENIZER_FILES.as_slice()),
            (open.pooling, TEXT_FILES.as_slice()),
        ];
        let deciding = deciding.into_iter().filter(|(is_open, _)| *is_open).flat_map(|(_, names)| names);
        deciding.filter(|name| !listed.iter().any(|listed| listed == *name)).copied().collect()
    }

    /// A file to name where none is there.
    pub(super) fn first(&self) -> String {
        match self {
            Self::Named(names) => names.first().cloned().unwrap_or_default(),
            Self::Encoder(_) => WEIGHTS[0].to_owned(),
        }
    }
}

/// The files of an encoder in a folder of the user's, by the names they have in `repo`; weights are checked.
///
/// # Errors
/// [`HubError::NoLocalFile`], [`HubError::Weights`], [`himacl_data::Error::Io`].
pub fn local_snapshot(folder: &Path, repo: &str, files: &Files) -> Result<Snapshot, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io("list", folder))?;
    // What the user's own folder has not, the encoder has not.
    if let Some(file) = files.first_missing(folder, &|name| name != "config.json") {
        let found = if is_weights(&file) && !file.contains('/') { other_weights(folder) } else { Vec::new() };
        if !found.is_empty() {
            return Err(HubError::NoWeights { place: folder.display().to_string(), found }.into());
        }
        return Err(HubError::NoLocalFile { folder: folder.to_path_buf(), file, repo: repo.to_owned() }.into());
    }
    if matches!(files, Files::Encoder(Open { pooling: true, .. })) && !folder.join("modules.json").is_file() {
        tracing::warn!(folder = %folder.display(), "no modules.json says how tokens become an embedding: the family's way");
    }
    for entry in entries {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let needed = match files {
            Files::Named(names) => names.iter().any(|needed| needed == name),
            Files::Encoder(_) => true,
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
    Err(HubError::NoWeights {
        place: repo.to_owned(),
        found: listed.iter().filter(|name| is_other(name)).cloned().collect(),
    })
}

fn is_other(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| OTHER_WEIGHTS.contains(&extension))
}

/// Weights of other formats in a folder and in `onnx` below it.
fn other_weights(folder: &Path) -> Vec<String> {
    let names = |below: &str| -> Vec<String> {
        let entries = fs::read_dir(folder.join(below)).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some(format!("{below}{}", entry.file_name().to_str()?))).collect()
    };
    let mut found = [names(""), names("onnx/")].concat();
    found.retain(|name| is_other(name));
    found.sort();
    found
}

/// Whether config.json is timm's, which says how pictures are prepared.
fn is_timm(folder: &Path) -> bool {
    json(&folder.join("config.json")).is_some_and(|config| config.get("pretrained_cfg").is_some())
}

/// The files of the modules that modules.json names, those that decide an embedding.
fn module_files(folder: &Path) -> Vec<String> {
    let modules = json(&folder.join("modules.json"));
    let modules = modules.as_ref().and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let files = modules.iter().flat_map(|module| {
        let field = |key: &str| module.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
        let names: &[&str] = match field("type").rsplit('.').next() {
            Some("Pooling") => &["config.json"],
            Some("Dense") => &["config.json", "model.safetensors"],
            _ => &[],
        };
        let path = field("path").to_owned();
        names.iter().map(move |name| if path.is_empty() { (*name).to_owned() } else { format!("{path}/{name}") })
    });
    files.collect()
}

fn json(path: &Path) -> Option<serde_json::Value> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
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
    let value = json(index)?;
    let map = value.get("weight_map")?.as_object()?;
    map.values().map(|file| file.as_str().map(ToOwned::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: Files = Files::Encoder(Open { pictures: false, tokens: true, pooling: true });
    const PICTURES: Files = Files::Encoder(Open { pictures: true, tokens: false, pooling: false });

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn an_encoders_files_are_chosen() {
        let listed = names(
            "model.safetensors pytorch_model.bin onnx/model.onnx onnx/config.json config.json README.md vocab.txt \
             1_Pooling/config.json 2_Dense/model.safetensors modules.json tokenizer.json data_config.txt",
        );
        let chosen = Files::ENCODER.choose("o/n", "main", &listed).unwrap();
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
        assert_eq!(Files::ENCODER.choose("o/n", "main", &listed).unwrap().len(), 4);
        let folder = tempfile::tempdir().unwrap();
        let missing = || Files::ENCODER.first_missing(folder.path(), &|_| false);
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
        let error = Files::ENCODER.choose("o/n", "main", &names("config.json pytorch_model.bin")).unwrap_err();
        assert!(error.to_string().contains("only pytorch_model.bin\nhint: convert"), "{error}");
    }

    #[test]
    fn a_text_encoder_needs_all_that_decides_its_embeddings() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let missing = |absent: &str| {
            let absent = names(absent);
            TEXT.first_missing(folder.path(), &|name| absent.iter().any(|absent| absent == name))
        };
        write("model.safetensors", "");
        write("config.json", "{}");
        write("tokenizer_config.json", "{}");
        assert_eq!(missing("").as_deref(), Some("tokenizer.json"));
        assert_eq!(missing("tokenizer.json").as_deref(), Some("vocab.txt"));
        write("tokenizer.json", "{}");
        assert_eq!(missing("").as_deref(), Some("modules.json"));
        let optional = "config_sentence_transformers.json sentence_bert_config.json";
        assert_eq!(missing(&format!("modules.json {optional}")), None, "a plain model");
        let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
            {"path": "3_Normalize", "type": "sentence_transformers.models.Normalize"}]"#;
        write("modules.json", modules);
        assert_eq!(missing("").as_deref(), Some("config_sentence_transformers.json"));
        for file in ["1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"] {
            assert_eq!(missing(optional).as_deref(), Some(file));
            write(file, "{}");
        }
        assert_eq!(missing(optional), None);
        assert_eq!(
            TEXT.absent(&names("config.json modules.json tokenizer_config.json vocab.txt")),
            names(&format!("tokenizer.json {optional}"))
        );
        assert_eq!(Files::ENCODER.first_missing(folder.path(), &|_| false), None);
    }

    #[test]
    fn pictures_need_their_preparation() {
        let folder = tempfile::tempdir().unwrap();
        let missing = || PICTURES.first_missing(folder.path(), &|_| false);
        fs::write(folder.path().join("model.safetensors"), "").unwrap();
        assert_eq!(missing().as_deref(), Some("preprocessor_config.json"));
        fs::write(folder.path().join("config.json"), r#"{"pretrained_cfg": {}}"#).unwrap();
        assert_eq!(missing(), None);
    }

    #[test]
    fn weights_of_other_kinds_in_a_folder_are_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("onnx")).unwrap();
        fs::write(folder.path().join("config.json"), "{}").unwrap();
        for (file, hint) in [("onnx/model.onnx", "ONNX"), ("pytorch_model.bin", "convert")] {
            fs::write(folder.path().join(file), "").unwrap();
            let error = local_snapshot(folder.path(), "o/n", &TEXT).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(hint), "{error}");
        }
    }
}
