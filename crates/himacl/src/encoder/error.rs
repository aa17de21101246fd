//! Why an encoder cannot be loaded or used.

use std::path::PathBuf;

/// Why an encoder cannot be loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// A name that the registry does not have.
    #[error("there is no encoder `{name}`{}\nhint: `himacl encoders` lists them; --repo with --family takes any other of a known family", nearest(near.as_deref()))]
    Unknown {
        /// The name.
        name: String,
        /// The nearest known one.
        near: Option<String>,
    },
    /// A description that does not parse.
    #[error("encoder `{name}`: {source}")]
    Spec {
        /// The encoder.
        name: String,
        /// The parser's answer.
        source: toml::de::Error,
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

fn nearest(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!(", did you mean `{near}`?"))
}
