//! Why an encoder cannot be trained.

use crate::side::DataSide;
use std::path::PathBuf;

/// Why an encoder cannot be trained.
#[derive(Debug, thiserror::Error)]
pub enum EncoderTrainingError {
    /// Embeddings of which nothing says what made them.
    #[error(
        "the encoder of the {side} cannot be trained: `{}` is not a folder that `himacl embed` wrote ({reason})\n\
         hint: embed the {side} with `himacl embed`, or train with train.encoders=frozen", path.display()
    )]
    NotEmbedded {
        /// Whose.
        side: DataSide,
        /// The embeddings.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// Weights that came from a folder of the user's.
    #[error(
        "the {side} was embedded with weights from a folder, which is not on record\n\
         hint: name it in data.{side}_encoder"
    )]
    NoWeights {
        /// Whose.
        side: DataSide,
    },
    /// A dataset that is not on the disk.
    #[error(
        "the {side} was embedded from `{input}`, and an encoder in training reads its dataset again and again: expected it on \
         the disk\nhint: fetch its files, and name them in data.{side}_input; or train with train.encoders=frozen"
    )]
    Elsewhere {
        /// Whose.
        side: DataSide,
        /// The dataset.
        input: String,
    },
    /// Other weights than those that made the embeddings.
    #[error(
        "the weights in `{}` have the checksum {got}, `{}` was embedded with {expected}\n\
         hint: data.{side}_encoder must name the encoder of these embeddings", folder.display(), embeddings.display()
    )]
    OtherWeights {
        /// Whose.
        side: DataSide,
        /// The encoder's folder.
        folder: PathBuf,
        /// The checksum found.
        got: String,
        /// The embeddings.
        embeddings: PathBuf,
        /// Their encoder's checksum.
        expected: String,
    },
    /// Inputs that are not those that were embedded.
    #[error(
        "row {row} of the {side}'s embeddings is not what the encoder gives for its input: their cosine is {cosine:.4}, \
         expected above 0.998\nhint: has `{input}` changed since it was embedded? data.{side}_input may name another place"
    )]
    OtherEmbeddings {
        /// Whose.
        side: DataSide,
        /// The row.
        row: usize,
        /// How near they are.
        cosine: f64,
        /// The dataset.
        input: String,
    },
    /// A dataset with other records than those that were embedded.
    #[error(
        "`{input}` has {got} usable samples, the {side}'s embeddings have {expected} rows\n\
         hint: has it changed since it was embedded? data.{side}_input may name another place"
    )]
    OtherInput {
        /// Whose.
        side: DataSide,
        /// The dataset.
        input: String,
        /// Samples found.
        got: usize,
        /// Rows expected.
        expected: usize,
    },
    /// A sample that was embedded and cannot be used any more.
    #[error("sample `{key}` of `{input}` cannot be used any more: {reason}")]
    Sample {
        /// The dataset.
        input: String,
        /// The sample.
        key: String,
        /// Why not.
        reason: String,
    },
    /// More than may be held in memory.
    #[error(
        "what enters the trained blocks of the {side}'s encoder takes {needed:.1} GiB for {items} items, allowed are \
         {allowed} GiB\nhint: raise train.encoder_memory, or train fewer of the last blocks (train.encoder_blocks)"
    )]
    Memory {
        /// Whose.
        side: DataSide,
        /// GiB for all items.
        needed: f64,
        /// Items of the side.
        items: usize,
        /// What is allowed.
        allowed: f64,
    },
}
