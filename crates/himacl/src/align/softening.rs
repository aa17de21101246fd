//! Targets that are means over several likely partners.

use super::error::AlignError;
use super::joint::{Joint, ReferenceItems};
use crate::eval::{Best, with_host_values};
use candle_core::Tensor;

/// How targets are softened: by the softmax of `(2 s_ij - r'_j) / temperature` over the candidates of best such score,
/// with the inner product `s` and the mean `r'_j` of the best scores of j ([`pair_confidence`](super::pair_confidence)).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Softening {
    /// Candidates of each item.
    pub candidates: usize,
    /// Temperature of the softmax, in units of the scaled score (a difference of mean cosines).
    pub temperature: f64,
}

impl Softening {
    /// For each x the mean of its likeliest partners' rows of `values`, `(m, e)`: `(n, e)`, on the host.
    pub(crate) fn targets(&self, joint: &Joint, y_means: &[f32], values: &Tensor) -> candle_core::Result<Vec<f32>> {
        let width = values.dim(1)?;
        let correction = joint.of_y_reference(y_means);
        let targets = with_host_values(&joint.y_rows(values)?, |values| {
            joint.x_scores().map_rows(|_, row| {
                let mut target = vec![0.0f32; width];
                for (j, share) in self.likeliest(row, &correction) {
                    let row = &values[j as usize * width..][..width];
                    target.iter_mut().zip(row).for_each(|(sum, &value)| *sum += share * value);
                }
                target
            })
        })??;
        Ok(targets.concat())
    }

    /// The likeliest partners of each x.
    fn partners(&self, joint: &Joint, y_means: &[f32]) -> candle_core::Result<SoftPartners> {
        let correction = joint.of_y_reference(y_means);
        let partners = joint.x_scores().map_rows(|_, row| self.likeliest(row, &correction))?;
        let count = self.candidates.min(correction.len());
        let (items, weights) = partners.into_iter().flatten().map(|(j, weight)| (joint.y_item(j), weight)).unzip();
        Ok(SoftPartners { count, items, weights })
    }

    /// Positions in `row`, best first, and their shares, which sum to 1.
    fn likeliest(&self, row: &[f32], correction: &[f32]) -> Vec<(u32, f32)> {
        let mut best = Best::new(self.candidates.min(row.len()));
        for (j, (&score, &correction)) in row.iter().zip(correction).enumerate() {
            best.offer(2.0 * score - correction, j as u32);
        }
        let best = best.sorted();
        let first = best.first().map_or(0.0, |entry| entry.0);
        let weight = |score: f32| (f64::from(score - first) / self.temperature).exp();
        let total: f64 = best.iter().map(|entry| weight(entry.0)).sum();
        best.iter().map(|&(score, j)| (j, (weight(score) / total) as f32)).collect()
    }
}

/// Several likely partners of each item of one side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SoftPartners {
    /// Partners of each item.
    pub count: usize,
    /// Item after item, its partners, the likeliest first.
    pub items: Vec<u32>,
    /// Their shares; those of an item sum to 1.
    pub weights: Vec<f32>,
}

impl SoftPartners {
    /// The partners of an item, with their shares.
    pub fn of(&self, item: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        let range = item * self.count..(item + 1) * self.count;
        self.items[range.clone()].iter().copied().zip(self.weights[range].iter().copied())
    }
}

/// The likeliest partners of each x among the y items, and of each y among the x items.
///
/// *Shapes*: joint coordinates `x (n, k)`, `y (m, k)` ([`TwoWayMap::joint`](crate::map::TwoWayMap::joint)).
/// *Complexity*: O((n + m) k · min(max(n, m), `reference.limit`)) time, one tile of rows in memory, and the answer.
/// *Determinism*: same bits for the same seed, which draws the reference items of sides larger than that;
/// partners are among these.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use himacl::align::{ReferenceItems, Softening, soft_partners};
/// let x = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
/// let softening = Softening { candidates: 2, temperature: 1e-3 };
/// let (of_x, _) = soft_partners(&x, &x, softening, 1, ReferenceItems { limit: 1000, seed: 0 })?;
/// assert_eq!(of_x.of(1).next(), Some((1, 1.0)));
/// # Ok::<(), himacl::align::AlignError>(())
/// ```
///
/// # Errors
/// A failed tensor operation.
pub fn soft_partners(
    x: &Tensor,
    y: &Tensor,
    softening: Softening,
    neighbours: usize,
    reference: ReferenceItems,
) -> Result<(SoftPartners, SoftPartners), AlignError> {
    let joint = Joint::new(x, y, reference)?;
    let (x_means, y_means) = joint.neighbourhoods(neighbours)?;
    Ok((softening.partners(&joint, &y_means)?, softening.partners(&joint.swapped(), &x_means)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn soft_targets_run_from_the_best_candidate_to_the_mean() {
        let eye = Tensor::eye(3, DType::F32, &Device::Cpu).unwrap();
        let joint = Joint::new(&eye, &eye, ReferenceItems { limit: 100, seed: 0 }).unwrap();
        let values = Tensor::new(&[[1f32], [10.0], [100.0]], &Device::Cpu).unwrap();
        let soften = |candidates, temperature| {
            Softening { candidates, temperature }.targets(&joint, &[0.0; 3], &values).unwrap()
        };
        assert_eq!(soften(1, 1.0), [1.0, 10.0, 100.0]);
        assert_eq!(soften(3, 1e-3), [1.0, 10.0, 100.0]);
        assert!(soften(3, 1e6).iter().all(|value| (value - 37.0).abs() < 1e-3));
    }

    #[test]
    fn large_sides_are_judged_by_reference_items() {
        let x = Tensor::rand(-1f32, 1.0, (40, 4), &Device::Cpu).unwrap();
        let joint = Joint::new(&x, &x, ReferenceItems { limit: 10, seed: 3 }).unwrap();
        let (x_means, y_means) = joint.neighbourhoods(10).unwrap();
        assert_eq!((x_means.len(), y_means.len()), (40, 40));
        let soft = Softening { candidates: 5, temperature: 0.1 }.targets(&joint, &y_means, &x).unwrap();
        assert!(soft.len() == 160 && soft.iter().all(|value| value.is_finite()));
        let drawn = |stream| ReferenceItems { limit: 10, seed: 3 }.of(40, stream);
        assert_eq!(drawn(0), drawn(0));
        assert_ne!(drawn(0), drawn(1));
    }
}
