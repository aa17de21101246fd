//! Which of a repository's files an encoder needs, and the folders that hold them.

use super::check::{check_weights, is_weights};
use crate::error::Error;
use crate::error::HubError;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Names that weights have, the first found is taken.
pub(crate) const WEIGHTS: [&str; 3] =
    ["model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"];
/// The list of the parts of weights that are in several files.
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// What decides how texts become embeddings, besides the modules that `modules.json` names.
const TEXT_FILES: [&str; 5] =
    ["config.json", "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", TOKENIZER_CONFIG];
/// How texts are cut and filled up, and in which letters' case.
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// What decides so beside a Transformer in a folder below, where the repository has it.
const OPTIONAL_BELOW: [&str; 2] = ["sentence_bert_config.json", TOKENIZER_CONFIG];
/// What a folder of weights for other weights has.
const ADAPTER: &str = "adapter_config.json";
/// Either says how texts become tokens, the second one where the first is not.
const TOKENIZER_FILES: [&str; 2] = ["tokenizer.json", "vocab.txt"];
/// Any of these says how pictures are prepared, or timm's config.json.
const PICTURE_FILES: [&str; 3] = ["preprocessor_config.json", "processor_config.json", "open_clip_config.json"];
/// Modules of Sentence-Transformers that choose between others.
pub(crate) const ROUTERS: [&str; 2] = ["Router", "Asym"];
/// Modules that have a folder of their own.
const MODULES: [&str; 8] =
    ["Transformer", "StaticEmbedding", "Pooling", "Dense", "LayerNorm", "Normalize", ROUTERS[0], ROUTERS[1]];
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
            Self::Encoder(_) if listed.iter().any(|name| name == ADAPTER) => {
                return Err(HubError::Adapter { place: repo.to_owned() });
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

    /// Refuses a folder of an encoder with an adapter, whose place goes by that name.
    pub(super) fn refuse_adapter(&self, folder: &Path, place: String) -> Result<(), HubError> {
        let is_adapted = matches!(self, Self::Encoder(_)) && folder.join(ADAPTER).is_file();
        if is_adapted { Err(HubError::Adapter { place }) } else { Ok(()) }
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
        // A model in a folder below has its own files there.
        let is_below = (open.tokens || open.pooling) && !is_at_root(folder);
        if open.tokens && !is_below && lacks(TOKENIZER_FILES[0]) {
            missing = missing.or_else(|| TOKENIZER_FILES.iter().find(undecided).copied());
        }
        if open.tokens && !is_below && undecided(&&TOKENIZER_CONFIG) {
            missing = missing.or(Some(TOKENIZER_CONFIG));
        }
        if open.pooling {
            let names = if is_below { &TEXT_FILES[1..3] } else { &TEXT_FILES[..] };
            missing = missing.or_else(|| names.iter().find(undecided).copied());
        }
        let missing = missing.map(str::to_owned).or_else(|| {
            let modules = if open.pooling || is_below { module_files(folder) } else { Vec::new() };
            modules.into_iter().find(|name| lacks(name) && !(is_optional(name) && is_absent(name)))
        });
        if missing.is_some() || is_below || WEIGHTS.iter().any(|name| !lacks(name)) {
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
            (open.tokens && !open.pooling, &[TOKENIZER_CONFIG]),
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
    files.refuse_adapter(folder, folder.display().to_string())?;
    // What the user's own folder has not, the encoder has not; a static model of Sentence-Transformers has no configuration.
    let is_absent = |name: &str| name != "config.json" || has_table(folder);
    if let Some(file) = files.first_missing(folder, &is_absent) {
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
    let mut open = vec![String::new()];
    while let Some(below) = open.pop() {
        for (name, is_folder) in names(&folder.join(&below))? {
            let name = at(&below, &name);
            if is_folder && name.split('/').count() <= 2 {
                open.push(name);
            } else if !is_folder && is_description(&name) && name != INDEX {
                found.push(name);
            }
        }
    }
    found.sort();
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
    // Those of modules are among what describes the encoder.
    if listed.iter().any(|name| is_weights(name) && is_description(name)) && has("modules.json") {
        return Ok(Vec::new());
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

/// The modules that modules.json names, and those between which they choose, as their classes and folders.
fn module_places(folder: &Path) -> Vec<(String, String)> {
    let field = |value: &serde_json::Value, key: &str| {
        value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let class = |kind: &str| kind.rsplit('.').next().unwrap_or_default().to_owned();
    let modules = json(&folder.join("modules.json"));
    let modules = modules.as_ref().and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut places = Vec::new();
    for module in modules {
        let (kind, path) = (class(&field(module, "type")), field(module, "path"));
        let path = if path == "." { String::new() } else { path };
        if ROUTERS.contains(&kind.as_str()) {
            let router = router_files(&path).iter().find_map(|name| json(&folder.join(name))?.get("types").cloned());
            let types = router.as_ref().and_then(serde_json::Value::as_object).into_iter().flatten();
            places.extend(types.map(|(id, kind)| (class(kind.as_str().unwrap_or_default()), at(&path, id))));
        }
        places.push((kind, path));
    }
    places
}

/// Whether the model is beside modules.json, or there is none.
fn is_at_root(folder: &Path) -> bool {
    let places = module_places(folder);
    let is_input = |kind: &str| matches!(kind, "Transformer" | "StaticEmbedding");
    places.is_empty() || places.iter().any(|(kind, path)| is_input(kind) && path.is_empty())
}

/// Whether the model beside modules.json is a table of tokens' rows.
fn has_table(folder: &Path) -> bool {
    module_places(folder).iter().any(|(kind, path)| kind == "StaticEmbedding" && path.is_empty())
}

/// The weights of models in folders below, where there are any.
pub(crate) fn nested_weights(folder: &Path) -> Vec<PathBuf> {
    let names = module_files(folder).into_iter().filter(|name| is_weights(name));
    names.map(|name| folder.join(name)).filter(|path| path.is_file()).collect()
}

/// Where a router in a folder says its routes, by the names of several ages.
pub(crate) fn router_files(path: &str) -> [String; 2] {
    ["router_config.json", "config.json"].map(|name| at(path, name))
}

fn at(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

/// Whether a file of a module decides an embedding only where the repository has it.
pub(super) fn is_optional(name: &str) -> bool {
    name.rsplit_once('/').is_some_and(|(_, file)| OPTIONAL_BELOW.contains(&file))
}

/// The files of the modules that modules.json names, those that decide an embedding.
fn module_files(folder: &Path) -> Vec<String> {
    let files = module_places(folder).into_iter().flat_map(|(kind, path)| {
        let names: &[&str] = match kind.as_str() {
            "Pooling" => &["config.json"],
            "Dense" | "LayerNorm" => &["config.json", "model.safetensors"],
            "Transformer" if !path.is_empty() => {
                &["config.json", "tokenizer.json", "model.safetensors", OPTIONAL_BELOW[0], OPTIONAL_BELOW[1]]
            }
            "StaticEmbedding" if !path.is_empty() => &["tokenizer.json", "model.safetensors"],
            "Router" => &["router_config.json"],
            _ => &[],
        };
        names.iter().map(|name| at(&path, name)).collect::<Vec<_>>()
    });
    files.collect()
}

fn json(path: &Path) -> Option<serde_json::Value> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

/// Configurations and tokenizers at the root, and the folders of Sentence-Transformers: numbered ones (`1_Pooling`,
/// `2_Dense`), and those of a route (`query_0_StaticEmbedding`), which may be below one of them.
fn is_description(name: &str) -> bool {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if folder.is_empty() {
        return matches!(extension, "json" | "model") || matches!(file, "vocab.txt" | "merges.txt");
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_module = |folder: &str| {
        let of_route = folder.rsplit_once('_').is_some_and(|(_, class)| MODULES.contains(&class));
        is_number(folder.split('_').next().unwrap_or_default()) || of_route
    };
    let is_text = matches!(file, "vocab.txt" | "merges.txt");
    folder.split('/').count() <= 2
        && folder.split('/').all(is_module)
        && (is_text || matches!(extension, "json" | "safetensors"))
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
    fn models_in_folders_below_have_their_files_there() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let absent = |name: &str| name == "config_sentence_transformers.json" || is_optional(name);
        let missing = || TEXT.first_missing(folder.path(), &absent);
        let kind = |name: &str| format!("sentence_transformers.models.{name}");
        let needs = |files: &str| {
            for file in names(files) {
                assert_eq!(missing().as_deref(), Some(file.as_str()));
                write(&file, "{}");
            }
            assert_eq!(missing(), None);
        };
        write("modules.json", &format!(r#"[{{"path": "0_StaticEmbedding", "type": "{}"}}]"#, kind("StaticEmbedding")));
        needs("0_StaticEmbedding/tokenizer.json 0_StaticEmbedding/model.safetensors");
        write("modules.json", &format!(r#"[{{"path": "", "type": "{}"}}]"#, kind("Router")));
        let (table, model, dense) = (kind("StaticEmbedding"), kind("Transformer"), kind("Dense"));
        let router = format!(
            r#"{{"types": {{"a_0_StaticEmbedding": "{table}", "b_0_Transformer": "{model}", "b_1_Dense": "{dense}"}}}}"#
        );
        write("router_config.json", &router);
        let files = "a_0_StaticEmbedding/tokenizer.json a_0_StaticEmbedding/model.safetensors b_0_Transformer/config.json \
                     b_0_Transformer/tokenizer.json b_0_Transformer/model.safetensors b_1_Dense/config.json \
                     b_1_Dense/model.safetensors";
        needs(files);
        // What the repository may have beside the model, and decides the embedding then.
        let unknown = |name: &str| name == "config_sentence_transformers.json";
        for file in ["b_0_Transformer/sentence_bert_config.json", "b_0_Transformer/tokenizer_config.json"] {
            assert_eq!(TEXT.first_missing(folder.path(), &unknown).as_deref(), Some(file));
            write(file, "{}");
        }
        assert_eq!(TEXT.first_missing(folder.path(), &unknown), None);
        assert_eq!(nested_weights(folder.path()).len(), 3);
        let listed = names(&format!("modules.json router_config.json README.md onnx/model.onnx {files}"));
        assert_eq!(TEXT.choose("o/n", "main", &listed).unwrap().len(), listed.len() - 2, "{listed:?}");
        assert_eq!(descriptions(folder.path()).unwrap().len(), 2 + 7 + 2 + 2);
        assert!(TEXT.choose("o/n", "main", &names("modules.json config.json onnx/model.onnx")).is_err());
    }

    #[test]
    fn weights_for_other_weights_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["model.safetensors", "config.json", ADAPTER] {
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        let error = local_snapshot(folder.path(), "o/n", &Files::ENCODER).unwrap_err().to_string();
        assert!(error.contains("adapter_config.json") && error.contains("merge_and_unload"), "{error}");
        let listed = names("model.safetensors config.json adapter_config.json");
        assert!(matches!(TEXT.choose("o/n", "main", &listed), Err(HubError::Adapter { place }) if place == "o/n"));
    }

    #[test]
    fn a_table_needs_no_configuration() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("model.safetensors", ""), ("tokenizer.json", "{}")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert!(local_snapshot(folder.path(), "o/n", &TEXT).unwrap_err().to_string().contains("config.json"));
        let modules = r#"[{"path": ".", "type": "sentence_transformers.models.StaticEmbedding"}]"#;
        fs::write(folder.path().join("modules.json"), modules).unwrap();
        assert!(TEXT.first_missing(folder.path(), &|name| name != "config.json" || has_table(folder.path())).is_none());
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
    fn towers_of_both_kinds_need_all_that_makes_tokens() {
        let both = Files::Encoder(Open { pictures: true, tokens: true, pooling: false });
        let folder = tempfile::tempdir().unwrap();
        for name in ["model.safetensors", "config.json", "preprocessor_config.json", "tokenizer.json"] {
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        assert_eq!(both.first_missing(folder.path(), &|_| false).as_deref(), Some("tokenizer_config.json"));
        assert_eq!(both.first_missing(folder.path(), &|name| name == "tokenizer_config.json"), None);
        let others = names(
            "config.json preprocessor_config.json processor_config.json open_clip_config.json tokenizer.json vocab.txt",
        );
        assert_eq!(both.absent(&others), ["tokenizer_config.json"]);
        fs::write(folder.path().join("tokenizer_config.json"), "{}").unwrap();
        assert_eq!(both.first_missing(folder.path(), &|_| false), None);
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
