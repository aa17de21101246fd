//! What a user can set.

use serde::{Deserialize, Serialize};

/// How much work to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// Splits, leaves and a few sweeps.
    Fast,
    /// As a rule within 0.01% of the optimum up to 16,384 points a side; of larger sets sweeps stop once little is left to gain.
    #[default]
    Balanced,
    /// As a rule optimal up to 65,536 points a side; of larger sets sweeps stop once next to nothing is left to gain.
    Best,
}

/// What a quality stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Pairs per polish block of the first sweeps.
    pub(crate) block_size: usize,
    /// And of the last: blocks double every [`SWEEPS_PER_SIZE`] sweeps up to this.
    pub(crate) largest_block: usize,
    /// Sweeps stop once the gain still to be expected is below this share of the mean cost.
    pub(crate) tolerance: f64,
    pub(crate) min_sweeps: usize,
    pub(crate) max_sweeps: usize,
    /// Problems of at most this many points a side end with rounds of pricing and sparse solves of everything.
    pub(crate) exact_limit: usize,
    /// Those rounds end once the certified gap is this small.
    pub(crate) gap: f64,
    /// Columns that their searches may reach, for each point.
    pub(crate) reach: usize,
}

/// Sweeps until blocks double. Measured on a mixture in 64 dimensions, n = 65,536, in the same 18 s: blocks of 1024 end 1.2% below
/// blocks of 256; but larger ones are slow as long as much is left to gain.
const SWEEPS_PER_SIZE: usize = 8;

impl Effort {
    /// Pairs per block of a sweep, counted from 1.
    pub(crate) fn block_size_of(&self, sweep: usize) -> usize {
        let doublings = ((sweep - 1) / SWEEPS_PER_SIZE).min(usize::BITS as usize / 2) as u32;
        self.block_size.saturating_mul(1 << doublings).min(self.largest_block)
    }
}

impl Quality {
    fn effort(self) -> Effort {
        match self {
            Self::Fast => Effort {
                block_size: 256,
                largest_block: 256,
                tolerance: 0.02,
                min_sweeps: 2,
                max_sweeps: 4,
                exact_limit: 0,
                gap: 1e-2,
                reach: 16,
            },
            Self::Balanced => Effort {
                block_size: 256,
                largest_block: 1024,
                tolerance: 0.002,
                min_sweeps: 3,
                max_sweeps: 32,
                exact_limit: 1 << 14,
                gap: 1e-4,
                reach: 512,
            },
            Self::Best => Effort {
                block_size: 256,
                largest_block: 2048,
                tolerance: 0.0002,
                min_sweeps: 6,
                max_sweeps: 1024,
                exact_limit: 1 << 16,
                gap: 0.0,
                reach: 1 << 16,
            },
        }
    }
}

/// Parameters of [`Hiref`](crate::Hiref).
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
    /// Blocks of every polish sweep have at most this many pairs; chosen from the quality, and growing, when absent.
    pub polish_block_size: Option<usize>,
    /// Largest number of polish sweeps; chosen from the quality when absent.
    pub max_sweeps: Option<usize>,
    /// Problems of at most this many points a side end with an exact solve of everything, by rounds that price all pairs
    /// (O(n m d) time each, less in few dimensions) and solve over the best candidates; chosen from the quality when absent.
    pub exact_limit: Option<usize>,
    /// Prove how far the cost is from the optimum at most.
    pub certify: bool,
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
            exact_limit: None,
            certify: false,
        }
    }
}

impl HirefParams {
    /// The work to spend, by quality, with what was set by hand in its place.
    pub(crate) fn effort(&self) -> Effort {
        let effort = self.quality.effort();
        Effort {
            block_size: self.polish_block_size.unwrap_or(effort.block_size),
            largest_block: self.polish_block_size.unwrap_or(effort.largest_block),
            max_sweeps: self.max_sweeps.unwrap_or(effort.max_sweeps),
            exact_limit: self.exact_limit.unwrap_or(effort.exact_limit),
            ..effort
        }
    }
}
