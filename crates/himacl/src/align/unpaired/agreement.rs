//! What speaks for a map that was found without pairs: that independent starts agree, that its pairs are alike.

use crate::align::error::AlignError;
use crate::align::joint::{Joint, ReferenceItems};
use crate::align::refinement::{Sides, ridge_both_ways, select};
use crate::align::report::Agreement;
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

/// The known pairs' share of the weight, cut down to what so few are worth beside `coupled` pairs.
pub(super) fn worth_of_anchors(anchor_worth: f64, sides: &Sides<'_>, most: f64) -> Result<f64, AlignError> {
    let worth = anchor_worth * sides.anchors.len() as f64;
    let coupled = sides.x.dim(0)?.min(sides.y.dim(0)?).saturating_sub(sides.anchors.len()) as f64;
    Ok(if worth > 0.0 { most.min(worth / (worth + coupled)) } else { 0.0 })
}
