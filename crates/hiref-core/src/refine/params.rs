//! What a user can set.

use crate::pricing::nanoseconds_of_row;
use serde::{Deserialize, Serialize};

/// How much work to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// Splits, leaves and a few sweeps; in 128 dimensions or more, up to some 50,000 to 85,000 points a side, one round over all pairs after them, and two over
    /// promising clusters up to some 2,000,000.
    Fast,
    /// As a rule within 0.01% of the optimum up to 16,384 points a side, and proved to be within 0.2% up to some 420,000 to 750,000 of more than
    /// four dimensions (fewer the more dimensions; 290,000 to 590,000 where sizes differ); one round over all pairs follows the sweeps up to some
    /// 1,100,000 to 4,000,000; larger sets of equal sizes and 64 dimensions or more end with rounds over promising clusters, others once sweeps
    /// leave little to gain.
    #[default]
    Balanced,
    /// As a rule optimal up to 65,536 points a side; rounds towards the optimum are made up to some 1,300,000 to 2,300,000 of more than four
    /// dimensions;
    /// larger sets as with balanced, with more sweeps.
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
    /// Sweeps after which what is left is better done otherwise.
    pub(crate) enough: usize,
    /// Problems of at most this many points a side end with rounds of pricing and sparse solves of everything.
    pub(crate) exact_limit: usize,
    /// So do those of at most so many in few dimensions, unless a few sweeps leave little to gain.
    pub(crate) limit_by_tree: usize,
    /// So do larger ones whose rounds are expected to take no longer than so many entries of blocks do for each point.
    pub(crate) entries: usize,
    /// Those rounds end once the certified gap is this small.
    pub(crate) gap: f64,
    /// The same for larger problems.
    pub(crate) gap_of_many: f64,
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
                enough: usize::MAX,
                exact_limit: 0,
                limit_by_tree: 0,
                entries: 1 << 13,
                gap: 1e-2,
                gap_of_many: 1e-2,
                reach: 16,
            },
            Self::Balanced => Effort {
                block_size: 256,
                largest_block: 1024,
                tolerance: 0.002,
                min_sweeps: 3,
                max_sweeps: 32,
                enough: usize::MAX,
                exact_limit: 1 << 14,
                limit_by_tree: 1 << 18,
                entries: 5 << 15,
                gap: 1e-4,
                gap_of_many: 2e-3,
                reach: 512,
            },
            Self::Best => Effort {
                block_size: 256,
                largest_block: 2048,
                tolerance: 0.0002,
                min_sweeps: 6,
                max_sweeps: 1024,
                enough: usize::MAX,
                exact_limit: 1 << 16,
                limit_by_tree: 1 << 18,
                entries: 1 << 19,
                gap: 0.0,
                gap_of_many: 0.0,
                reach: 1 << 16,
            },
        }
    }
}

/// Rounds of pricing and sparse solves of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rounds {
    /// Whether their first prices come from small samples of few pairs, and not from a quarter of them.
    pub(crate) rough_prices: bool,
    /// Rounds that look into promising clusters, which come first: the first looks into one in so many, and so on.
    pub(crate) probing: &'static [u32],
    /// Rounds over all pairs, at most: none, one, or as many as it takes until the gap is small enough.
    pub(crate) over_all: usize,
}

impl Rounds {
    /// Rounds over all pairs until the gap is small enough.
    pub(crate) const UNTIL_CLOSE: Self = Self { rough_prices: false, probing: &[], over_all: usize::MAX };
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
    /// (O(n m d) time each, less in few dimensions) and solve over the best candidates; chosen from the quality and the work when absent.
    pub exact_limit: Option<usize>,
    /// Largest number of those rounds; chosen from the quality and the work when absent. One ends within 0.1% of the optimum as a rule, and proves little.
    /// Rounds that look into promising clusters alone, ahead of these where there are many points, do not count; 0 leaves them out too.
    pub max_rounds: Option<usize>,
    /// Prove how far the cost is from the optimum at most.
    pub certify: bool,
    /// Estimate how far the cost is from the optimum, where nothing is proved, from a sample of points.
    pub estimate_gap: bool,
    /// Points in that sample, at least 1; chosen from the work of the sweeps when absent.
    pub gap_rows: Option<usize>,
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
            max_rounds: None,
            certify: false,
            estimate_gap: false,
            gap_rows: None,
        }
    }
}

/// Passes over all pairs that an exact solve takes, or as much work: a third of one for the prices, the rest for rounds; where sizes differ, two for the
/// prices.
const PASSES: f64 = 3.5;
const PASSES_OF_UNEQUAL: f64 = 5.0;
/// Nanoseconds for each point and each partner it might have that the rest of it takes, measured on mixtures of 16 and 64 dimensions, n = 262,144.
const BESIDE_PASSES: f64 = 1.0;
/// Passes that one round takes, with prices from a quarter of the pairs; and with prices from an eighth of them, in small samples.
const PASSES_OF_ROUND: f64 = 1.35;
const PASSES_OF_ROUGH_ROUND: f64 = 1.25;
/// Nanoseconds of a pass over all pairs, for each point, from which on rounds that look into clusters save some; and what one of them takes, in passes and
/// nanoseconds for each point, and the clusters in passes. Measured on embeddings of 384 dimensions, n = 58,829 and 131,072.
const WORTH_PROBING: f64 = 4e5;
const PASSES_OF_CLUSTERING: f64 = 0.016;
const PASSES_OF_CENTRES: f64 = 0.016;
const BESIDE_PROBING: f64 = 1.3e5;
/// Such rounds where others over all pairs follow; and where none is affordable, by what they are worth: the first that is affordable is made.
const PROBING_BEFORE_ALL: &[u32] = &[32, 32, 32, 32];
const PROBING_ALONE: [&[u32]; 3] = [&[32, 32, 8], &[64, 64], &[64]];
/// From so many coordinates on there are rounds over clusters: in fewer the candidates would take far more memory than the points, and sweeps do well.
const DIMENSIONS_OF_PROBING: usize = 64;
/// From so many coordinates on one round over all pairs is worth far more than as many seconds of sweeps: a block of pairs that lie close to each
/// other holds few of those that should be exchanged. Measured (`fast`, cost above the optimum without and with it): text embeddings of 384
/// coordinates, n = 58,829, 15.6% and about 1.4%; two mixtures of 16 coordinates, n = 65,536, 2.6% and 0.5%, but in six times the time.
const MANY_DIMENSIONS: usize = 128;

impl HirefParams {
    /// Whether a solve of such a problem may end with rounds of pricing and sparse solves of everything: up to a fixed size, and as long as they are
    /// expected to take no longer than the quality allows. What they and the sweeps take is counted in operations, so that results do not
    /// depend on the machine's speed.
    pub fn may_end_exactly(&self, n: usize, m: usize, d: usize) -> bool {
        self.rounds((n, m), d, None).is_some()
    }

    /// The rounds that a solve of such a problem may end with; `distinct` are the columns where points repeat.
    pub(crate) fn rounds(&self, (n, m): (usize, usize), d: usize, distinct: Option<usize>) -> Option<Rounds> {
        let effort = self.effort();
        if self.max_rounds == Some(0) {
            return None;
        }
        if n.max(m) <= effort.exact_limit || self.exact_limit.is_some() {
            return (n.max(m) <= effort.exact_limit).then_some(Rounds::UNTIL_CLOSE);
        }
        // Nanoseconds for each point, measured with AVX-512: a pass over all pairs as bytes, and entries of blocks.
        let columns = distinct.unwrap_or(n.max(m));
        let of_pass = nanoseconds_of_row(columns, d);
        let of_entries = effort.entries as f64 * (8.0 + d as f64 / 25.0);
        let affordable = |passes: f64| passes * of_pass <= of_entries;
        let passes = if n == m { PASSES } else { PASSES_OF_UNEQUAL };
        let all_affordable = passes * of_pass + BESIDE_PASSES * columns as f64 <= of_entries;
        let is_fast = self.quality == Quality::Fast;
        let over_all = if all_affordable && (!is_fast || distinct.is_some()) {
            usize::MAX
        } else if is_fast {
            usize::from(d >= MANY_DIMENSIONS && affordable(PASSES_OF_ROUGH_ROUND))
        } else {
            usize::from(affordable(PASSES_OF_ROUND))
        };
        // In fewer dimensions one round over all pairs is better with the prices of a quarter of them.
        let may_probe = over_all == 0 || (!is_fast && d >= MANY_DIMENSIONS);
        let may_probe = may_probe && n == m && distinct.is_none();
        let probing = if may_probe { self.probing((of_pass, of_entries), d, over_all) } else { &[] };
        let rough_prices = is_fast && over_all == 1;
        (!probing.is_empty() || over_all > 0).then_some(Rounds { rough_prices, probing, over_all })
    }

    /// Which rounds look into clusters, where a pass over all pairs and the entries of blocks take so many nanoseconds for each point.
    fn probing(&self, (of_pass, of_entries): (f64, f64), d: usize, over_all: usize) -> &'static [u32] {
        let (share, worth_it) = match self.quality {
            Quality::Fast => (3.0, d >= MANY_DIMENSIONS),
            Quality::Balanced | Quality::Best => (1.0, d >= DIMENSIONS_OF_PROBING && of_pass > WORTH_PROBING),
        };
        let affordable = |rounds: &&[u32]| {
            // Either side looks into clusters of the other.
            let of_round = |&one_in: &u32| (PASSES_OF_CENTRES + 2.0 / f64::from(one_in)) * of_pass + BESIDE_PROBING;
            PASSES_OF_CLUSTERING * of_pass + rounds.iter().map(of_round).sum::<f64>() <= share * of_entries
        };
        let plans = if over_all > 0 { &[PROBING_BEFORE_ALL][..] } else { &PROBING_ALONE };
        plans.iter().copied().find(|rounds| worth_it && affordable(rounds)).unwrap_or_default()
    }

    /// The work to spend, by quality, with what was set by hand in its place.
    pub(crate) fn effort(&self) -> Effort {
        let effort = self.quality.effort();
        Effort {
            block_size: self.polish_block_size.unwrap_or(effort.block_size),
            largest_block: self.polish_block_size.unwrap_or(effort.largest_block),
            max_sweeps: self.max_sweeps.unwrap_or(effort.max_sweeps),
            exact_limit: if self.max_rounds == Some(0) { 0 } else { self.exact_limit.unwrap_or(effort.exact_limit) },
            limit_by_tree: if self.exact_limit.is_some() || self.max_rounds == Some(0) {
                0
            } else {
                effort.limit_by_tree
            },
            ..effort
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_end_follows_quality_and_work() {
        let rounds =
            |quality, n, d, distinct| HirefParams { quality, ..HirefParams::default() }.rounds((n, n), d, distinct);
        let all = usize::MAX;
        let rounds_of = |probing: &'static [u32], over_all| Some(Rounds { rough_prices: false, probing, over_all });
        let rough = Some(Rounds { rough_prices: true, probing: &[], over_all: 1 });
        assert_eq!(rounds(Quality::Balanced, 300_000, 384, None), rounds_of(PROBING_BEFORE_ALL, all));
        assert_eq!(rounds(Quality::Balanced, 60_000, 384, None), rounds_of(&[], all));
        assert_eq!(rounds(Quality::Balanced, 1_000_000, 384, None), rounds_of(PROBING_BEFORE_ALL, 1));
        assert_eq!(rounds(Quality::Balanced, 1_500_000, 768, None), rounds_of(&[32, 32, 8], 0));
        assert_eq!(rounds(Quality::Balanced, 1_500_000, 768, Some(600_000)), rounds_of(&[], 1));
        assert_eq!(rounds(Quality::Balanced, 1_500_000, 768, Some(300_000)), rounds_of(&[], all));
        assert_eq!(rounds(Quality::Balanced, 1 << 20, 64, None), rounds_of(&[], 1));
        assert_eq!(rounds(Quality::Best, 1 << 20, 64, None), rounds_of(&[], all));
        assert_eq!(rounds(Quality::Balanced, 1 << 22, 64, None), rounds_of(&[32, 32, 8], 0));
        assert_eq!(rounds(Quality::Balanced, 1 << 24, 16, None), None);
        assert_eq!(rounds(Quality::Fast, 60_000, 384, None), rough);
        assert_eq!(rounds(Quality::Fast, 100_000, 384, None), rounds_of(&[32, 32, 8], 0));
        assert_eq!(rounds(Quality::Fast, 1_000_000, 384, None), rounds_of(&[64, 64], 0));
        assert_eq!(rounds(Quality::Fast, 100_000, 384, Some(1_000)), rounds_of(&[], all));
        assert_eq!(rounds(Quality::Fast, 10_000, 64, Some(1_000)), rounds_of(&[], all));
        assert!(rounds(Quality::Fast, 2, 1, None).is_none() && rounds(Quality::Fast, 10_000, 64, None).is_none());
        let unequal = HirefParams::default().rounds((200_000, 300_000), 384, None);
        assert_eq!(unequal, rounds_of(&[], all));
        let by_hand = HirefParams { exact_limit: Some(100), ..HirefParams::default() };
        assert!(by_hand.may_end_exactly(100, 90, 5) && !by_hand.may_end_exactly(101, 101, 5));
        let none = HirefParams { max_rounds: Some(0), ..by_hand };
        assert!(!none.may_end_exactly(100, 90, 5));
    }
}
