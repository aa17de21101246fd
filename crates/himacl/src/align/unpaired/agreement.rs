//! What speaks for a pairing of which nothing is known: that it predicts itself, that independent starts agree.

use crate::align::error::AlignError;
use crate::align::joint::{Joint, ReferenceItems, rows};
use crate::align::params::RefinementParams;
use crate::align::refinement::{Sides, ridge_both_ways, select};
use crate::align::report::Agreement;
use crate::eval::Scores;
use crate::map::{TwoWayMap, unit_rows};
use candle_core::Tensor;
use rayon::prelude::*;

/// Source items by which starts are compared.
const PROBES: ReferenceItems = ReferenceItems { limit: 1024, seed: 0 };
/// Neighbours over which a target item's popularity is measured.
const NEIGHBOURS: usize = 10;

/// What a map makes of some source items, the same for all maps of one search.
pub(super) struct Probe {
    /// Unit images, `(p, l)`.
    images: Tensor,
    /// The nearest target item of each, `(p,)`.
    nearest: Vec<u32>,
}

impl Probe {
    /// By a map between the views of both sides, `(n, k)` and `(m, l)`, among at most `reference` target items.
    pub(super) fn new(
        map: &TwoWayMap,
        (x, y): (&Tensor, &Tensor),
        reference: ReferenceItems,
    ) -> Result<Self, AlignError> {
        let some = |side: &Tensor, chosen: Option<Vec<u32>>| match chosen {
            None => Ok(side.clone()),
            Some(chosen) => select(side, &chosen),
        };
        let x = some(x, PROBES.of(x.dim(0)?, 20))?;
        let y = some(y, reference.of(y.dim(0)?, 21))?;
        let (joint_x, joint_y) = map.joint(&x, &y)?;
        let joint = Joint::new(&joint_x, &joint_y, ReferenceItems { limit: usize::MAX, ..reference })?;
        let (_, popularity) = joint.neighbourhoods(NEIGHBOURS)?;
        let nearest = joint.x_scores().map_rows(|_, row| {
            let scaled = row.iter().zip(&popularity).map(|(score, popularity)| 2.0 * score - popularity);
            let first = (0, f32::NEG_INFINITY);
            scaled.enumerate().fold(first, |best, (j, score)| if score > best.1 { (j, score) } else { best }).0 as u32
        })?;
        Ok(Self { images: unit_rows(&map.forward.apply(&x)?)?, nearest })
    }

    /// How far two maps of one search agree.
    pub(super) fn agreement(&self, other: &Self) -> Result<Agreement, AlignError> {
        let cosines = (&self.images * &other.images)?.sum(1)?;
        let same = self.nearest.iter().zip(&other.nearest).filter(|(a, b)| a == b).count();
        Ok(Agreement {
            cosine: f64::from(cosines.mean(0)?.to_scalar::<f32>()?),
            same_partners: same as f64 / self.nearest.len().max(1) as f64,
        })
    }
}

/// Mean score of the pairs of either half under the maps fitted to the other half; `pairs` are (x index, y index) of items of
/// `view`, `(n, k)` and `(m, l)`. O(pairs (k + l)²).
pub(super) fn matched_cosine(view: (&Tensor, &Tensor), penalty: f64, pairs: &[(u32, u32)]) -> Result<f64, AlignError> {
    let part = |parity: usize| -> Result<(Tensor, Tensor), AlignError> {
        let (i, j): (Vec<u32>, Vec<u32>) = pairs.iter().copied().skip(parity).step_by(2).unzip();
        Ok((select(view.0, &i)?, select(view.1, &j)?))
    };
    let halves = [part(0)?, part(1)?];
    let score = |(fitted, judged): (usize, usize)| -> Result<f64, AlignError> {
        let map = ridge_both_ways(&halves[fitted].0, &halves[fitted].1, None, penalty)?;
        let (x, y) = map.joint(&halves[judged].0, &halves[judged].1)?;
        Ok(f64::from((x * y)?.sum(1)?.mean(0)?.to_scalar::<f32>()?))
    };
    let scores: Vec<f64> = [(0, 1), (1, 0)].into_par_iter().map(score).collect::<Result<_, _>>()?;
    Ok(f64::midpoint(scores[0], scores[1]))
}

/// Share of the pairs that predict themselves: whose partners are the nearest under the maps fitted to the pairs of the
/// other half of the items, in both directions on average. Near 1 where pairs are right, near 0 where the map is right but
/// the items have no partners, or the wrong ones.
pub(super) fn predicted(
    view: (&Tensor, &Tensor),
    refinement: &RefinementParams,
    pairs: &[(u32, u32)],
    reference: ReferenceItems,
) -> Result<f64, AlignError> {
    let half = |parity: usize| pairs.iter().copied().skip(parity).step_by(2).collect::<Vec<_>>();
    let halves = [half(0), half(1)];
    if halves[1].is_empty() {
        return Ok(0.0);
    }
    let hits = |(fitted, judged): (usize, usize)| -> Result<f64, AlignError> {
        let (i, j): (Vec<u32>, Vec<u32>) = halves[fitted].iter().copied().unzip();
        let map = ridge_both_ways(&select(view.0, &i)?, &select(view.1, &j)?, None, refinement.penalty)?;
        // Some of the judged pairs, among as many rivals as all searches for neighbours have.
        let chosen = PROBES.of(halves[judged].len(), 22);
        let judged: Vec<(u32, u32)> = match chosen {
            None => halves[judged].clone(),
            Some(chosen) => chosen.iter().map(|&at| halves[judged][at as usize]).collect(),
        };
        let (i, j): (Vec<u32>, Vec<u32>) = judged.into_iter().unzip();
        let (joint_x, joint_y) = map.joint(view.0, view.1)?;
        let one_way = |probes: &Tensor, partners: &Tensor, rivals: &Tensor| -> Result<f64, AlignError> {
            let rivals = rows(rivals, reference.of(rivals.dim(0)?, 23).as_deref())?;
            let own: Vec<f32> = (probes * partners)?.sum(1)?.to_vec1()?;
            // One entry of a row may be the partner's own: rounding must not make it a rival.
            let first =
                Scores::new(probes, &rivals)?.map_rows(|at, row| row.iter().all(|&score| score <= own[at] + 1e-5))?;
            Ok(first.iter().filter(|&&first| first).count() as f64 / first.len().max(1) as f64)
        };
        let (probes_x, probes_y) = (select(&joint_x, &i)?, select(&joint_y, &j)?);
        Ok(f64::midpoint(one_way(&probes_x, &probes_y, &joint_y)?, one_way(&probes_y, &probes_x, &joint_x)?))
    };
    Ok(f64::midpoint(hits((0, 1))?, hits((1, 0))?))
}

/// The known pairs' share of the weight, cut down to what so few are worth beside `coupled` pairs.
pub(super) fn worth_of_anchors(anchor_worth: f64, sides: &Sides<'_>, most: f64) -> Result<f64, AlignError> {
    let worth = anchor_worth * sides.anchors.len() as f64;
    let coupled = sides.x.dim(0)?.min(sides.y.dim(0)?).saturating_sub(sides.anchors.len()) as f64;
    Ok(if worth > 0.0 { most.min(worth / (worth + coupled)) } else { 0.0 })
}
