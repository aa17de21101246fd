//! How far each pair of a coupling is to be trusted, and softened targets for those that are not sure.

use super::error::AlignError;
use super::softening::{SoftPartners, Softening};
use crate::eval::{Scores, with_host_values};
use candle_core::{Result, Tensor};
use hiref_core::{Permutation, UNMATCHED, rng};
use rand::seq::index;
use rayon::prelude::*;

/// Names the streams of the reference items.
const REFERENCE: u64 = 0x7265_6665;

/// Both sides in joint coordinates, whose inner products are the scores, with the scores read from either side.
///
/// On sides of more than `reference_items` items, neighbours are looked for among that many drawn items, so that the
/// cost grows with n and m, not with n · m.
#[derive(Debug)]
pub(crate) struct Joint {
    x: Tensor,
    y: Tensor,
    from_x: Scores,
    from_y: Scores,
    x_reference: Option<Vec<u32>>,
    y_reference: Option<Vec<u32>>,
}

impl Joint {
    /// From joint coordinates `x (n, k)` and `y (m, k)`.
    pub(crate) fn new(x: &Tensor, y: &Tensor, reference_items: usize, seed: u64) -> Result<Self> {
        let x_reference = drawn(x.dim(0)?, reference_items, seed, 0);
        let y_reference = drawn(y.dim(0)?, reference_items, seed, 1);
        let (from_x, from_y) = if x_reference.is_none() && y_reference.is_none() {
            let scores = Scores::kept(x, y)?;
            let transposed = scores.transposed();
            (scores, transposed)
        } else {
            (Scores::new(x, &rows(y, y_reference.as_deref())?)?, Scores::new(y, &rows(x, x_reference.as_deref())?)?)
        };
        Ok(Self { x: x.clone(), y: y.clone(), from_x, from_y, x_reference, y_reference })
    }

    /// The coordinates of both sides.
    pub(crate) fn sides(&self) -> (&Tensor, &Tensor) {
        (&self.x, &self.y)
    }

    /// All scores, `(n * m,)`, if both sides are small.
    pub(crate) fn whole(&self) -> Option<&[f32]> {
        self.from_x.whole()
    }

    /// The same seen from the other side.
    pub(crate) fn swapped(&self) -> Self {
        Self {
            x: self.y.clone(),
            y: self.x.clone(),
            from_x: self.from_y.clone(),
            from_y: self.from_x.clone(),
            x_reference: self.y_reference.clone(),
            y_reference: self.x_reference.clone(),
        }
    }

    /// Mean of the `neighbours` best scores of each x, `(n,)`, and of each y, `(m,)`.
    pub(crate) fn neighbourhoods(&self, neighbours: usize) -> Result<(Vec<f32>, Vec<f32>)> {
        Ok((self.from_x.top_means(neighbours)?, self.from_y.top_means(neighbours)?))
    }

    /// For each x the mean of its likeliest partners' rows of `values`, `(m, e)`: `(n, e)`, on the host.
    pub(crate) fn soft_targets(&self, y_means: &[f32], softening: Softening, values: &Tensor) -> Result<Vec<f32>> {
        let width = values.dim(1)?;
        let correction = self.of_y_reference(y_means);
        let values = rows(values, self.y_reference.as_deref())?;
        let targets = with_host_values(&values, |values| {
            self.from_x.map_rows(|_, row| {
                let mut target = vec![0.0f32; width];
                for (j, share) in softening.likeliest(row, &correction) {
                    let row = &values[j as usize * width..][..width];
                    target.iter_mut().zip(row).for_each(|(sum, &value)| *sum += share * value);
                }
                target
            })
        })??;
        Ok(targets.concat())
    }

    /// The likeliest partners of each x, none more than `softening.candidates`.
    pub(crate) fn soft_partners(&self, y_means: &[f32], softening: Softening) -> Result<SoftPartners> {
        let correction = self.of_y_reference(y_means);
        let index = |j: u32| self.y_reference.as_ref().map_or(j, |reference| reference[j as usize]);
        let partners = self.from_x.map_rows(|_, row| softening.likeliest(row, &correction))?;
        let count = softening.candidates.min(correction.len());
        let (items, weights) = partners.into_iter().flatten().map(|(j, weight)| (index(j), weight)).unzip();
        Ok(SoftPartners { count, items, weights })
    }

    /// By how much each x prefers its partner at the prices of the y items: `s_ij + g_j` less the largest value of any
    /// other y of the partner's block; `-inf` for an x without partner, `inf` where there is no other.
    pub(crate) fn slack(&self, scores: &[f32], y_of_x: &[u32], (prices, blocks): (&[f64], &[u32])) -> Result<Vec<f32>> {
        let index = |j: usize| self.y_reference.as_ref().map_or(j, |reference| reference[j] as usize);
        self.from_x.map_rows(|i, row| {
            let partner = y_of_x[i];
            if partner == UNMATCHED {
                return f32::NEG_INFINITY;
            }
            let partner = partner as usize;
            let others = (0..row.len()).map(|at| (index(at), row[at]));
            let others = others.filter(|&(j, _)| j != partner && blocks[j] == blocks[partner]);
            let best = others.map(|(j, score)| f64::from(score) + prices[j]).fold(f64::NEG_INFINITY, f64::max);
            (f64::from(scores[i]) + prices[partner] - best) as f32
        })
    }

    /// Values of the y items, for those among which x looks for neighbours.
    fn of_y_reference(&self, values: &[f32]) -> Vec<f32> {
        match &self.y_reference {
            None => values.to_vec(),
            Some(reference) => reference.iter().map(|&j| values[j as usize]).collect(),
        }
    }
}

/// How far each pair is to be trusted: `2 s_ij - r_i - r'_j` for the x item i and its partner j, where `s` is the inner
/// product, `r_i` the mean of the `neighbours` best scores of i and `r'_j` that of j; `-inf` for an x without partner.
///
/// High where the pair stands out from both neighbourhoods; only the order counts. The corrections are separable, so
/// they cancel in a one-to-one coupling: they matter for what is believed of it, not for the coupling itself.
///
/// *Shapes*: joint coordinates `x (n, k)`, `y (m, k)` ([`TwoWayMap::joint`](crate::map::TwoWayMap::joint)); the answer
/// `(n,)`. *Complexity*: O((n + m) k · min(max(n, m), `reference_items`)) time, one tile of rows in memory.
/// *Determinism*: same bits for the same seed, which draws the reference items of sides larger than `reference_items`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hiref_core::Permutation;
/// use himacl::align::pair_confidence;
/// let x = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
/// let confidence = pair_confidence(&x, &x, &Permutation::identity(2), 2, 1000, 0)?;
/// assert_eq!(confidence, [1.0, 1.0]); // 2 · 1 - 1/2 - 1/2
/// # Ok::<(), himacl::align::AlignError>(())
/// ```
///
/// # Errors
/// A failed tensor operation.
///
/// # Panics
/// If the coupling is of other sizes than the two sides.
pub fn pair_confidence(
    x: &Tensor,
    y: &Tensor,
    coupling: &Permutation,
    neighbours: usize,
    reference_items: usize,
    seed: u64,
) -> std::result::Result<Vec<f32>, AlignError> {
    let joint = Joint::new(x, y, reference_items, seed)?;
    let (x_means, y_means) = joint.neighbourhoods(neighbours)?;
    Ok(confidence(&pair_scores(&joint, coupling)?, coupling, &x_means, &y_means))
}

/// By how much each pair is preferred at the prices of an optimal coupling, its *dual slack*: how much worse the best other
/// choice is for the item of the smaller side (x where both are of one size); for each x `(n,)`, `-inf` without partner.
///
/// With prices g of the other side, c the negative inner product and σ the coupling, `min_{j ≠ σ(i)} (c_ij - g_j) -
/// (c_iσ(i) - g_σ(i))`: the next best reduced cost. At an optimum it is at least 0, and 0 where another optimum pairs
/// otherwise. Unlike [`pair_confidence`] it knows which partners the others take. Only choices in the block of the partner
/// are looked at, because prices of different blocks do not compare ([`HirefOutput::prices`](hiref_core::HirefOutput::prices)).
///
/// *Shapes*, *Complexity*, *Determinism*: as [`pair_confidence`]; `prices` and `blocks` `(max(n, m),)`.
///
/// # Errors
/// A failed tensor operation.
///
/// # Panics
/// If the coupling or the prices are of other sizes than the two sides.
pub fn dual_slack(
    (x, y): (&Tensor, &Tensor),
    coupling: &Permutation,
    (prices, blocks): (&[f64], &[u32]),
    reference_items: usize,
    seed: u64,
) -> std::result::Result<Vec<f32>, AlignError> {
    let joint = Joint::new(x, y, reference_items, seed)?;
    let scores = pair_scores(&joint, coupling)?;
    if coupling.num_x() <= coupling.num_y() {
        return Ok(joint.slack(&scores, coupling.y_of_x(), (prices, blocks))?);
    }
    let (mut x_of_y, mut scores_of_y) = (vec![UNMATCHED; coupling.num_y()], vec![f32::NEG_INFINITY; coupling.num_y()]);
    for (i, j) in coupling.pairs() {
        (x_of_y[j], scores_of_y[j]) = (i as u32, scores[i]);
    }
    let of_y = joint.swapped().slack(&scores_of_y, &x_of_y, (prices, blocks))?;
    let of_x = coupling.y_of_x().iter().map(|&j| if j == UNMATCHED { f32::NEG_INFINITY } else { of_y[j as usize] });
    Ok(of_x.collect())
}

/// The score of each x with its partner, `(n,)`, `-inf` without one.
pub(crate) fn pair_scores(joint: &Joint, coupling: &Permutation) -> Result<Vec<f32>> {
    let (x, y) = joint.sides();
    let width = x.dim(1)?;
    assert_eq!((coupling.num_x(), coupling.num_y()), (x.dim(0)?, y.dim(0)?), "a coupling of other sizes");
    let (x, y) = (x.contiguous()?, y.contiguous()?);
    let partners = coupling.y_of_x();
    with_host_values(&x, |x| {
        with_host_values(&y, |y| {
            let score = |(i, &j): (usize, &u32)| {
                let row = y.get(j as usize * width..(j as usize + 1) * width)?;
                let products = x[i * width..][..width].iter().zip(row).map(|(&a, &b)| f64::from(a) * f64::from(b));
                Some(products.sum::<f64>() as f32)
            };
            partners.par_iter().enumerate().map(|pair| score(pair).unwrap_or(f32::NEG_INFINITY)).collect()
        })
    })?
}

/// [`pair_confidence`] from what it is made of.
pub(crate) fn confidence(scores: &[f32], coupling: &Permutation, x_means: &[f32], y_means: &[f32]) -> Vec<f32> {
    let mut confidence = vec![f32::NEG_INFINITY; scores.len()];
    for (i, j) in coupling.pairs() {
        confidence[i] = 2.0 * scores[i] - x_means[i] - y_means[j];
    }
    confidence
}

/// The pairs of which one is surest, `share` of all and at least one, by x index.
pub(crate) fn surest(coupling: &Permutation, confidence: &[f32], share: f64) -> Vec<(usize, usize)> {
    let mut pairs: Vec<(usize, usize)> = coupling.pairs().collect();
    let kept = ((share * pairs.len() as f64).round() as usize).clamp(1, pairs.len().max(1));
    if kept < pairs.len() {
        pairs.sort_by(|a, b| confidence[b.0].total_cmp(&confidence[a.0]));
        pairs.truncate(kept);
        pairs.sort_unstable();
    }
    pairs
}

/// The chosen rows, or all.
pub(crate) fn rows(tensor: &Tensor, chosen: Option<&[u32]>) -> Result<Tensor> {
    match chosen {
        None => tensor.contiguous(),
        Some(chosen) => tensor.index_select(&Tensor::new(chosen, tensor.device())?, 0),
    }
}

/// `limit` of `count` items in rising order, or none where all fit.
pub(crate) fn drawn(count: usize, limit: usize, seed: u64, side: u64) -> Option<Vec<u32>> {
    if count <= limit {
        return None;
    }
    let mut generator = rng::stream(seed, &[REFERENCE, side]);
    let mut drawn: Vec<u32> = index::sample(&mut generator, count, limit).into_iter().map(|at| at as u32).collect();
    drawn.sort_unstable();
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use hiref_core::{CostKind, HirefParams, Problem, Quality};
    use rand::Rng;

    fn joint(scores: &[[f32; 3]; 3]) -> Joint {
        let x = Tensor::new(scores, &Device::Cpu).unwrap();
        Joint::new(&x, &Tensor::eye(3, DType::F32, &Device::Cpu).unwrap(), 100, 0).unwrap()
    }

    #[test]
    fn confidence_by_hand() {
        let joint = joint(&[[1.0, 0.5, 0.0], [0.5, 0.25, 0.0], [0.0, 0.0, 0.75]]);
        let (x_means, y_means) = joint.neighbourhoods(2).unwrap();
        assert_eq!((x_means.as_slice(), y_means.as_slice()), (&[0.75, 0.375, 0.375][..], &[0.75, 0.375, 0.375][..]));
        let coupling = Permutation::identity(3);
        let scores = pair_scores(&joint, &coupling).unwrap();
        let confidence = confidence(&scores, &coupling, &x_means, &y_means);
        assert_eq!(confidence, [0.5, -0.25, 0.75]);
        assert_eq!(surest(&coupling, &confidence, 0.67), [(0, 0), (2, 2)]);
        assert_eq!(surest(&coupling, &confidence, 0.0), [(2, 2)]);
        let swapped = joint.swapped().neighbourhoods(1).unwrap();
        assert_eq!(swapped.0, [1.0, 0.5, 0.75]);
    }

    #[test]
    fn slack_by_hand() {
        let slack = |scores: &[[f32; 2]], partners: &[u32], prices: &[f64], blocks: &[u32]| {
            let x = Tensor::new(scores.concat(), &Device::Cpu).unwrap().reshape((scores.len(), 2)).unwrap();
            let y = Tensor::eye(2, DType::F32, &Device::Cpu).unwrap();
            let coupling = Permutation::new(partners.to_vec(), 2).unwrap();
            dual_slack((&x, &y), &coupling, (prices, blocks), 100, 0).unwrap()
        };
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a == b || (a - b).abs() < 1e-6);
        let square = [[1.0, 0.8], [0.7, 0.1]];
        // At these prices 0 prefers 1 (0.8 + 0.25 to 1), 1 prefers 0 (0.7 to 0.1 + 0.25).
        assert!(close(&slack(&square, &[1, 0], &[0.0, 0.25], &[0, 0]), &[0.05, 0.35]));
        assert_eq!(slack(&square, &[1, 0], &[0.0, 0.25], &[0, 1]), [f32::INFINITY; 2]);
        // More x than y: the prices are those of x, the choices those of y.
        let tall = [[1.0, 0.8], [0.7, 0.1], [0.0, 0.0]];
        let expected = [0.2, 0.2, f32::NEG_INFINITY];
        assert!(close(&slack(&tall, &[1, 0, UNMATCHED], &[0.0, 0.5, 0.0], &[0; 3]), &expected));
    }

    #[test]
    fn no_choice_is_better_at_the_solvers_prices() {
        for (n, m) in [(80, 80), (60, 80), (80, 60)] {
            let mut generator = rng::stream(4, &[]);
            let mut points = |count: usize| {
                let values: Vec<f32> = (0..count * 6).map(|_| generator.random_range(-1.0..1.0)).collect();
                Tensor::from_vec(values, (count, 6), &Device::Cpu).unwrap()
            };
            let (x, y) = (points(n), points(m));
            let problem = Problem::new(&x, &y, CostKind::NegativeInnerProduct).unwrap();
            let params = HirefParams { quality: Quality::Best, ..HirefParams::default() };
            let output = params.check().unwrap().solve(&problem, None, &()).unwrap();
            assert!(output.exact, "{n} with {m}");
            let slack = dual_slack((&x, &y), &output.permutation, output.prices(), 1000, 0).unwrap();
            let paired = slack.iter().filter(|slack| slack.is_finite()).count();
            let least = slack.iter().copied().filter(|slack| slack.is_finite()).fold(f32::INFINITY, f32::min);
            let most = slack.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert!(paired == n.min(m) && least > -1e-5 && most > 0.1, "{n} with {m}: {paired}, {least} to {most}");
        }
    }

    #[test]
    fn soft_targets_run_from_the_best_candidate_to_the_mean() {
        let joint = joint(&[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        let values = Tensor::new(&[[1f32], [10.0], [100.0]], &Device::Cpu).unwrap();
        let soften = |candidates, temperature| {
            joint.soft_targets(&[0.0; 3], Softening { candidates, temperature }, &values).unwrap()
        };
        assert_eq!(soften(1, 1.0), [1.0, 10.0, 100.0]);
        assert_eq!(soften(3, 1e-3), [1.0, 10.0, 100.0]);
        assert!(soften(3, 1e6).iter().all(|value| (value - 37.0).abs() < 1e-3));
    }

    #[test]
    fn large_sides_are_judged_by_reference_items() {
        let x = Tensor::rand(-1f32, 1.0, (40, 4), &Device::Cpu).unwrap();
        let joint = Joint::new(&x, &x, 10, 3).unwrap();
        let (x_means, y_means) = joint.neighbourhoods(10).unwrap();
        assert_eq!((x_means.len(), y_means.len()), (40, 40));
        let soft = joint.soft_targets(&y_means, Softening { candidates: 5, temperature: 0.1 }, &x).unwrap();
        assert!(soft.len() == 160 && soft.iter().all(|value| value.is_finite()));
        assert_eq!(drawn(40, 10, 3, 0), drawn(40, 10, 3, 0));
        assert_ne!(drawn(40, 10, 3, 0), drawn(40, 10, 3, 1));
    }

    #[test]
    fn an_item_without_partner_is_never_sure() {
        let x = Tensor::new(&[[1f32, 0.0], [0.0, 1.0], [1.0, 1.0]], &Device::Cpu).unwrap();
        let coupling = Permutation::new(vec![0, hiref_core::UNMATCHED, 1], 2).unwrap();
        let confidence = pair_confidence(&x, &x.narrow(0, 0, 2).unwrap(), &coupling, 1, 100, 0).unwrap();
        assert_eq!(confidence, [0.0 + 2.0 - 1.0 - 1.0, f32::NEG_INFINITY, 0.0]);
        assert_eq!(surest(&coupling, &confidence, 1.0), [(0, 0), (2, 1)]);
    }
}
