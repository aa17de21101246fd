//! What a user can set.

use super::solve::Hiref;
use crate::error::Error;
use serde::{Deserialize, Serialize};

/// How much work to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// Splits, leaves and a few sweeps.
    Fast,
    /// Within 1% of the optimum on ordinary data.
    #[default]
    Balanced,
    /// Keeps improving until sweeps stop paying; exact where n allows.
    Best,
}

/// Parameters of [`Hiref`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HirefParams {
    /// How much work to spend.
    pub quality: Quality,
    /// Seed of every random choice.
    pub seed: u64,
    /// Stop improving after this many seconds (the first coupling is always finished).
    pub time_limit: Option<f64>,
    /// Largest rank of one split, at least 2.
    pub max_rank: usize,
    /// Largest block that is paired exactly, at least 2.
    pub leaf_size: usize,
    /// Blocks of a polish sweep have at most this many pairs; chosen from the quality when absent.
    pub polish_block_size: Option<usize>,
    /// Largest number of polish sweeps; chosen from the quality when absent.
    pub max_sweeps: Option<usize>,
}

impl Default for HirefParams {
    fn default() -> Self {
        Self {
            quality: Quality::default(),
            seed: 0,
            time_limit: None,
            max_rank: 8,
            leaf_size: 256,
            polish_block_size: None,
            max_sweeps: None,
        }
    }
}

impl HirefParams {
    /// Checks every rule once and returns the solver.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first field outside its range.
    pub fn check(self) -> Result<Hiref, Error> {
        let rule = |ok: bool, name, value: String, expected| if ok { Ok(()) } else { Err(Error::Parameter { name, value, expected }) };
        rule(self.max_rank >= 2, "max_rank", self.max_rank.to_string(), "at least 2")?;
        rule(self.leaf_size >= 2, "leaf_size", self.leaf_size.to_string(), "at least 2")?;
        if let Some(size) = self.polish_block_size {
            rule(size >= 2, "polish_block_size", size.to_string(), "at least 2")?;
        }
        if let Some(limit) = self.time_limit {
            rule(limit > 0.0, "time_limit", limit.to_string(), "a positive number of seconds")?;
        }
        Ok(Hiref::new(self))
    }
}
