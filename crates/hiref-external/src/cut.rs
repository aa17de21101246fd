//! A random tree that cuts pairs into blocks of equal size, from a sample of them.

use crate::Error;
use crate::segments::{Column, Group, Segments};
use hiref_core::rng::{order_key, stream};
use rand::Rng;
use rand_distr::StandardNormal;
use std::ops::Range;

/// A place in the tree: a node, or a leaf as its bitwise complement.
type Place = i32;

/// Cuts along differences of random members, each at a quantile. Equal positions are told apart by the items' keys, so that blocks of
/// equal points have equal sizes too.
#[derive(Debug, Default)]
pub(crate) struct CutTree {
    dimension: usize,
    /// Means of the sides, `(2, d)`: time along a pair's path is not to be what cuts.
    means: Vec<f32>,
    /// `(nodes, d)`
    directions: Vec<f32>,
    /// A position, as the bits of an f32, with a key.
    thresholds: Vec<u32>,
    ties: Vec<u64>,
    /// `(nodes, 2)`
    below: Vec<u32>,
}

/// Where an item stands.
pub(crate) struct Item<'a> {
    /// Names it, at random.
    pub(crate) key: u64,
    /// None for one of the larger side without a partner.
    pub(crate) x: Option<&'a [f32]>,
    pub(crate) y: &'a [f32],
}

impl Item<'_> {
    /// The point `(1 - t) x + t y`, with a time of its own, as the solver's own sweeps group pairs.
    fn place(&self, means: &[f32], out: &mut [f32]) {
        let d = out.len();
        let t = (1.5 * (self.key >> 40) as f32 / (1_u64 << 24) as f32 - 0.25).clamp(0.0, 1.0);
        let of_y = self.y.iter().zip(&means[d..]).map(|(y, mean)| y - mean);
        match self.x {
            None => out.iter_mut().zip(of_y).for_each(|(out, y)| *out = y),
            Some(x) => {
                let of_x = x.iter().zip(&means[..d]).map(|(x, mean)| x - mean);
                out.iter_mut().zip(of_x.zip(of_y)).for_each(|(out, (x, y))| *out = (1.0 - t) * x + t * y);
            }
        }
    }
}

/// The key of an item at one cut, from the larger side's row.
pub(crate) fn item_key(seed: u64, cut: usize, y: u32) -> u64 {
    order_key(seed ^ order_key(0x6375_7400, cut as u64), y.into())
}

struct Builder<'a> {
    tree: CutTree,
    /// `(items, d)`
    places: &'a [f32],
    keys: &'a [u64],
    seed: u64,
}

impl CutTree {
    /// A tree with `leaves` leaves for items like the sampled ones.
    pub(crate) fn new(items: &[Item<'_>], dimension: usize, leaves: usize, seed: u64) -> Self {
        let mut sums = vec![0.0_f64; 2 * dimension];
        let mut counts = [0.0_f64; 2];
        for item in items {
            for (side, row) in [(0, item.x), (1, Some(item.y))] {
                if let Some(row) = row {
                    counts[side] += 1.0;
                    let own = &mut sums[side * dimension..(side + 1) * dimension];
                    own.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
                }
            }
        }
        let mean = |(at, sum): (usize, &f64)| (sum / counts[at / dimension].max(1.0)) as f32;
        let means: Vec<f32> = sums.iter().enumerate().map(mean).collect();
        let mut places = vec![0.0; items.len() * dimension];
        places.chunks_exact_mut(dimension).zip(items).for_each(|(place, item)| item.place(&means, place));
        let keys: Vec<u64> = items.iter().map(|item| item.key).collect();
        let tree = Self { dimension, means, ..Self::default() };
        let mut builder = Builder { tree, places: &places, keys: &keys, seed };
        let mut members: Vec<u32> = (0..items.len() as u32).collect();
        builder.cut(&mut members, 0..leaves);
        builder.tree
    }

    /// The leaf of an item; `room`, `(d,)`, is overwritten.
    pub(crate) fn leaf(&self, item: &Item<'_>, room: &mut [f32]) -> u32 {
        if self.thresholds.is_empty() {
            return 0;
        }
        item.place(&self.means, room);
        let mut node = 0;
        loop {
            let direction = &self.directions[node * self.dimension..(node + 1) * self.dimension];
            let low = (bits(position(room, direction)), item.key) < (self.thresholds[node], self.ties[node]);
            let place = self.below[2 * node + usize::from(!low)] as Place;
            if place < 0 {
                return !place as u32;
            }
            node = place as usize;
        }
    }

    /// The tree as groups of a file.
    pub(crate) fn groups(&self) -> [Group<'_>; 2] {
        let nodes = self.thresholds.len();
        let columns = vec![
            Column::f32s("direction", &self.directions, self.dimension),
            Column::u32s("threshold", &self.thresholds),
            Column::u64s("tie", &self.ties),
        ];
        [
            Group::whole("cuts", nodes, columns),
            Group::whole("cuts_below", 2 * nodes, vec![Column::u32s("place", &self.below)]),
        ]
    }

    /// The means as a group of a file.
    pub(crate) fn means_group(&self) -> Group<'_> {
        Group::whole("cut_means", 2, vec![Column::f32s("mean", &self.means, self.dimension)])
    }

    /// Reads what [`Self::groups`] and [`Self::means_group`] have written.
    pub(crate) fn read(file: &Segments, dimension: usize) -> Result<Self, Error> {
        let mut tree = Self { dimension, ..Self::default() };
        file.f32s("cuts", 0, "direction", &mut tree.directions)?;
        file.u32s("cuts", 0, "threshold", &mut tree.thresholds)?;
        file.u64s("cuts", 0, "tie", &mut tree.ties)?;
        file.u32s("cuts_below", 0, "place", &mut tree.below)?;
        file.f32s("cut_means", 0, "mean", &mut tree.means)?;
        Ok(tree)
    }
}

impl Builder<'_> {
    /// Cuts members into the leaves of a range; returns the place of the cut.
    fn cut(&mut self, members: &mut [u32], leaves: Range<usize>) -> Place {
        if leaves.len() == 1 {
            return !(leaves.start as Place);
        }
        let d = self.tree.dimension;
        let node = self.tree.thresholds.len();
        let direction = self.direction(members, node);
        let positions = members.iter().map(|&i| {
            let place = &self.places[i as usize * d..(i as usize + 1) * d];
            (bits(position(place, &direction)), self.keys[i as usize], i)
        });
        let mut positions: Vec<(u32, u64, u32)> = positions.collect();
        positions.sort_unstable();
        members.iter_mut().zip(&positions).for_each(|(member, position)| *member = position.2);
        let middle = leaves.start + leaves.len() / 2;
        let below = members.len() * (middle - leaves.start) / leaves.len();
        let (threshold, tie) = positions.get(below).map_or((u32::MAX, u64::MAX), |&(at, key, _)| (at, key));
        drop(positions);
        self.tree.directions.extend(direction);
        self.tree.thresholds.push(threshold);
        self.tree.ties.push(tie);
        self.tree.below.extend([0; 2]);
        let (low, high) = members.split_at_mut(below);
        let places = [self.cut(low, leaves.start..middle), self.cut(high, middle..leaves.end)];
        self.tree.below[2 * node..2 * node + 2].copy_from_slice(&places.map(|place| place as u32));
        node as Place
    }

    /// The difference of two random members; any direction if they coincide.
    fn direction(&self, members: &[u32], node: usize) -> Vec<f32> {
        let d = self.tree.dimension;
        let mut rng = stream(self.seed, &[node as u64]);
        for _ in 0..8 {
            if members.is_empty() {
                break;
            }
            let mut member = || members[rng.random_range(0..members.len())] as usize;
            let (a, b) = (member(), member());
            let pairs = self.places[a * d..(a + 1) * d].iter().zip(&self.places[b * d..(b + 1) * d]);
            let difference: Vec<f32> = pairs.map(|(a, b)| a - b).collect();
            if difference.iter().any(|&value| value != 0.0) {
                return difference;
            }
        }
        (0..d).map(|_| rng.sample(StandardNormal)).collect()
    }
}

fn position(place: &[f32], direction: &[f32]) -> f32 {
    place.iter().zip(direction).map(|(place, direction)| place * direction).sum()
}

/// Bits that are ordered as the numbers are.
fn bits(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segments;

    fn sizes(rows: &[f32], d: usize, leaves: usize) -> Vec<usize> {
        let item = |(i, row): (usize, &'_ [f32])| -> (u64, Vec<f32>) { (item_key(3, 1, i as u32), row.to_vec()) };
        let all: Vec<(u64, Vec<f32>)> = rows.chunks_exact(d).enumerate().map(item).collect();
        let items: Vec<Item<'_>> = all.iter().map(|(key, row)| Item { key: *key, x: Some(row), y: row }).collect();
        let tree = CutTree::new(&items, d, leaves, 5);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tree.bin");
        let [cuts, below] = tree.groups();
        segments::write(&path, &(), &[cuts, below, tree.means_group()]).unwrap();
        let read = CutTree::read(&Segments::open(&path).unwrap(), d).unwrap();
        let (mut sizes, mut room) = (vec![0; leaves], vec![0.0; d]);
        for item in &items {
            let leaf = tree.leaf(item, &mut room);
            assert_eq!(read.leaf(item, &mut room), leaf);
            sizes[leaf as usize] += 1;
        }
        sizes
    }

    #[test]
    fn leaves_are_of_equal_size() {
        let mut rng = stream(1, &[]);
        let rows: Vec<f32> = (0..3000).map(|_| rng.sample(StandardNormal)).collect();
        for leaves in [1, 2, 3, 7, 16] {
            let sizes = sizes(&rows, 3, leaves);
            let (least, most) = (1000 / leaves, 1000_usize.div_ceil(leaves));
            assert!(sizes.iter().all(|size| (least.saturating_sub(4)..=most + 4).contains(size)), "{sizes:?}");
        }
    }

    #[test]
    fn equal_points_are_cut_by_their_keys() {
        let sizes = sizes(&[1.0; 2000], 2, 4);
        assert!(sizes.iter().all(|&size| size == 250), "{sizes:?}");
    }

    #[test]
    fn bits_are_ordered_as_numbers() {
        let values = [f32::NEG_INFINITY, -2.0, -1e-40, 0.0, 1e-40, 1.0, f32::INFINITY];
        assert!(values.windows(2).all(|two| bits(two[0]) < bits(two[1])));
    }
}
