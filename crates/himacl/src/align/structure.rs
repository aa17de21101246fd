//! What can be told of an item from its own side alone: how densely it is surrounded, at several scales.

use super::joint::{ReferenceItems, rows};
use crate::eval::{Best, Scores};
use candle_core::{Result, Tensor};

/// Neighbours over which the similarity is averaged.
const SCALES: [usize; 6] = [2, 5, 10, 20, 50, 100];

/// Density profiles of unit rows `view`, `(n, k)`: for each scale the mean cosine with that many nearest items of the
/// same side, as its rank among all items, from -1 to 1, times `1/√6`: `(n, 6)`, on the device of `view`.
///
/// Ranks make the profiles of two sides comparable; the inner product of two profiles is in [-1, 1]. A rotation of the
/// side changes nothing, so profiles say something before any map is known: which groups are tight, which items stand
/// alone. O(n k · min(n, reference items)).
pub(crate) fn density_profiles(view: &Tensor, reference: ReferenceItems) -> Result<Tensor> {
    let n = view.dim(0)?;
    let chosen = reference.of(n, 2);
    let scores = Scores::new(view, &rows(view, chosen.as_deref())?)?;
    let largest = SCALES[SCALES.len() - 1];
    let means: Vec<[f32; SCALES.len()]> = scores.map_rows(|_, row| {
        let mut best = Best::new(largest.min(row.len()));
        row.iter().enumerate().for_each(|(j, &value)| best.offer(value, j as u32));
        let best = best.sorted();
        SCALES.map(|scale| {
            let nearest = &best[..scale.min(best.len())];
            (nearest.iter().map(|entry| f64::from(entry.0)).sum::<f64>() / nearest.len().max(1) as f64) as f32
        })
    })?;
    let mut profiles = vec![0.0f32; n * SCALES.len()];
    let size = 1.0 / (SCALES.len() as f64).sqrt();
    for scale in 0..SCALES.len() {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| means[a][scale].total_cmp(&means[b][scale]));
        for (rank, &item) in order.iter().enumerate() {
            let centred = (2.0 * rank as f64 + 1.0) / n as f64 - 1.0;
            profiles[item * SCALES.len() + scale] = (size * centred) as f32;
        }
    }
    Tensor::from_vec(profiles, (n, SCALES.len()), view.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::unit_rows;
    use candle_core::Device;

    const EVERY: ReferenceItems = ReferenceItems { limit: 1000, seed: 0 };

    #[test]
    fn a_tight_group_has_the_highest_profile() {
        // Items 0 to 9 nearly coincide; the others are spread over a circle.
        let angle = |i: usize| if i < 10 { 0.001 * i as f32 } else { 0.7 + 0.25 * i as f32 };
        let points: Vec<f32> = (0..30).flat_map(|i| [angle(i).cos(), angle(i).sin()]).collect();
        let view = unit_rows(&Tensor::from_vec(points, (30, 2), &Device::Cpu).unwrap()).unwrap();
        let profiles = density_profiles(&view, EVERY).unwrap().to_vec2::<f32>().unwrap();
        let at_ten = |i: usize| profiles[i][2];
        let lowest_inside = (0..10).map(at_ten).fold(f32::INFINITY, f32::min);
        let highest_outside = (10..30).map(at_ten).fold(f32::NEG_INFINITY, f32::max);
        assert!(lowest_inside > highest_outside);
        let rotated = view.matmul(&Tensor::new(&[[0.6f32, 0.8], [-0.8, 0.6]], &Device::Cpu).unwrap()).unwrap();
        let again = density_profiles(&rotated, EVERY).unwrap().to_vec2::<f32>().unwrap();
        assert!((0..10).all(|i| again[i][2] > highest_outside));
    }
}
