//! Which rows are trained on, which pairs are known, and which rows are held out.

use hiref_core::rng;
use rand::seq::SliceRandom;

/// Names the streams of the split.
const HELD_OUT: u64 = 0x6865_6c64;
const HIDING: u64 = 0x6869_6465;
const SOME_KNOWN: u64 = 0x736f_6d65;

/// The rows of a problem. All indices are rows of the source and target files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Split {
    /// Source rows to train on, `(n,)`.
    pub source: Vec<u32>,
    /// Target rows to train on, `(m,)`, in an order that says nothing about the pairing.
    pub target: Vec<u32>,
    /// Known pairs, as positions in `source` and `target`.
    pub anchors: Vec<(u32, u32)>,
    /// Position in `target` of the true partner of each position in `source`, `(n,)`, where the truth is known.
    /// For reports only: training never looks at it.
    pub truth: Option<Vec<u32>>,
    /// Rows held out: row i of the source belongs to row i of the target.
    pub held_out: Vec<u32>,
}

impl Split {
    /// Hides the pairing of `rows` items, of which row i of both sides belong together: `held_out` items are set aside,
    /// `anchors` of the rest stay known, and the target side of the rest is shuffled. Seeded.
    ///
    /// # Panics
    /// If held-out items and anchors are more than there are items.
    pub fn hiding_pairs(rows: usize, held_out: usize, anchors: usize, seed: u64) -> Self {
        assert!(held_out + anchors <= rows, "more held-out items and anchors than items");
        let mut items: Vec<u32> = (0..rows as u32).collect();
        items.shuffle(&mut rng::stream(seed, &[HELD_OUT]));
        let source = items.split_off(held_out);
        let mut order: Vec<u32> = (0..source.len() as u32).collect();
        order.shuffle(&mut rng::stream(seed, &[HIDING]));
        let target = order.iter().map(|&position| source[position as usize]).collect();
        let mut truth = vec![0; source.len()];
        for (at, &position) in order.iter().enumerate() {
            truth[position as usize] = at as u32;
        }
        let anchors = (0..anchors).map(|position| (position as u32, truth[position])).collect();
        Self { source, target, anchors, truth: Some(truth), held_out: items }
    }

    /// All rows of both sides, with the known pairs given by row.
    pub fn of_all(source_rows: usize, target_rows: usize, anchors: Vec<(u32, u32)>) -> Self {
        let all = |rows: usize| (0..rows as u32).collect();
        Self { source: all(source_rows), target: all(target_rows), anchors, ..Self::default() }
    }

    /// Positions of the source and target rows that no anchor pairs.
    pub fn free(&self) -> (Vec<u32>, Vec<u32>) {
        let without = |length: usize, taken: &dyn Fn(&(u32, u32)) -> u32| {
            let mut free = vec![true; length];
            for pair in &self.anchors {
                free[taken(pair) as usize] = false;
            }
            (0..length as u32).filter(|&position| free[position as usize]).collect()
        };
        (without(self.source.len(), &|pair| pair.0), without(self.target.len(), &|pair| pair.1))
    }

    /// `count` of the known pairs, drawn by the seed, and the others.
    pub fn some_known(&self, count: usize, seed: u64) -> [Vec<(u32, u32)>; 2] {
        let mut some = self.anchors.clone();
        some.shuffle(&mut rng::stream(seed, &[SOME_KNOWN]));
        let others = some.split_off(count.min(some.len()));
        [some, others]
    }

    /// The same as if the items of these `pairs`, positions in `source` and `target`, were not there. Nothing is said of the
    /// truth.
    #[must_use]
    pub fn without(&self, pairs: &[(u32, u32)]) -> Self {
        let left = |rows: &[u32], taken: &dyn Fn(&(u32, u32)) -> u32| {
            let mut is_left = vec![true; rows.len()];
            for pair in pairs {
                is_left[taken(pair) as usize] = false;
            }
            let mut count = 0;
            let place: Vec<Option<u32>> = is_left
                .iter()
                .map(|&is_left| {
                    count += u32::from(is_left);
                    is_left.then(|| count - 1)
                })
                .collect();
            let rows: Vec<u32> =
                rows.iter().zip(&is_left).filter(|(_, is_left)| **is_left).map(|(&row, _)| row).collect();
            (rows, place)
        };
        let (source, place_of_x) = left(&self.source, &|pair| pair.0);
        let (target, place_of_y) = left(&self.target, &|pair| pair.1);
        let anchor = |&(x, y): &(u32, u32)| Some((place_of_x[x as usize]?, place_of_y[y as usize]?));
        let anchors = self.anchors.iter().filter_map(anchor).collect();
        Self { source, target, anchors, truth: None, held_out: self.held_out.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_pairs_can_be_found_again() {
        let split = Split::hiding_pairs(20, 5, 3, 1);
        assert_eq!((split.source.len(), split.target.len(), split.held_out.len()), (15, 15, 5));
        let truth = split.truth.as_ref().unwrap();
        for (position, &row) in split.source.iter().enumerate() {
            assert_eq!(split.target[truth[position] as usize], row);
            assert!(!split.held_out.contains(&row));
        }
        assert_ne!(split.source, split.target);
        assert!(split.anchors.iter().all(|&(x, y)| split.source[x as usize] == split.target[y as usize]));
        let (x, y) = split.free();
        assert_eq!((x.len(), y.len()), (12, 12));
        assert!(split.anchors.iter().all(|(a, b)| !x.contains(a) && !y.contains(b)));
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(Split::hiding_pairs(20, 5, 3, 1), Split::hiding_pairs(20, 5, 3, 1));
        assert_ne!(Split::hiding_pairs(20, 5, 3, 1), Split::hiding_pairs(20, 5, 3, 2));
    }
}
