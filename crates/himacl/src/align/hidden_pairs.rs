//! How maps rank pairs that they have not seen.

use super::error::AlignError;
use super::joint::{Joint, ReferenceItems};
use super::preparation::PreparedMap;
use super::refinement::{Sides, select};
use crate::eval::{Scores, ranks};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// Two maps compared on hidden pairs, in both directions. Mean log ranks are means of `ln(rank)`: lower is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RankComparison {
    /// Number of hidden pairs.
    pub pairs: usize,
    /// Mean log rank by the first map, and by the second.
    pub mean_log_ranks: [f64; 2],
    /// By how much the second map's is lower.
    pub gain: f64,
    /// Standard error of the gain: of the mean over the pairs of the difference of their log ranks.
    pub standard_error: f64,
    /// Share of the pairs that come first by the first map, and by the second.
    pub come_first: [f64; 2],
}

/// Of the ranks by two maps, of the same pairs.
fn compare(first: &[[f64; 2]], second: &[[f64; 2]]) -> RankComparison {
    let log = |pair: &[f64; 2]| f64::midpoint(pair[0].ln(), pair[1].ln());
    let differences: Vec<f64> = first.iter().zip(second).map(|(first, second)| log(first) - log(second)).collect();
    let count = differences.len() as f64;
    let gain = differences.iter().sum::<f64>() / count;
    let variance = differences.iter().map(|value| (value - gain).powi(2)).sum::<f64>() / (count - 1.0);
    RankComparison {
        pairs: differences.len(),
        mean_log_ranks: [mean_log_rank(first), mean_log_rank(second)],
        gain,
        standard_error: (variance / count).sqrt(),
        come_first: [come_first(first), come_first(second)],
    }
}

/// Whether the ranks `behind` are higher than `ahead`, of the same pairs, by more than two standard errors of their mean
/// logarithm's difference.
pub(crate) fn is_behind(behind: &[[f64; 2]], ahead: &[[f64; 2]]) -> bool {
    let RankComparison { gain, standard_error, .. } = compare(behind, ahead);
    gain > 2.0 * standard_error
}

/// Share of the pairs, of both directions, that have rank 1.
pub(crate) fn come_first(ranks: &[[f64; 2]]) -> f64 {
    let first = ranks.iter().flatten().filter(|&&rank| rank <= 1.0).count();
    first as f64 / (2 * ranks.len()).max(1) as f64
}

pub(crate) fn mean_log_rank(ranks: &[[f64; 2]]) -> f64 {
    ranks.iter().flatten().map(|rank| rank.ln()).sum::<f64>() / (2 * ranks.len()) as f64
}

/// Mean over the pairs `hidden` and both directions of `ln(rank)` by a map: lower is better.
///
/// Ranks are by the scaled score, over `neighbours` neighbours, among all items that none of the pairs `known` names; so
/// this says how good a map is that has seen `known` but not `hidden`.
///
/// *Shapes*: `source (n, d)`, `target (m, e)`. *Complexity*: O(n m k) for k joint coordinates.
///
/// # Errors
/// Rows of other dimensions than those fitted on.
///
/// # Panics
/// If `hidden` and `known` name a common item, or one that is not there.
pub fn mean_log_rank_of_hidden(
    map: &PreparedMap,
    sides: (&Tensor, &Tensor),
    known: &[(u32, u32)],
    hidden: &[(u32, u32)],
    neighbours: usize,
) -> Result<f64, AlignError> {
    let reference = ReferenceItems { limit: usize::MAX, seed: 0 };
    Ok(mean_log_rank(&hidden_ranks(map, sides, [known, hidden], neighbours, reference)?))
}

/// The same of two maps, with the difference and its standard error.
///
/// *Complexity*: O((h + `reference.limit`) (n + m) k) for h hidden pairs. *Determinism*: same bits for the same seed.
///
/// # Errors
/// As [`mean_log_rank_of_hidden`].
///
/// # Panics
/// As [`mean_log_rank_of_hidden`].
pub fn compare_on_hidden(
    [first, second]: &[PreparedMap; 2],
    sides: (&Tensor, &Tensor),
    [known, hidden]: [&[(u32, u32)]; 2],
    neighbours: usize,
    reference: ReferenceItems,
) -> Result<RankComparison, AlignError> {
    let by = |map| hidden_ranks(map, sides, [known, hidden], neighbours, reference);
    Ok(compare(&by(first)?, &by(second)?))
}

/// The ranks of the pairs `hidden` among all items that none of `known` names.
fn hidden_ranks(
    map: &PreparedMap,
    (source, target): (&Tensor, &Tensor),
    [known, hidden]: [&[(u32, u32)]; 2],
    neighbours: usize,
    reference: ReferenceItems,
) -> Result<Vec<[f64; 2]>, AlignError> {
    let free = Sides { x: source, y: target, views: None, anchors: known }.free()?;
    let (x, y) = map.joint(&select(source, &free.x)?, &select(target, &free.y)?)?;
    let joint = Joint::new(&x, &y, reference)?;
    Ok(ranks_of(&joint, &free.positions(hidden), neighbours)?)
}

/// The rank of each pair's y among all y for its x, and of its x among all x for its y.
pub(crate) fn ranks_of(joint: &Joint, pairs: &[(u32, u32)], neighbours: usize) -> candle_core::Result<Vec<[f64; 2]>> {
    let (x_means, y_means) = joint.neighbourhoods(neighbours)?;
    let (x, y) = joint.sides();
    let (i, j): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
    let to_y = ranks(&Scores::new(&select(x, &i)?, y)?, &j, &y_means)?;
    let to_x = ranks(&Scores::new(&select(y, &j)?, x)?, &i, &x_means)?;
    Ok(to_y.iter().zip(&to_x).map(|(to_y, to_x)| [to_y.0, to_x.0]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_behind_by_more_than_two_standard_errors() {
        let ahead = [[1.0, 1.0], [2.0, 2.0], [4.0, 4.0], [1.0, 1.0]];
        let times = |factors: [f64; 4]| {
            let scaled = ahead.iter().zip(factors).map(|(pair, factor)| pair.map(|rank| rank * factor));
            scaled.collect::<Vec<_>>()
        };
        assert!(is_behind(&times([2.0; 4]), &ahead) && !is_behind(&ahead, &ahead));
        assert!(is_behind(&times([4.0, 2.0, 2.0, 2.0]), &ahead));
        // One pair alone is far behind, and the others a little ahead: it may be chance.
        assert!(!is_behind(&times([8.0, 0.5, 0.7, 1.0]), &ahead));
        assert!(!is_behind(&ahead, &times([2.0; 4])));
    }
}
