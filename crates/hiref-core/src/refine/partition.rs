//! The refinement tree's present level.

use std::ops::Range;

/// Co-clusters as contiguous ranges of one order per side: block b holds `x_order[range(b)]` and `y_order[range(b)]`.
///
/// Both orders are permutations of `0..len`; x indices past the real points are stand-ins for "no partner".
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) x_order: Vec<u32>,
    pub(crate) y_order: Vec<u32>,
    pub(crate) offsets: Vec<usize>,
}

impl Partition {
    /// One block of everything.
    pub(crate) fn whole(len: usize) -> Self {
        let order: Vec<u32> = (0..len as u32).collect();
        Self { x_order: order.clone(), y_order: order, offsets: vec![0, len] }
    }

    /// Where the blocks begin and end once `len` points have been split by these ranks.
    pub(crate) fn offsets_after(ranks: &[usize], len: usize) -> Vec<usize> {
        let mut sizes = vec![len];
        for &rank in ranks {
            sizes = sizes.iter().flat_map(|&size| child_sizes(size, rank)).collect();
        }
        let ends = sizes.iter().scan(0, |end, size| {
            *end += size;
            Some(*end)
        });
        std::iter::once(0).chain(ends).collect()
    }

    /// Number of blocks.
    pub(crate) fn num_blocks(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Where block b lies in both orders.
    pub(crate) fn range(&self, block: usize) -> Range<usize> {
        self.offsets[block]..self.offsets[block + 1]
    }

    /// Size of the largest block.
    pub(crate) fn largest_block(&self) -> usize {
        self.offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0)
    }

    /// The blocks grouped into batches of equal block size and at most `max_points` points (or one block).
    ///
    /// All blocks of a level have one of two neighbouring sizes, so a level is a few batched tensor problems.
    pub(crate) fn batches(&self, max_points: usize) -> Vec<Vec<usize>> {
        let mut by_size: std::collections::BTreeMap<usize, Vec<usize>> = std::collections::BTreeMap::new();
        for block in 0..self.num_blocks() {
            by_size.entry(self.range(block).len()).or_default().push(block);
        }
        by_size
            .into_iter()
            .flat_map(|(size, blocks)| {
                let per_batch = (max_points / size.max(1)).max(1);
                blocks.chunks(per_batch).map(<[usize]>::to_vec).collect::<Vec<_>>()
            })
            .collect()
    }
}

/// The sizes of `rank` children of a block of `size` points: as equal as can be, the larger first.
pub(crate) fn child_sizes(size: usize, rank: usize) -> Vec<usize> {
    (0..rank).map(|child| size / rank + usize::from(child < size % rank)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_cover_a_block_and_a_level_has_two_sizes() {
        let mut sizes = vec![4099];
        for rank in [3, 5, 2] {
            sizes = sizes.iter().flat_map(|&size| child_sizes(size, rank)).collect();
            assert_eq!(sizes.iter().sum::<usize>(), 4099);
            let (least, largest) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(largest - least <= 1, "sizes {least} to {largest}");
        }
    }

    #[test]
    fn batches_hold_blocks_of_one_size() {
        let partition = Partition { x_order: vec![], y_order: vec![], offsets: vec![0, 3, 5, 8, 10, 13] };
        assert_eq!(partition.batches(6), [vec![1, 3], vec![0, 2], vec![4]]);
        assert_eq!(partition.batches(1).len(), 5);
    }
}
