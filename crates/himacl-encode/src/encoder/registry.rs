//! What is known of each encoder: the files `encoders/*.toml`, part of the program.

use super::config::Config;
use super::registered::FILES;
use crate::error::EncoderError;
use crate::hub::{Files, Open};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The families of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::doc_markdown, reason = "the help of the command shows these lines as they are")]
pub enum Family {
    /// CLIP of OpenAI and LAION, MetaCLIP 2, EVA-CLIP, Perception Encoder, by the names of transformers or open_clip.
    Clip,
    /// MobileCLIP, by the names of open_clip.
    MobileClip,
    /// Chinese-CLIP.
    ChineseClip,
    /// jina-clip-v2.
    JinaClip,
    /// SigLIP, and SigLIP2 with pictures of one size or of their own proportions.
    Siglip,
    /// Vision transformer.
    Vit,
    /// DINOv2, with registers or without.
    Dinov2,
    /// DINOv3: transformers by the names of transformers or timm, ConvNeXts by those of transformers.
    Dinov3,
    /// ResNet 18 to 152, by the names of timm or transformers.
    Resnet,
    /// ConvNeXt, by the names of timm or transformers.
    Convnext,
    /// EfficientNet-Lite.
    EfficientnetLite,
    /// MobileNetV2, by the names of timm or torchvision.
    MobilenetV2,
    /// BERT and its Sentence-Transformers.
    Bert,
    /// MPNet.
    Mpnet,
    /// XLM-RoBERTa and RoBERTa.
    XlmRoberta,
    /// ModernBERT.
    Modernbert,
    /// Qwen3-Embedding.
    Qwen3,
    /// Nomic's BERT, with experts or without.
    NomicBert,
    /// GTE on Alibaba's BERT.
    Gte,
    /// EmbeddingGemma.
    Gemma3,
    /// Static models: model2vec and Sentence-Transformers' StaticEmbedding.
    Static,
    /// Any folder of Sentence-Transformers whose model is of a known family.
    SentenceTransformers,
}

impl Family {
    /// What encoders of the family read.
    pub fn modality(self) -> EncoderModality {
        match self {
            Self::Clip | Self::MobileClip | Self::ChineseClip | Self::JinaClip | Self::Siglip => EncoderModality::Both,
            Self::Vit
            | Self::Dinov2
            | Self::Dinov3
            | Self::Resnet
            | Self::Convnext
            | Self::EfficientnetLite
            | Self::MobilenetV2 => EncoderModality::Image,
            Self::Bert
            | Self::Mpnet
            | Self::XlmRoberta
            | Self::Modernbert
            | Self::Qwen3
            | Self::NomicBert
            | Self::Gte
            | Self::Gemma3
            | Self::Static
            | Self::SentenceTransformers => EncoderModality::Text,
        }
    }
}

/// How tokens or places become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The first token.
    Cls,
    /// The mean of all.
    Mean,
    /// The last token.
    Last,
    /// The token with the largest number: what ends a text of CLIP, whatever fills it up behind.
    End,
}

/// What an encoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncoderModality {
    /// Pictures.
    Image,
    /// Texts.
    Text,
    /// Both, into one space.
    Both,
}

/// What is known of an encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSpec {
    /// Its name: that of its file.
    #[serde(default)]
    pub name: String,
    /// The family of models.
    pub family: Family,
    /// What it reads.
    pub modality: EncoderModality,
    /// The repository on the Hub.
    pub repo: String,
    /// The revision there.
    #[serde(default = "main_branch")]
    pub revision: String,
    /// The files needed; all that describe an encoder where none are named.
    #[serde(default)]
    pub files: Vec<String>,
    /// The licence of the weights.
    pub licence: String,
    /// Whether the Hub gives them to those alone who have accepted the licence there.
    #[serde(default)]
    pub gated: bool,
    /// Coordinates of an embedding; absent where only the weights tell.
    #[serde(default)]
    pub dimension: Option<usize>,
    /// The numbers of first coordinates that it was trained to hold most in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matryoshka: Vec<usize>,
    /// How many coordinates of an embedding are kept, the first ones; all where this is absent. What is kept has not unit
    /// length, whatever the whole has.
    #[serde(skip)]
    pub first: Option<usize>,
    /// How tokens or places become one vector; as the family or the folder has it where this is absent.
    #[serde(default)]
    pub pooling: Option<Pooling>,
    /// Whether the model's own output has unit length; as its folder says where this is absent.
    #[serde(default)]
    pub normalize: Option<bool>,
    /// Of an encoder of pictures; as its own files say where this is absent.
    #[serde(default)]
    pub image: Option<ImageSpec>,
    /// Of an encoder of texts.
    pub text: Option<TextSpec>,
}

/// How pictures are prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// The shorter side after resizing.
    #[serde(default)]
    pub resize: u32,
    /// The side of the square cut from the centre.
    #[serde(default)]
    pub crop: u32,
    /// In the place of both: pictures keep their proportions.
    #[serde(default)]
    pub patches: Option<PatchLimit>,
    /// Which side becomes `resize`.
    #[serde(default)]
    pub fit: Fit,
    /// The filter.
    pub interpolation: Interpolation,
    /// What is behind transparent pixels.
    pub background: Background,
    /// Subtracted from each channel, pixels in [0, 1].
    pub mean: [f32; 3],
    /// Divides each channel then.
    pub std: [f32; 3],
}

/// The largest picture that is wanted, in patches. Each side becomes a whole number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchLimit {
    /// The side of a patch.
    pub side: u32,
    /// So many at most.
    pub most: u32,
}

/// How pictures are resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Linear, widened when pictures become smaller.
    Bilinear,
    /// Cubic, a = -0.5, widened when pictures become smaller.
    Bicubic,
    /// Windowed sinc of three lobes, widened when pictures become smaller.
    Lanczos,
}

/// Which side becomes the given length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// The shorter one; the other keeps the proportions.
    #[default]
    Shortest,
    /// Both.
    Stretch,
}

/// What is behind transparent pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Background {
    /// White.
    White,
    /// Black.
    Black,
    /// The colours that transparent pixels have, as models see that were trained without regard for them.
    Ignore,
}

/// How texts are prepared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSpec {
    /// Longer texts are cut; where this is absent, as the folder says, or at the longest text that the model takes.
    #[serde(default)]
    pub max_tokens: Option<usize>,
    /// Put before every text; as the folder says where this is absent.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Prefixes to choose from, by what they are for.
    #[serde(default)]
    pub prompts: BTreeMap<String, String>,
    /// Of a model with several ways for texts, the one to take; the folder's own default where this is absent.
    #[serde(default)]
    pub route: Option<String>,
    /// Whether texts are turned to lower case before the tokenizer has them.
    #[serde(default)]
    pub lowercase: bool,
    /// The token that texts are filled up with, where the family wants them all of one length; as the folder says where
    /// this is absent.
    #[serde(default)]
    pub fill: Option<u32>,
}

fn main_branch() -> String {
    "main".to_owned()
}

/// All encoders, by name.
///
/// # Errors
/// [`EncoderError::Spec`]: never with the files of this repository, which a test reads.
pub fn all() -> Result<Vec<EncoderSpec>, EncoderError> {
    FILES.iter().map(|(name, text)| parse(name, text)).collect()
}

/// The encoders of a folder of the user's, `NAME.toml` each, by name.
///
/// # Errors
/// [`EncoderError::Folder`], [`EncoderError::Spec`].
pub fn in_folder(folder: &Path) -> Result<Vec<EncoderSpec>, EncoderError> {
    let wrong = |path: &Path, source| EncoderError::Folder { path: path.to_path_buf(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|source| wrong(folder, source))? {
        paths.push(entry.map_err(|source| wrong(folder, source))?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).map_err(|source| wrong(&path, source))?;
        parse(&path.file_stem().unwrap_or_default().to_string_lossy(), &text)
    };
    paths.into_iter().map(read).collect()
}

/// Letters of a name that is a part of another one, at least.
const SHORTEST_PART: usize = 3;

/// The encoder of this name.
///
/// # Errors
/// [`EncoderError::Unknown`], with the nearest name if one is near.
pub fn find(name: &str) -> Result<EncoderSpec, EncoderError> {
    if let Some((name, text)) = FILES.iter().find(|(known, _)| *known == name) {
        return parse(name, text);
    }
    let known = || FILES.iter().map(|(known, _)| *known);
    let part = known().find(|known| name.len() >= SHORTEST_PART && (known.contains(name) || name.contains(known)));
    let edits = |known: &&str| strsim::levenshtein(name, known);
    // Names that share little are no slips of the pen.
    let alike = || known().min_by_key(edits).filter(|known| edits(known) <= name.len() / 3);
    let near = part.or_else(alike);
    Err(EncoderError::Unknown { name: name.to_owned(), near: near.map(str::to_owned) })
}

impl EncoderSpec {
    /// The files that the encoder needs, those included that decide what this description leaves open.
    pub fn needed_files(&self) -> Files {
        if !self.files.is_empty() {
            return Files::Named(self.files.clone());
        }
        let text = self.text.as_ref().filter(|_| self.modality != EncoderModality::Image);
        let is_text = self.modality == EncoderModality::Text;
        let tokens_open = text.is_some_and(|text| text.max_tokens.is_none());
        Files::Encoder(Open {
            pictures: !is_text && self.image.is_none(),
            tokens: text.is_some(),
            pooling: is_text && (self.pooling.is_none() || self.normalize.is_none() || tokens_open),
        })
    }

    /// The same with one of its prompts before every text: one of this description or of the folder with its files.
    ///
    /// # Errors
    /// [`EncoderError::UnknownPrompt`], [`EncoderError::File`].
    pub fn with_prompt(mut self, prompt: &str, folder: &Path) -> Result<Self, EncoderError> {
        let mut prompts = prompts(folder)?;
        prompts.extend(self.text.iter().flat_map(|text| text.prompts.clone()));
        let found = prompts.remove(prompt);
        let (Some(found), Some(text)) = (found, &mut self.text) else {
            let known = match prompts.len() {
                0 => "none".to_owned(),
                _ => prompts.into_keys().collect::<Vec<_>>().join(", "),
            };
            return Err(EncoderError::UnknownPrompt { name: self.name, prompt: prompt.to_owned(), known });
        };
        text.prefix = Some(found);
        Ok(self)
    }
}

impl EncoderSpec {
    /// The same with texts on one of the model's routes.
    ///
    /// # Errors
    /// [`EncoderError::UnknownRoute`] for an encoder of pictures; a route that the model has not is refused when it is
    /// loaded.
    pub fn with_route(mut self, route: &str, folder: &Path) -> Result<Self, EncoderError> {
        let (true, Some(text)) = (self.modality == EncoderModality::Text, &mut self.text) else {
            let (folder, known) = (folder.to_path_buf(), "none".to_owned());
            return Err(EncoderError::UnknownRoute { folder, route: route.to_owned(), known });
        };
        text.route = Some(route.to_owned());
        Ok(self)
    }

    /// What is to be said of keeping so many first coordinates, if there is something.
    pub fn advice(&self, dimensions: usize) -> Option<String> {
        let name = &self.name;
        if self.matryoshka.is_empty() {
            return Some(format!("`{name}` is not known to be trained for a part of its coordinates"));
        }
        let known = self.matryoshka.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let is_known = self.matryoshka.contains(&dimensions) || self.dimension == Some(dimensions);
        (!is_known).then(|| format!("`{name}` was trained for {known} coordinates, not for {dimensions}"))
    }
}

/// The description of a repository that the registry does not have. It says nothing beyond the family: sizes, means,
/// pooling, prompts and the like are then read from the repository's own files.
pub fn for_repo(repo: &str, revision: &str, family: Family) -> EncoderSpec {
    let modality = family.modality();
    EncoderSpec {
        name: repo.replace('/', "--"),
        family,
        modality,
        repo: repo.to_owned(),
        revision: revision.to_owned(),
        files: Vec::new(),
        licence: "see the repository".to_owned(),
        gated: false,
        dimension: None,
        matryoshka: Vec::new(),
        first: None,
        pooling: None,
        normalize: None,
        image: None,
        text: (modality != EncoderModality::Image).then(TextSpec::default),
    }
}

/// The prompts that a folder's files have, by name.
pub(in crate::encoder) fn prompts(folder: &Path) -> Result<BTreeMap<String, String>, EncoderError> {
    let Some(config) = Config::read_if_there(&folder.join("config_sentence_transformers.json"))? else {
        return Ok(BTreeMap::new());
    };
    let prompts = config.at("prompts");
    let entries = prompts.value().as_object().into_iter().flatten();
    Ok(entries.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect())
}

/// Reads a description.
///
/// # Errors
/// [`EncoderError::Spec`].
pub fn parse(name: &str, text: &str) -> Result<EncoderSpec, EncoderError> {
    let spec = toml::from_str(text).map_err(|source| EncoderError::Spec { name: name.to_owned(), source })?;
    Ok(EncoderSpec { name: name.to_owned(), ..spec })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_part_of_the_program() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("encoders");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let on_disk: BTreeSet<String> =
            files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        let known: BTreeSet<String> = all().unwrap().into_iter().map(|spec| spec.name).collect();
        assert_eq!(known, on_disk);
    }

    #[test]
    fn every_encoder_says_its_dimension_and_reads_what_its_family_does() {
        for spec in all().unwrap() {
            assert!(spec.dimension.is_some(), "{}", spec.name);
            assert_eq!(spec.modality, spec.family.modality(), "{}", spec.name);
        }
    }

    #[test]
    fn a_repository_inherits_nothing() {
        let spec = for_repo("org/model", "abc", Family::XlmRoberta);
        assert_eq!((spec.pooling, spec.normalize, spec.dimension), (None, None, None));
        assert_eq!(spec.text, Some(TextSpec::default()));
        assert_eq!(for_repo("org/model", "abc", Family::Siglip).image, None);
        assert_eq!(for_repo("org/model", "abc", Family::Vit).text, None);
        let needed = |pictures, tokens, pooling| Files::Encoder(Open { pictures, tokens, pooling });
        assert_eq!(spec.needed_files(), needed(false, true, true));
        assert_eq!(for_repo("org/model", "abc", Family::Siglip).needed_files(), needed(true, true, false));
        assert_eq!(for_repo("org/model", "abc", Family::Vit).needed_files(), needed(true, false, false));
        assert_eq!(find("e5-base-v2").unwrap().needed_files(), needed(false, true, false));
        assert_eq!(find("dinov2-base").unwrap().needed_files(), Files::ENCODER);
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(find("minilm").unwrap_err().to_string().contains("there is no encoder `minilm`"));
        assert!(find("al-minilm-16-v2").unwrap_err().to_string().contains("did you mean `all-minilm-l6-v2`"));
        for far in ["nonexistent-encoder", "a", ""] {
            let error = find(far).unwrap_err().to_string();
            assert!(!error.contains("did you mean"), "{error}");
        }
        assert!(find("efficientnet").unwrap_err().to_string().contains("did you mean `efficientnet-lite0`"));
    }

    #[test]
    fn unknown_keys_are_named() {
        let text = FILES.iter().find(|(name, _)| *name == "efficientnet-lite0").unwrap().1;
        let error = parse("mine", &text.replace("interpolation", "interpolatoin")).unwrap_err().to_string();
        assert!(error.contains("unknown field `interpolatoin`, expected one of"), "{error}");
    }

    #[test]
    fn prompts_are_chosen_by_name() {
        let text = FILES.iter().find(|(name, _)| *name == "all-minilm-l6-v2").unwrap().1;
        let spec = parse("mine", &format!("{text}\n[text.prompts]\nquery = \"query: \"\n")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let with = |spec: &EncoderSpec, prompt: &str| spec.clone().with_prompt(prompt, folder.path());
        assert!(with(&spec, "passage").unwrap_err().to_string().contains("it has: query"));
        assert_eq!(with(&spec, "query").unwrap().text.unwrap().prefix.as_deref(), Some("query: "));
        // The folder adds its own.
        let content = r#"{"prompts": {"passage": "passage: ", "query": "other: "}}"#;
        std::fs::write(folder.path().join("config_sentence_transformers.json"), content).unwrap();
        assert_eq!(with(&spec, "passage").unwrap().text.unwrap().prefix.as_deref(), Some("passage: "));
        assert_eq!(with(&spec, "query").unwrap().text.unwrap().prefix.as_deref(), Some("query: "));
        let picture = for_repo("org/pictures", "main", Family::Resnet);
        assert!(with(&picture, "query").is_err(), "no prompts without texts");
    }
}
