//! Seeds: every random choice comes from a generator named by what it is for, so results do not depend on thread order.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// A generator for one purpose: `path` names it, such as `[level, block]`.
///
/// Distinct paths give independent streams; the same seed and path always give the same stream.
pub fn stream(seed: u64, path: &[u64]) -> StdRng {
    let mut state = scramble(seed ^ 0x9e37_79b9_7f4a_7c15);
    for &step in path {
        state = scramble(state ^ scramble(step.wrapping_add(0x2545_f491_4f6c_dd1d)));
    }
    StdRng::seed_from_u64(state)
}

/// A number for each index that orders indices at random, without a generator of its own.
pub fn order_key(seed: u64, index: u64) -> u64 {
    scramble(seed ^ scramble(index))
}

/// A number in [0, 1) for each index, without a generator of its own.
pub(crate) fn unit(seed: u64, index: u64) -> f32 {
    (order_key(seed, index) >> 40) as f32 / (1_u64 << 24) as f32
}

/// One step of `SplitMix64` (Steele, Lea, Flood 2014): a bijective scrambling of 64 bits.
pub(crate) fn scramble(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    #[test]
    fn unit_numbers_fill_the_interval_evenly() {
        let mut bins = [0; 10];
        for index in 0..100_000 {
            bins[(unit(3, index) * 10.0) as usize] += 1;
        }
        assert!(bins.iter().all(|&count: &i32| (count - 10_000).abs() < 500), "{bins:?}");
    }

    #[test]
    fn a_stream_is_named_by_its_whole_path() {
        let first = |path: &[u64]| stream(7, path).next_u64();
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        let all =
            [first(&[]), first(&[1]), first(&[1, 2]), first(&[2, 1]), first(&[1, 2, 0]), stream(8, &[1, 2]).next_u64()];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "stream {i} repeats");
        }
    }
}
