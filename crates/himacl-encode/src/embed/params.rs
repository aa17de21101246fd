//! Settings of the pipeline.

use crate::error::EmbedError;
use crate::readers::Modality;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Settings of the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmbedParams {
    /// What is embedded.
    pub modality: Modality,
    /// Rows that go through the model at once.
    pub batch_size: usize,
    /// Records of the dataset that become one shard: the unit of writing and resuming.
    pub shard_size: usize,
    /// Whether rows are brought to unit length.
    pub normalize: bool,
    /// The share of samples that may be skipped.
    pub max_error_rate: f64,
    /// The shards that this run makes, where others make the rest.
    #[serde(skip)]
    pub shards: Option<Range<usize>>,
    /// Threads that decode and tokenise; no influence on the result.
    #[serde(skip)]
    pub workers: usize,
    /// Batches that go through the model at the same time; no influence on the result.
    #[serde(skip)]
    pub parallel_batches: usize,
}

impl Default for EmbedParams {
    fn default() -> Self {
        Self {
            modality: Modality::Both,
            batch_size: 32,
            shard_size: 10_000,
            normalize: true,
            max_error_rate: 0.01,
            shards: None,
            workers: 1,
            parallel_batches: 1,
        }
    }
}

impl EmbedParams {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`EmbedError::Setting`], naming the first setting outside its range.
    pub fn check(&self) -> Result<(), EmbedError> {
        let positive = [
            ("batch-size", self.batch_size),
            ("shard-size", self.shard_size),
            ("workers", self.workers),
            ("parallel-batches", self.parallel_batches),
        ];
        for (name, got) in positive {
            if got == 0 {
                return Err(EmbedError::Setting { name, got: "0".to_owned(), expected: "at least 1" });
            }
        }
        if !(0.0..=1.0).contains(&self.max_error_rate) {
            let (got, expected) = (self.max_error_rate.to_string(), "a share between 0 and 1");
            return Err(EmbedError::Setting { name: "max-error-rate", got, expected });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked() {
        EmbedParams::default().check().unwrap();
        let wrong = [
            EmbedParams { batch_size: 0, ..EmbedParams::default() },
            EmbedParams { shard_size: 0, ..EmbedParams::default() },
            EmbedParams { workers: 0, ..EmbedParams::default() },
            EmbedParams { parallel_batches: 0, ..EmbedParams::default() },
            EmbedParams { max_error_rate: 1.5, ..EmbedParams::default() },
            EmbedParams { max_error_rate: f64::NAN, ..EmbedParams::default() },
        ];
        for params in wrong {
            params.check().expect_err(&format!("{params:?}"));
        }
    }
}
