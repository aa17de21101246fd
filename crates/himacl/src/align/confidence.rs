//! How far each pair of a coupling is to be trusted.

use super::error::AlignError;
use super::joint::{Joint, ReferenceItems};
use crate::eval::with_host_values;
use candle_core::{Result, Tensor};
use hiref_core::{Permutation, UNMATCHED};
use rayon::prelude::*;

/// How far each pair is to be trusted: `2 s_ij - r_i - r'_j` for the x item i and its partner j, where `s` is the inner
/// product, `r_i` the mean of the `neighbours` best scores of i and `r'_j` that of j; `-inf` for an x without partner.
///
/// High where the pair stands out from both neighbourhoods; only the order counts. The corrections are separable, so
/// they cancel in a one-to-one coupling: they matter for what is believed of it, not for the coupling itself.
///
/// *Shapes*: joint coordinates `x (n, k)`, `y (m, k)` ([`TwoWayMap::joint`](crate::map::TwoWayMap::joint)); the answer
/// `(n,)`. *Complexity*: O((n + m) k · min(max(n, m), `reference.limit`)) time, one tile of rows in memory.
/// *Determinism*: same bits for the same seed, which draws the reference items of sides larger than that.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hiref_core::Permutation;
/// use himacl::align::{ReferenceItems, pair_confidence};
/// let x = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
/// let confidence = pair_confidence(&x, &x, &Permutation::identity(2), 2, ReferenceItems { limit: 1000, seed: 0 })?;
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
    reference: ReferenceItems,
) -> std::result::Result<Vec<f32>, AlignError> {
    let joint = Joint::new(x, y, reference)?;
    Ok(confidence_of(&joint, coupling, neighbours)?)
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
    reference: ReferenceItems,
) -> std::result::Result<Vec<f32>, AlignError> {
    let joint = Joint::new(x, y, reference)?;
    let scores = pair_scores(&joint, coupling)?;
    if coupling.num_x() <= coupling.num_y() {
        return Ok(slack(&joint, &scores, coupling.y_of_x(), (prices, blocks))?);
    }
    let (mut x_of_y, mut scores_of_y) = (vec![UNMATCHED; coupling.num_y()], vec![f32::NEG_INFINITY; coupling.num_y()]);
    for (i, j) in coupling.pairs() {
        (x_of_y[j], scores_of_y[j]) = (i as u32, scores[i]);
    }
    let of_y = slack(&joint.swapped(), &scores_of_y, &x_of_y, (prices, blocks))?;
    let of_x = coupling.y_of_x().iter().map(|&j| if j == UNMATCHED { f32::NEG_INFINITY } else { of_y[j as usize] });
    Ok(of_x.collect())
}

/// By how much each x prefers its partner at the prices of the y items: `s_ij + g_j` less the largest value of any other
/// y of the partner's block; `-inf` for an x without partner, `inf` where there is no other.
fn slack(joint: &Joint, scores: &[f32], y_of_x: &[u32], (prices, blocks): (&[f64], &[u32])) -> Result<Vec<f32>> {
    joint.x_scores().map_rows(|i, row| {
        let partner = y_of_x[i];
        if partner == UNMATCHED {
            return f32::NEG_INFINITY;
        }
        let partner = partner as usize;
        let others = (0..row.len()).map(|at| (joint.y_item(at as u32) as usize, row[at]));
        let others = others.filter(|&(j, _)| j != partner && blocks[j] == blocks[partner]);
        let best = others.map(|(j, score)| f64::from(score) + prices[j]).fold(f64::NEG_INFINITY, f64::max);
        (f64::from(scores[i]) + prices[partner] - best) as f32
    })
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

/// [`pair_confidence`] in joint coordinates.
pub(crate) fn confidence_of(joint: &Joint, coupling: &Permutation, neighbours: usize) -> Result<Vec<f32>> {
    let (x_means, y_means) = joint.neighbourhoods(neighbours)?;
    Ok(confidence(&pair_scores(joint, coupling)?, coupling, &x_means, &y_means))
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use hiref_core::rng;
    use hiref_core::{CostKind, HirefParams, Problem, Quality};
    use rand::Rng;

    const EVERY: ReferenceItems = ReferenceItems { limit: 1000, seed: 0 };

    fn joint(scores: &[[f32; 3]; 3]) -> Joint {
        let x = Tensor::new(scores, &Device::Cpu).unwrap();
        Joint::new(&x, &Tensor::eye(3, DType::F32, &Device::Cpu).unwrap(), EVERY).unwrap()
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
            dual_slack((&x, &y), &coupling, (prices, blocks), EVERY).unwrap()
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
            let slack = dual_slack((&x, &y), &output.permutation, output.prices(), EVERY).unwrap();
            let paired = slack.iter().filter(|slack| slack.is_finite()).count();
            let least = slack.iter().copied().filter(|slack| slack.is_finite()).fold(f32::INFINITY, f32::min);
            let most = slack.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert!(paired == n.min(m) && least > -1e-5 && most > 0.1, "{n} with {m}: {paired}, {least} to {most}");
        }
    }

    #[test]
    fn an_item_without_partner_is_never_sure() {
        let x = Tensor::new(&[[1f32, 0.0], [0.0, 1.0], [1.0, 1.0]], &Device::Cpu).unwrap();
        let coupling = Permutation::new(vec![0, hiref_core::UNMATCHED, 1], 2).unwrap();
        let confidence = pair_confidence(&x, &x.narrow(0, 0, 2).unwrap(), &coupling, 1, EVERY).unwrap();
        assert_eq!(confidence, [0.0 + 2.0 - 1.0 - 1.0, f32::NEG_INFINITY, 0.0]);
        assert_eq!(surest(&coupling, &confidence, 1.0), [(0, 0), (2, 1)]);
    }
}
