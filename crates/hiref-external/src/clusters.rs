//! The coarse partition that rows are routed by: centroids and prices of clusters of sampled pairs.

use crate::balance::{Balanced, Candidates, balance, divide};
use crate::error::Error;
use crate::plan::Plan;
use crate::segments::{Column, Group, Segments};
use hiref_core::CostKind;
use hiref_core::math::inner_products;
use hiref_core::rng::order_key;
use rayon::prelude::*;

/// Rounds of centroids and labels.
const ROUNDS: usize = 12;
/// Rows whose products are computed at a time.
const TILE: usize = 256;
/// Scores of equal rows are told apart by so much, as a share of the largest: else all of them would go to one cluster.
const JITTER: f32 = 1e-5;

/// Clusters of pairs: a row of one side belongs where its product with the other side's centroid, and the price, are largest.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    /// Features of a row: its coordinates less these, `(2, d)`.
    shift: Vec<f32>,
    /// `(clusters, w)` of either side.
    centroids: [Vec<f32>; 2],
    /// `(clusters,)` for rows of either side.
    pub(crate) prices: [Vec<f64>; 2],
    /// Sampled pairs of each, and sampled rows of the larger side without a partner.
    pairs: Vec<u32>,
    singles: Vec<u32>,
}

/// How rows become features, `(rows, w)`: a pair's product of features is what the cost leaves to maximise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) shift: &'a [f32],
}

impl Features<'_> {
    /// The features of rows of a side.
    pub(crate) fn of(&self, side: usize, rows: &[f32]) -> Vec<f32> {
        let (d, w) = (self.plan.dimension, self.plan.feature_width());
        let shift = &self.shift[side * d..(side + 1) * d];
        let mut features = vec![0.0; rows.len() / d * w];
        features.par_chunks_exact_mut(w).zip(rows.par_chunks_exact(d)).for_each(|(feature, row)| {
            let scale = if self.plan.cost == CostKind::Cosine { 1.0 / norm(row) } else { 1.0 };
            for ((feature, value), shift) in feature.iter_mut().zip(row).zip(shift) {
                *feature = value * scale - shift;
            }
            if w > d {
                let half_square = 0.5 * feature[..d].iter().map(|v| v * v).sum::<f32>();
                feature[d] = if side == 0 { -1.0 } else { half_square };
            }
        });
        features
    }
}

pub(crate) fn norm(row: &[f32]) -> f32 {
    row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt() as f32
}

/// What may be subtracted from the rows of each side without changing which pairing is best, `(2, d)`: as much of the means as that allows.
pub(crate) fn shift_of(plan: &Plan, means: [&[f32]; 2]) -> Vec<f32> {
    let zero = vec![0.0; plan.dimension];
    let of_smaller = match (plan.unmatched(), plan.is_lifted()) {
        (0, _) => means[0],
        (_, true) => means[1],
        (_, false) => &zero,
    };
    [of_smaller, means[1]].concat()
}

impl Clusters {
    /// Clusters of sampled pairs: row i of the smaller side and row i of the larger are partners, further rows of the larger have none.
    pub(crate) fn new(plan: &Plan, shift: Vec<f32>, features: [&[f32]; 2], start: &[u32]) -> Result<Self, Error> {
        let (w, count) = (plan.feature_width(), plan.solve_blocks);
        let (pairs, items) = (features[0].len() / w, features[1].len() / w);
        let sizes = divide(items, &vec![1; count]);
        let mut labels: Vec<u16> = start.iter().map(|&label| label as u16).collect();
        let mut clusters = Self { shift, prices: [vec![0.0; count], vec![0.0; count]], ..Self::default() };
        for round in 0..=ROUNDS {
            clusters.centroids = [0, 1].map(|side| centroids(features[side], w, &labels, count));
            if round == ROUNDS || count == 1 {
                break;
            }
            let mut all = Candidates::new(plan.candidates);
            let mut both = vec![0.0; TILE * count];
            for start in (0..items).step_by(TILE) {
                let end = (start + TILE).min(items);
                let tile = &mut both[..(end - start) * count];
                inner_products(&features[1][start * w..end * w], &clusters.centroids[0], w, tile, count);
                if start < pairs {
                    let end = end.min(pairs);
                    let mut own = vec![0.0; (end - start) * count];
                    inner_products(&features[0][start * w..end * w], &clusters.centroids[1], w, &mut own, count);
                    tile.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
                }
                Self::select(tile, &clusters.prices[0], start as u64, &mut all);
            }
            let source = |take: &mut dyn FnMut(usize, &Candidates)| {
                take(0, &all);
                Ok(())
            };
            let Balanced { prices, moved } = balance(&source, items, &sizes, &clusters.prices[0], plan.seed)?;
            labels = (0..items).map(|row| all.best(row, &prices).0).collect();
            moved.into_iter().for_each(|(row, label)| labels[row as usize] = label);
            clusters.prices[0] = prices;
        }
        let count_of = |labels: &[u16]| {
            let mut counts = vec![0; count];
            labels.iter().for_each(|&label| counts[label as usize] += 1);
            counts
        };
        (clusters.pairs, clusters.singles) = (count_of(&labels[..pairs]), count_of(&labels[pairs..]));
        // Half of a pair's price each is a fair start for the rows of either side.
        let half: Vec<f64> = clusters.prices[0].iter().map(|price| 0.5 * price).collect();
        clusters.prices = [half.clone(), half];
        Ok(clusters)
    }

    /// Rows of both sides that each cluster takes.
    pub(crate) fn sizes(&self, plan: &Plan) -> [Vec<usize>; 2] {
        let shares = |counts: &[u32]| counts.iter().map(|&count| count as usize).collect::<Vec<_>>();
        let smaller = divide(plan.rows[0], &shares(&self.pairs));
        let singles = divide(plan.unmatched(), &shares(&self.singles));
        let larger = smaller.iter().zip(singles).map(|(pairs, singles)| pairs + singles).collect();
        [smaller, larger]
    }

    /// What rows of a side are turned into.
    pub(crate) fn features<'a>(&'a self, plan: &'a Plan) -> Features<'a> {
        Features { plan, shift: &self.shift }
    }

    /// The best clusters of rows of a side, whose first has a number.
    pub(crate) fn candidates(&self, plan: &Plan, side: usize, first: usize, features: &[f32]) -> Candidates {
        let (w, count) = (plan.feature_width(), plan.solve_blocks);
        let tiles: Vec<Candidates> = features
            .par_chunks(TILE * w)
            .enumerate()
            .map(|(tile, features)| {
                let mut scores = vec![0.0; features.len() / w * count];
                inner_products(features, &self.centroids[1 - side], w, &mut scores, count);
                let mut candidates = Candidates::new(plan.candidates);
                Self::select(&scores, &self.prices[side], (first + tile * TILE) as u64, &mut candidates);
                candidates
            })
            .collect();
        let mut all = Candidates::new(plan.candidates);
        for tile in tiles {
            all.clusters.extend(tile.clusters);
            all.scores.extend(tile.scores);
        }
        all
    }

    /// Adds the best of all scores of each row.
    fn select(scores: &[f32], prices: &[f64], first: u64, out: &mut Candidates) {
        let count = prices.len();
        let mut order: Vec<(f64, u16, f32)> = Vec::with_capacity(count);
        for (row, scores) in scores.chunks_exact(count).enumerate() {
            let scale =
                JITTER * scores.iter().fold(0.0_f32, |most, score| most.max(score.abs())).max(f32::MIN_POSITIVE);
            order.clear();
            for (cluster, (&score, price)) in scores.iter().zip(prices).enumerate() {
                let key = order_key(first + row as u64, cluster as u64) >> 40;
                let score = score + scale * key as f32 / (1_u64 << 24) as f32;
                order.push((f64::from(score) + price, cluster as u16, score));
            }
            if out.width < count {
                order.select_nth_unstable_by(out.width - 1, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            }
            let chosen = &mut order[..out.width];
            chosen.sort_unstable_by_key(|candidate| candidate.1);
            out.clusters.extend(chosen.iter().map(|candidate| candidate.1));
            out.scores.extend(chosen.iter().map(|candidate| candidate.2));
        }
    }

    /// As groups of a file.
    pub(crate) fn groups(&self, plan: &Plan) -> Vec<Group<'_>> {
        let w = plan.feature_width();
        let columns = vec![
            Column::f32s("centroid_0", &self.centroids[0], w),
            Column::f32s("centroid_1", &self.centroids[1], w),
            Column::f64s("price_0", &self.prices[0]),
            Column::f64s("price_1", &self.prices[1]),
            Column::u32s("pairs", &self.pairs),
            Column::u32s("singles", &self.singles),
        ];
        let shift = vec![Column::f32s("shift", &self.shift, plan.dimension)];
        vec![Group::whole("clusters", plan.solve_blocks, columns), Group::whole("shift", 2, shift)]
    }

    /// Reads what [`Self::groups`] has written.
    pub(crate) fn read(file: &Segments) -> Result<Self, Error> {
        let mut clusters = Self::default();
        for (side, names) in [["centroid_0", "price_0"], ["centroid_1", "price_1"]].into_iter().enumerate() {
            file.f32s("clusters", 0, names[0], &mut clusters.centroids[side])?;
            file.f64s("clusters", 0, names[1], &mut clusters.prices[side])?;
        }
        file.u32s("clusters", 0, "pairs", &mut clusters.pairs)?;
        file.u32s("clusters", 0, "singles", &mut clusters.singles)?;
        file.f32s("shift", 0, "shift", &mut clusters.shift)?;
        Ok(clusters)
    }
}

/// Sums of the features of each cluster over all of its items, also those that this side does not have.
fn centroids(features: &[f32], w: usize, labels: &[u16], count: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; count * w];
    for (row, &label) in features.chunks_exact(w).zip(labels) {
        let sum = &mut sums[label as usize * w..(label as usize + 1) * w];
        sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let mut counts = vec![0.0_f64; count];
    labels.iter().for_each(|&label| counts[label as usize] += 1.0);
    sums.iter().enumerate().map(|(at, sum)| (sum / counts[at / w].max(1.0)) as f32).collect()
}
