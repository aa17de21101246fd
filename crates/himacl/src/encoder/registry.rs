//! What is known of each encoder: the files `models/encoders/*.toml`, part of the program.

use super::error::EncoderError;
use serde::{Deserialize, Serialize};

/// The files by name.
const FILES: [(&str, &str); 2] = [
    ("all-minilm-l6-v2", include_str!("../../../../models/encoders/all-minilm-l6-v2.toml")),
    ("efficientnet-lite0", include_str!("../../../../models/encoders/efficientnet-lite0.toml")),
];

/// The families of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// BERT and its Sentence-Transformers.
    Bert,
    /// EfficientNet-Lite.
    EfficientnetLite,
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
    /// Coordinates of an embedding.
    pub dimension: usize,
    /// How tokens or places become one vector.
    pub pooling: String,
    /// Whether the model's own output has unit length.
    #[serde(default)]
    pub normalize: bool,
    /// Of an encoder of pictures.
    pub image: Option<ImageSpec>,
    /// Of an encoder of texts.
    pub text: Option<TextSpec>,
}

/// How pictures are prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// The shorter side after resizing.
    pub resize: u32,
    /// The side of the square cut from the centre.
    pub crop: u32,
    /// The filter.
    pub interpolation: Interpolation,
    /// What is behind transparent pixels.
    pub background: Background,
    /// Subtracted from each channel, pixels in [0, 1].
    pub mean: [f32; 3],
    /// Divides each channel then.
    pub std: [f32; 3],
}

/// How pictures are resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Cubic, a = -0.5, widened when pictures become smaller.
    Bicubic,
}

/// What is behind transparent pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Background {
    /// White.
    White,
}

/// How texts are prepared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSpec {
    /// Longer texts are cut.
    pub max_tokens: usize,
    /// Put before every text.
    #[serde(default)]
    pub prefix: String,
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

/// The encoder of this name.
///
/// # Errors
/// [`EncoderError::Unknown`], with the nearest name.
pub fn find(name: &str) -> Result<EncoderSpec, EncoderError> {
    if let Some((name, text)) = FILES.iter().find(|(known, _)| *known == name) {
        return parse(name, text);
    }
    let near = FILES.iter().map(|(known, _)| *known).find(|known| known.contains(name) || name.contains(known));
    Err(EncoderError::Unknown { name: name.to_owned(), near: near.map(ToOwned::to_owned) })
}

/// The description of a repository that the registry does not have: that of the first encoder of its family, with the
/// files that any encoder has.
///
/// # Errors
/// [`EncoderError::Spec`].
pub fn for_repo(repo: &str, revision: &str, family: Family) -> Result<EncoderSpec, EncoderError> {
    let known = all()?.into_iter().find(|spec| spec.family == family);
    let template = known.ok_or_else(|| EncoderError::Unknown { name: repo.to_owned(), near: None })?;
    let (name, repo, revision) = (repo.replace('/', "--"), repo.to_owned(), revision.to_owned());
    Ok(EncoderSpec { name, repo, revision, files: Vec::new(), licence: "see the repository".to_owned(), ..template })
}

fn parse(name: &str, text: &str) -> Result<EncoderSpec, EncoderError> {
    let parsed: Result<EncoderSpec, _> = toml::from_str(text);
    let spec = parsed.map_err(|source| EncoderError::Spec { name: name.to_owned(), source })?;
    Ok(EncoderSpec { name: name.to_owned(), ..spec })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_part_of_the_program() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/encoders");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let on_disk: BTreeSet<String> =
            files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        let known: BTreeSet<String> = all().unwrap().into_iter().map(|spec| spec.name).collect();
        assert_eq!(known, on_disk);
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(find("minilm").unwrap_err().to_string().contains("there is no encoder `minilm`"));
        assert!(find("efficientnet").unwrap_err().to_string().contains("did you mean `efficientnet-lite0`"));
    }
}
