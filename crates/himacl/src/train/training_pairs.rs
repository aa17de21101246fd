//! The pairs that a map is trained on.

use super::coupling::Coupling;
use super::recipe::PairWeights;
use crate::align::SoftPartners;
use candle_core::{Device, Result, Tensor};
use hiref_core::rng;
use rand::seq::SliceRandom;

/// Names the streams of the batch order.
const BATCH_ORDER: u64 = 0x6f72_6465;

/// Source rows, their partners' rows and the weight of each pair; all of one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pairs {
    /// Source positions.
    pub x: Vec<u32>,
    /// Target positions.
    pub y: Vec<u32>,
    /// Weights, not negative, 1 on average.
    pub weight: Vec<f32>,
    /// Where targets are softened: what each pair aims at on the target side, and on the source side; rows with shares.
    pub soft: Option<(SoftPartners, SoftPartners)>,
}

/// How pairs are made of a coupling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairParams {
    /// The share of the coupled pairs that is used, the surest.
    pub keep: f64,
    /// How the used ones are weighted.
    pub weights: PairWeights,
    /// The share of the softened target, where there is one.
    pub softness: f64,
    /// The share of the weight that the known pairs have.
    pub anchor_share: f64,
}

impl Pairs {
    /// The anchors, with their share of the weight, and the surest of the coupling of the free items, `free`, with the
    /// rest.
    pub fn new(anchors: &[(u32, u32)], free: &(Vec<u32>, Vec<u32>), coupling: &Coupling, params: &PairParams) -> Self {
        let PairParams { keep, weights, softness, anchor_share } = *params;
        let mut coupled: Vec<(usize, usize)> = coupling.permutation.pairs().collect();
        let confidence = |pair: &(usize, usize)| coupling.confidence[pair.0];
        coupled.retain(|pair| confidence(pair) > f32::NEG_INFINITY);
        coupled.sort_by(|a, b| confidence(b).total_cmp(&confidence(a)).then(a.cmp(b)));
        coupled.truncate((keep * coupled.len() as f64).round() as usize);
        let count = coupled.len() as f64;
        let weight = |at: usize| match weights {
            PairWeights::Equal => 1.0,
            PairWeights::Confidence => 2.0 * (count - at as f64 - 0.5) / count,
        };
        let mut coupled: Vec<_> = coupled.into_iter().enumerate().map(|(at, (x, y))| (x, y, weight(at))).collect();
        coupled.sort_unstable_by_key(|pair| pair.0);
        let total = (anchors.len() + coupled.len()) as f64;
        let share = match (anchors.len(), coupled.len()) {
            (0, _) => 0.0,
            (_, 0) => 1.0,
            _ => anchor_share,
        };
        let mut pairs = Self::default();
        let mut push = |x: u32, y: u32, weight: f64| {
            pairs.x.push(x);
            pairs.y.push(y);
            pairs.weight.push(weight as f32);
        };
        for &(x, y) in anchors {
            push(x, y, share * total / anchors.len() as f64);
        }
        for &(x, y, weight) in &coupled {
            push(free.0[x], free.1[y], weight * (1.0 - share) * total / count);
        }
        let soften = |soft: &SoftPartners, hard: &[u32], of: &dyn Fn(&(usize, usize, f64)) -> usize, rows: &[u32]| {
            let of_anchors = anchors.iter().map(|_| None);
            let of_coupled = coupled.iter().map(|pair| Some(of(pair)));
            aims(soft, hard, of_anchors.chain(of_coupled), rows, softness)
        };
        pairs.soft = coupling.soft.as_ref().map(|(of_source, of_target)| {
            (soften(of_source, &pairs.y, &|pair| pair.0, &free.1), soften(of_target, &pairs.x, &|pair| pair.1, &free.0))
        });
        pairs
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    /// The order in which an epoch visits the pairs: a shuffle that depends on nothing but the seed and the epoch.
    pub fn order(&self, seed: u64, epoch: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.shuffle(&mut rng::stream(seed, &[BATCH_ORDER, epoch]));
        order
    }

    /// What the pairs at `positions` aim at: means of rows of `y (m, e)`, and of `x (n, d)`, `(b, e)` and `(b, d)`; none
    /// where targets are not softened.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn softened(&self, positions: &[u32], x: &Tensor, y: &Tensor) -> Result<Option<(Tensor, Tensor)>> {
        let mean = |soft: &SoftPartners, side: &Tensor| -> Result<Tensor> {
            let (items, shares): (Vec<u32>, Vec<f32>) = positions.iter().flat_map(|&at| soft.of(at as usize)).unzip();
            let rows = side.index_select(&Tensor::new(items, side.device())?, 0)?;
            let rows = rows.reshape((positions.len(), soft.count, side.dim(1)?))?; // (b, k, e)
            let shares = Tensor::from_vec(shares, (positions.len(), 1, soft.count), side.device())?;
            shares.matmul(&rows)?.squeeze(1)
        };
        self.soft.as_ref().map(|(of_x, of_y)| Ok((mean(of_x, y)?, mean(of_y, x)?))).transpose()
    }

    /// Rows, partners' rows and weights of the pairs at `positions`, each `(b,)`.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn batch(&self, positions: &[u32], device: &Device) -> Result<(Tensor, Tensor, Tensor)> {
        let pick = |values: &[u32]| Tensor::from_iter(positions.iter().map(|&at| values[at as usize]), device);
        let weight = Tensor::from_iter(positions.iter().map(|&at| self.weight[at as usize]), device)?;
        Ok((pick(&self.x)?, pick(&self.y)?, weight))
    }
}

/// What each pair aims at: its partner, and with share `softness` the likely partners of the free item `of` that it has;
/// a known pair has none.
fn aims(
    soft: &SoftPartners,
    hard: &[u32],
    of: impl Iterator<Item = Option<usize>>,
    rows: &[u32],
    softness: f64,
) -> SoftPartners {
    let mut aims = SoftPartners { count: soft.count + 1, ..SoftPartners::default() };
    let mut push = |row: u32, share: f32| {
        aims.items.push(row);
        aims.weights.push(share);
    };
    for (&partner, item) in hard.iter().zip(of) {
        match item {
            None => (0..=soft.count).for_each(|at| push(partner, f32::from(u8::from(at == 0)))),
            Some(item) => {
                push(partner, (1.0 - softness) as f32);
                soft.of(item).for_each(|(at, share)| push(rows[at as usize], softness as f32 * share));
            }
        }
    }
    aims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::coupling::tests::{coupling, soft_coupling};

    const PARAMS: PairParams = PairParams { keep: 1.0, weights: PairWeights::Equal, softness: 0.0, anchor_share: 0.25 };

    #[test]
    fn anchors_get_their_share_and_the_surest_pairs_are_kept() {
        let free = (vec![1, 2, 3], vec![0, 2, 3]);
        let pairs = Pairs::new(&[(0, 1)], &free, &coupling(), &PairParams { keep: 0.67, ..PARAMS });
        assert_eq!((pairs.x, pairs.y, pairs.weight), (vec![0, 2, 3], vec![1, 0, 2], vec![0.75, 1.125, 1.125]));
        let pairs = Pairs::new(&[], &free, &coupling(), &PARAMS);
        assert_eq!((pairs.x, pairs.weight), (vec![1, 2, 3], vec![1.0; 3]));
    }

    #[test]
    fn pairs_without_confidence_are_left_out() {
        let mut doubted = coupling();
        doubted.confidence[1] = f32::NEG_INFINITY;
        let pairs = Pairs::new(&[], &(vec![1, 2, 3], vec![0, 2, 3]), &doubted, &PARAMS);
        assert_eq!((pairs.x, pairs.weight), (vec![1, 3], vec![1.0; 2]));
    }

    #[test]
    fn surer_pairs_weigh_more() {
        let free = (vec![1, 2, 3], vec![0, 2, 3]);
        let params = PairParams { weights: PairWeights::Confidence, ..PARAMS };
        let pairs = Pairs::new(&[(0, 1)], &free, &coupling(), &params);
        // 3 of 4 parts of the weight 4 for three pairs, as 1/3 : 5/3 : 3/3.
        let expected = [1.0, 1.0 / 3.0, 5.0 / 3.0, 1.0];
        assert!(pairs.weight.iter().zip(expected).all(|(a, b)| (a - b as f32).abs() < 1e-6), "{:?}", pairs.weight);
    }

    #[test]
    fn softened_targets_by_hand() {
        let free = (vec![1, 2, 3], vec![0, 2, 3]);
        let pairs = Pairs::new(&[(0, 1)], &free, &soft_coupling(), &PairParams { softness: 0.5, ..PARAMS });
        assert_eq!(pairs.y, [1, 3, 0, 2]);
        let side = |scale: f64| (Tensor::new(&[[0f32], [1.0], [2.0], [3.0]], &Device::Cpu).unwrap() * scale).unwrap();
        let (aim_y, aim_x) = pairs.softened(&[0, 1, 3], &side(10.0), &side(1.0)).unwrap().unwrap();
        // The anchor's partner; then half the partner and half of 3/4 the first candidate and 1/4 the second.
        let expected = [1.0, 0.5 * 3.0 + 0.5 * (0.75 * 3.0 + 0.25 * 2.0), 0.5 * 2.0 + 0.5 * (0.75 * 2.0)];
        assert_eq!(aim_y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected);
        // Targets 2 and 1 of the free ones, with candidates (2, 0) and (1, 2) of the free sources (rows 1, 2, 3).
        let expected =
            [0.0, 0.5 * 10.0 + 0.5 * (0.75 * 30.0 + 0.25 * 10.0), 0.5 * 30.0 + 0.5 * (0.75 * 20.0 + 0.25 * 30.0)];
        assert_eq!(aim_x.flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected);
        assert!(Pairs::new(&[], &free, &coupling(), &PARAMS).softened(&[0], &side(1.0), &side(1.0)).unwrap().is_none());
    }

    #[test]
    fn every_epoch_visits_every_pair_once_in_its_own_order() {
        let pairs = Pairs { x: (0..50).collect(), y: (0..50).rev().collect(), weight: vec![1.0; 50], soft: None };
        let (first, again, second) = (pairs.order(3, 0), pairs.order(3, 0), pairs.order(3, 1));
        assert_eq!(first, again);
        assert_ne!(first, second);
        let mut sorted = second;
        sorted.sort_unstable();
        assert_eq!(sorted, pairs.x);
    }
}
