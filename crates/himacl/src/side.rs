//! The two sides that a map goes between.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataSide {
    /// What is mapped.
    Source,
    /// What it is mapped to.
    Target,
}

impl fmt::Display for DataSide {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

impl DataSide {
    /// Where a run keeps this side's encoder, by the Hub's file names.
    pub fn encoder_folder(self, run: &Path) -> PathBuf {
        run.join(format!("encoder-{self}"))
    }

    /// Where a run keeps this side's embeddings by that encoder.
    pub fn embeddings_folder(self, run: &Path) -> PathBuf {
        run.join(format!("embeddings-{self}"))
    }
}
