//! Why an encoder cannot be loaded or used.

use std::path::PathBuf;

/// Why an encoder cannot be loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// A name that the registry does not have.
    #[error("there is no encoder `{name}`{}", nearest(near.as_deref()))]
    Unknown {
        /// The name.
        name: String,
        /// The nearest known one.
        near: Option<String>,
    },
    /// A prompt that an encoder does not have.
    #[error("encoder `{name}` has no prompt `{prompt}`, it has: {known}")]
    UnknownPrompt {
        /// The encoder.
        name: String,
        /// What was asked for.
        prompt: String,
        /// Its prompts.
        known: String,
    },
    /// A route that a model does not have.
    #[error("the encoder in `{}` has no route `{route}`, it has: {known}", folder.display())]
    UnknownRoute {
        /// The folder with its files.
        folder: PathBuf,
        /// What was asked for.
        route: String,
        /// Its routes.
        known: String,
    },
    /// More coordinates than an embedding has, or none.
    #[error("{got} coordinates of `{name}` are asked for, expected 1 to {expected}")]
    Dimensions {
        /// The encoder.
        name: String,
        /// What was asked for.
        got: usize,
        /// Its own.
        expected: usize,
    },
    /// A description without the section that its family needs.
    #[error("encoder `{name}`: the description has no [{section}]")]
    Section {
        /// The encoder.
        name: String,
        /// `image` or `text`.
        section: &'static str,
    },
    /// Pictures whose preparation nothing describes.
    #[error(
        "encoder `{name}`: nothing in `{}` says how pictures are prepared\n\
         hint: it takes preprocessor_config.json, open_clip_config.json or timm's config.json",
        folder.display()
    )]
    NoPreparation {
        /// The encoder.
        name: String,
        /// The folder with its files.
        folder: PathBuf,
    },
    /// An encoder whose gradients are not supported.
    #[error("encoder `{name}` cannot be trained: {reason}\nhint: train.encoders = \"frozen\", or another encoder")]
    NotTrainable {
        /// The encoder.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// Texts that are to be filled up to one length, nobody says with what.
    #[error("encoder `{name}`: `{}` has no tokenizer_config.json, which names the token that fills texts", folder.display())]
    NoFill {
        /// The encoder.
        name: String,
        /// The folder with its files.
        folder: PathBuf,
    },
    /// A square that does not lie in the resized picture.
    #[error("`image.crop` is {crop}, expected 1 to `image.resize`, which is {resize}")]
    ImageSize {
        /// The shorter side after resizing.
        resize: u32,
        /// The side of the square.
        crop: u32,
    },
    /// Pictures of their own proportions for a model that takes squares.
    #[error("encoder `{name}`: pictures are prepared in their own proportions, which its family does not take")]
    OneSize {
        /// The encoder.
        name: String,
    },
    /// Pictures of their own proportions in numbers of patches that cannot be.
    #[error(
        "`image.patches` has side {side} and most {most}, expected 1 to 256 and 1 to 16384, without `resize` and `crop`"
    )]
    Patches {
        /// The side of a patch.
        side: u32,
        /// The largest number of them.
        most: u32,
    },
    /// Pixels that another encoder prepared.
    #[error(
        "the picture has {got} values, expected {expected}\nhint: prepare pictures with the encoder that reads them"
    )]
    Pixels {
        /// Its values.
        got: usize,
        /// The encoder's.
        expected: usize,
    },
    /// A text without tokens, by a tokenizer that adds none of its own.
    #[error("the text has no tokens")]
    NoTokens,
    /// A file of the user's registry that cannot be read.
    #[error("encoders in `{}`: {source}", path.display())]
    Folder {
        /// The folder or the file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A description that does not parse.
    #[error("encoder `{name}`: {source}")]
    Spec {
        /// The encoder.
        name: String,
        /// The parser's answer.
        source: toml::de::Error,
    },
    /// Weights for which there is no room.
    #[error(
        "the weights of `{name}` take {:.1} GiB of memory, and {:.1} GiB are free\nhint: half precision takes half of it, a smaller encoder less",
        gib(*needed),
        gib(*available)
    )]
    Memory {
        /// The encoder.
        name: String,
        /// Bytes that they take.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// Weights that lack a tensor or have one of another shape.
    #[error("weights `{}`: {source}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: candle_core::Error,
    },
    /// A file of the encoder's that cannot be read.
    #[error("`{}`: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The tokenizer refused a text.
    #[error("the text cannot be tokenised: {0}")]
    Tokenizer(String),
    /// A picture without pixels.
    #[error("the picture has no pixels")]
    EmptyImage,
    /// A tensor operation failed.
    #[error("the encoder failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn nearest(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!(", did you mean `{near}`?"))
}
