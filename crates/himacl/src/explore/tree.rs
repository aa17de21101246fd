//! The pairs as a tree of co-clusters: groups of pairs, whose items of either side belong together.

use super::directions::Directions;
use super::paired::Paired;
use super::words::{Vocabulary, Word};
use crate::align::k_means;
use hiref_core::rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::Serialize;

/// Groups of fewer pairs are not divided.
const SMALLEST: usize = 24;
/// Levels below the root, at most.
const LEVELS: u64 = 6;
/// Parts of a group, at most; and as many where no number of them is natural.
const PARTS: std::ops::RangeInclusive<usize> = 2..=8;
const PARTS_OF_A_CONTINUUM: usize = 6;
/// A division is natural where it explains so much of the variance.
const NATURAL: f64 = 0.5;
/// Pairs that the parts are found on; all pairs then go to the nearest.
const SAMPLE: usize = 4096;
/// Names the stream of the samples.
const STREAM: u64 = 0x7472_6565;
/// Typical pairs and words of a group.
const TYPICAL: usize = 8;
const WORDS: usize = 8;

/// Co-clusters of a pairing, level by level.
#[derive(Debug, Clone, Serialize)]
pub struct Tree {
    /// The root first; every node after its parent, the nodes of a level by falling size.
    pub nodes: Vec<TreeNode>,
    /// The numbers of the pairs, arranged so that those of a node follow one another.
    pub order: Vec<u32>,
}

/// A group of pairs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TreeNode {
    /// The node that it is part of.
    pub parent: Option<u32>,
    /// Steps from the root.
    pub level: u64,
    /// Where its pairs begin in [`Tree::order`].
    pub start: u32,
    /// Pairs in it.
    pub size: u32,
    /// Their mean cost.
    pub mean_cost: f64,
    /// The pairs nearest to its mean.
    pub typical: Vec<u32>,
    /// Words that set it apart from its siblings.
    pub words: Vec<Word>,
}

impl Tree {
    /// Divides the pairs, by the mean of their items' coordinates along `directions`.
    ///
    /// Pairs stay whole, so a node has as many items of one side as of the other, as the blocks of hierarchical refinement
    /// have; it is made from the final pairs, which the sweeps took out of the blocks that they were first found in. A group
    /// gets two to eight parts by k-means: the number with the largest variance ratio (Caliński and Harabasz 1974) where that
    /// division explains half of the variance, else six. `vocabulary` has the texts of x, then those of y.
    ///
    /// *Complexity*: O(pairs · count) for each level. *Determinism*: same bits for the same seed.
    pub fn grow(paired: &Paired, directions: &Directions, vocabulary: &Vocabulary, seed: u64) -> Self {
        let width = directions.len();
        let place = |side: usize, item: u32| &directions.coordinates(side)[item as usize * width..][..width];
        let mean = |&[i, j]: &[u32; 2]| place(0, i).iter().zip(place(1, j)).map(|(a, b)| 0.5 * (a + b));
        let point: Vec<f32> = paired.pairs().iter().flat_map(mean).collect();
        let points = Points { values: &point, width };
        let mut tree = Self { nodes: Vec::new(), order: (0..paired.pairs().len() as u32).collect() };
        tree.nodes.push(TreeNode {
            parent: None,
            level: 0,
            start: 0,
            size: tree.order.len() as u32,
            mean_cost: 0.0,
            typical: Vec::new(),
            words: Vec::new(),
        });
        let mut next = 0;
        while next < tree.nodes.len() {
            tree.divide(next, points, seed);
            next += 1;
        }
        tree.describe(paired, points, vocabulary);
        tree
    }

    /// The numbers of the pairs of a node.
    pub fn pairs(&self, node: &TreeNode) -> &[u32] {
        &self.order[node.start as usize..][..node.size as usize]
    }

    fn divide(&mut self, at: usize, points: Points<'_>, seed: u64) {
        let TreeNode { level, start, size, .. } = self.nodes[at];
        if level >= LEVELS || (size as usize) < SMALLEST {
            return;
        }
        let items = &mut self.order[start as usize..][..size as usize];
        let centres = points.parts(items, seed, at as u64);
        let mut parts: Vec<Vec<u32>> = vec![Vec::new(); centres.len() / points.width];
        let nearest: Vec<usize> = items.par_iter().map(|&item| points.nearest(item, &centres)).collect();
        items.iter().zip(nearest).for_each(|(&item, part)| parts[part].push(item));
        parts.retain(|part| !part.is_empty());
        if parts.len() < 2 {
            return;
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        let mut start = start;
        for part in parts {
            let size = part.len() as u32;
            self.order[start as usize..][..size as usize].copy_from_slice(&part);
            let node = TreeNode { parent: Some(at as u32), level: level + 1, start, size, ..self.nodes[at].clone() };
            self.nodes.push(node);
            start += size;
        }
    }

    /// Cost, typical pairs and words of every node.
    fn describe(&mut self, paired: &Paired, points: Points<'_>, vocabulary: &Vocabulary) {
        let first = paired.sizes()[0] as u32;
        let pair = |&number: &u32| paired.pairs()[number as usize];
        let texts = |pairs: &[u32]| -> Vec<u32> {
            pairs.iter().map(|at| pair(at)[0]).chain(pairs.iter().map(|at| first + pair(at)[1])).collect()
        };
        let describe = |node: &TreeNode| {
            let items = self.pairs(node);
            let cost: f64 = items.iter().map(pair).map(|[i, j]| paired.between(i, j)).sum();
            let mean = points.mean(items);
            let mut near: Vec<(f32, u32)> = items.iter().map(|&item| (points.distance(item, &mean), item)).collect();
            near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            near.truncate(TYPICAL);
            let words = node.parent.map_or_else(Vec::new, |parent| {
                let parent = &self.nodes[parent as usize];
                let all = self.pairs(parent);
                let before = (node.start - parent.start) as usize;
                let siblings = [&all[..before], &all[before + node.size as usize..]].concat();
                vocabulary.distinctive(&texts(items), Some(&texts(&siblings)), WORDS)
            });
            let typical = near.into_iter().map(|(_, item)| item).collect();
            TreeNode { mean_cost: cost / f64::from(node.size.max(1)), typical, words, ..node.clone() }
        };
        self.nodes = self.nodes.par_iter().map(describe).collect();
    }
}

/// Where the pairs lie, by number.
#[derive(Clone, Copy)]
struct Points<'a> {
    values: &'a [f32],
    width: usize,
}

impl Points<'_> {
    fn of(&self, item: u32) -> &[f32] {
        &self.values[item as usize * self.width..][..self.width]
    }

    fn distance(&self, item: u32, to: &[f32]) -> f32 {
        self.of(item).iter().zip(to).map(|(a, b)| (a - b) * (a - b)).sum()
    }

    fn nearest(&self, item: u32, centres: &[f32]) -> usize {
        let distances = centres.chunks(self.width).map(|centre| self.distance(item, centre));
        distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at)
    }

    fn mean(&self, items: &[u32]) -> Vec<f32> {
        let mut sum = vec![0.0f64; self.width];
        for &item in items {
            sum.iter_mut().zip(self.of(item)).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        sum.into_iter().map(|sum| (sum / items.len().max(1) as f64) as f32).collect()
    }

    /// The centres of the parts of a group.
    fn parts(&self, items: &[u32], seed: u64, node: u64) -> Vec<f32> {
        let mut sample = items.to_vec();
        sample.shuffle(&mut rng::stream(seed, &[STREAM, node]));
        sample.truncate(SAMPLE);
        let values: Vec<f32> = sample.iter().flat_map(|&item| self.of(item).iter().copied()).collect();
        let mean = self.mean(&sample);
        let total: f64 = sample.iter().map(|&item| f64::from(self.distance(item, &mean))).sum();
        let count = sample.len() as f64;
        let divide = |parts: usize| {
            let centres = k_means(&values, self.width, parts, seed, &[STREAM, node, parts as u64]).points;
            let within: f64 = sample
                .iter()
                .map(|&item| f64::from(self.distance(item, &centres[self.nearest(item, &centres) * self.width..])))
                .sum();
            let explained = 1.0 - within / total.max(f64::MIN_POSITIVE);
            let ratio = explained / (1.0 - explained).max(1e-12) * (count - parts as f64) / (parts as f64 - 1.0);
            (ratio, explained, centres, parts)
        };
        let divisions: Vec<_> = PARTS.into_par_iter().map(divide).collect();
        let natural = divisions.iter().max_by(|a, b| a.0.total_cmp(&b.0)).filter(|best| best.1 >= NATURAL);
        let chosen = natural.or_else(|| divisions.iter().find(|division| division.3 == PARTS_OF_A_CONTINUUM));
        chosen.map_or_else(Vec::new, |division| division.2.clone())
    }
}
