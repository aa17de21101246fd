//! Known pairs: what is asked of them, and the map that they give alone.

use super::error::AlignError;
use super::preparation::{Preparation, PreparedMap};
use super::refinement::{ridge_both_ways, select};
use candle_core::Tensor;

/// The least number of known pairs for a map.
pub(super) const FEWEST_ANCHORS: usize = 2;

/// Ridge maps both ways on the known pairs alone, on centred unit embeddings: what any alignment has to beat.
///
/// *Shapes*: `source (n, d)`, `target (m, e)`; all rows are used for the means. *Complexity*: O((n + m) (d + e)) and one
/// solve per direction.
///
/// # Errors
/// As [`Aligner::anchors`](super::Aligner::anchors).
pub fn anchors_only(
    source: &Tensor,
    target: &Tensor,
    anchors: &[(u32, u32)],
    penalty: f64,
) -> Result<PreparedMap, AlignError> {
    let (x, y) = (Preparation::centring(source, "source")?, Preparation::centring(target, "target")?);
    check_anchors(anchors, FEWEST_ANCHORS, source.dim(0)?, target.dim(0)?)?;
    let (i, j): (Vec<u32>, Vec<u32>) = anchors.iter().copied().unzip();
    let map = ridge_both_ways(&x.apply(&select(source, &i)?)?, &y.apply(&select(target, &j)?)?, None, penalty)?;
    Ok(PreparedMap { source: x, target: y, map })
}

/// At least `fewest` known pairs, each of two items that exist and occur once.
pub(super) fn check_anchors(
    anchors: &[(u32, u32)],
    fewest: usize,
    num_source: usize,
    num_target: usize,
) -> Result<(), AlignError> {
    if anchors.len() < fewest {
        return Err(AlignError::TooFewAnchors { got: anchors.len(), expected: fewest });
    }
    let check = |side: &'static str, limit: usize, of: fn(&(u32, u32)) -> u32| {
        let mut seen = vec![None; limit];
        for (position, value) in anchors.iter().map(of).enumerate() {
            let slot =
                seen.get_mut(value as usize).ok_or(AlignError::AnchorOutOfRange { position, side, value, limit })?;
            if let Some(first) = slot.replace(position) {
                return Err(AlignError::RepeatedAnchor { side, value, first, second: position });
            }
        }
        Ok(())
    };
    check("source", num_source, |pair| pair.0)?;
    check("target", num_target, |pair| pair.1)
}
