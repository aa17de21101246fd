//! What lies between an item and its partner.

use super::paired::{PairSide, Paired};
use super::rivals::squared_lengths;
use crate::eval::{Best, Scores};
use candle_core::{Device, Result, Tensor};
use serde::Serialize;

/// A place on the way from an item to its partner.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PathStep {
    /// 0 at the item, 1 at its partner.
    pub t: f64,
    /// The x items nearest to the place, the nearest first.
    pub x: Vec<u32>,
    /// The y items nearest to it.
    pub y: Vec<u32>,
}

/// `(1 - t) x_i + t y_j` in equal steps from 0 to 1, with the `count` items of each side that lie nearest at each, by distance.
///
/// Where both sides live in one space, this is the way on which optimal transport moves the item; in joint coordinates of two
/// spaces it goes through both at once. Each side is taken less its mean, so that what sets the sides apart as a whole
/// is no part of the way. O(steps (n + m) d).
///
/// # Errors
/// A failed tensor operation.
pub fn path(paired: &Paired, [i, j]: [u32; 2], steps: usize, count: usize) -> Result<Vec<PathStep>> {
    let ([x, y], _) = paired.centred()?;
    let row = |side: &Tensor, item: u32| side.get(item as usize)?.to_vec1::<f32>();
    let (from, to) = (row(&x, i)?, row(&y, j)?);
    let times: Vec<f64> = (0..steps).map(|step| step as f64 / (steps.max(2) - 1) as f64).collect();
    let places: Vec<f32> = times
        .iter()
        .flat_map(|&t| from.iter().zip(&to).map(move |(a, b)| ((1.0 - t) * f64::from(*a) + t * f64::from(*b)) as f32))
        .collect();
    let places = Tensor::from_vec(places, (steps, paired.dimension()), &Device::Cpu)?;
    let nearest = |side: PairSide| -> Result<Vec<Vec<u32>>> {
        let items = if side == PairSide::X { &x } else { &y };
        let squares = squared_lengths(items)?;
        Scores::new(&places, items)?.map_rows(|_, row| {
            let mut best = Best::new(count);
            for (item, (&product, &square)) in row.iter().zip(&squares).enumerate() {
                best.offer(2.0 * product - square, item as u32);
            }
            best.sorted().into_iter().map(|(_, item)| item).collect()
        })
    };
    let (of_x, of_y) = (nearest(PairSide::X)?, nearest(PairSide::Y)?);
    Ok(times.into_iter().zip(of_x).zip(of_y).map(|((t, x), y)| PathStep { t, x, y }).collect())
}
