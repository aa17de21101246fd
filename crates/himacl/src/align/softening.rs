//! Targets that are means over several likely partners.

use super::confidence::Joint;
use super::error::AlignError;
use crate::eval::Best;
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
    /// Positions in `row`, best first, and their shares, which sum to 1.
    pub(crate) fn likeliest(&self, row: &[f32], correction: &[f32]) -> Vec<(u32, f32)> {
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
/// *Complexity*: O((n + m) k · min(max(n, m), `reference_items`)) time, one tile of rows in memory, and the answer.
/// *Determinism*: same bits for the same seed, which draws the reference items of sides larger than `reference_items`;
/// partners are among these.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use himacl::align::{Softening, soft_partners};
/// let x = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
/// let softening = Softening { candidates: 2, temperature: 1e-3 };
/// let (of_x, _) = soft_partners(&x, &x, softening, 1, 1000, 0)?;
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
    reference_items: usize,
    seed: u64,
) -> Result<(SoftPartners, SoftPartners), AlignError> {
    let joint = Joint::new(x, y, reference_items, seed)?;
    let (x_means, y_means) = joint.neighbourhoods(neighbours)?;
    Ok((joint.soft_partners(&y_means, softening)?, joint.swapped().soft_partners(&x_means, softening)?))
}
