//! How many children a block has at each level.

/// Cost of a level that does not depend on its rank (gathering the points, reading them once an iteration), in units of
/// the cost of one cluster column.
const LEVEL_OVERHEAD: usize = 4;

/// Ranks `(r_1, .., r_k)` from the coarsest level to the finest, such that blocks of n points end at most `leaf_size` large.
///
/// Minimises `Σ_t (overhead + r_t)`, the cost of levels that each pass over all n points, subject to
/// `Π r_t >= ceil(n / leaf_size)` and `2 <= r_t <= max_rank`, by dynamic programming. Any n: a block of s points splits
/// into r children of `floor(s / r)` or `ceil(s / r)` points. Microseconds.
///
/// ```
/// use hiref_core::refine::rank_schedule;
/// assert!(rank_schedule(100, 256, 8).is_empty());
/// let ranks = rank_schedule(1_000_003, 256, 8);
/// assert!(ranks.iter().product::<usize>() * 256 >= 1_000_003);
/// ```
///
/// References: \[H25\], Section 3.4, where the objective counts low-rank solves, `Σ_t Π_{s<=t} r_s`, and n has to factorise. We
/// differ in that all blocks of a level are solved together, so a level's work does not grow with its number of blocks.
pub fn rank_schedule(n: usize, leaf_size: usize, max_rank: usize) -> Vec<usize> {
    let mut solved = std::collections::HashMap::new();
    cheapest(n.div_ceil(leaf_size), max_rank, &mut solved).1
}

fn cheapest(
    leaves: usize,
    max_rank: usize,
    solved: &mut std::collections::HashMap<usize, (usize, Vec<usize>)>,
) -> (usize, Vec<usize>) {
    if leaves <= 1 {
        return (0, Vec::new());
    }
    if let Some(known) = solved.get(&leaves) {
        return known.clone();
    }
    let best = (2..=max_rank)
        .map(|rank| {
            let (cost, rest) = cheapest(leaves.div_ceil(rank), max_rank, solved);
            let mut ranks = vec![rank];
            ranks.extend(rest);
            (cost + LEVEL_OVERHEAD + rank, ranks)
        })
        .min_by_key(|(cost, ranks)| (*cost, ranks.len()))
        .unwrap_or_default();
    solved.insert(leaves, best.clone());
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reaches_the_leaf_size_for_any_n() {
        for n in [1, 2, 3, 256, 257, 512, 4099, 65_537, 1 << 20] {
            for max_rank in [2, 3, 8, 16] {
                let ranks = rank_schedule(n, 256, max_rank);
                assert!(ranks.iter().all(|&r| (2..=max_rank).contains(&r)), "{n}: {ranks:?}");
                let leaf = ranks.iter().fold(n, |size, &rank| size.div_ceil(rank));
                assert!(leaf <= 256, "{n}, {max_rank}: {ranks:?} ends at {leaf}");
            }
        }
    }

    #[test]
    fn no_schedule_of_equal_ranks_is_cheaper() {
        for leaves in [2_usize, 7, 64, 1000, 4096] {
            let cost = |ranks: &[usize]| ranks.iter().map(|r| r + LEVEL_OVERHEAD).sum::<usize>();
            let ours = cost(&rank_schedule(leaves, 1, 8));
            for rank in 2..=8_usize {
                let levels = (1..20).find(|&k| rank.pow(k) >= leaves).unwrap_or(1) as usize;
                assert!(ours <= cost(&vec![rank; levels]), "{leaves} leaves, rank {rank}");
            }
        }
    }
}
