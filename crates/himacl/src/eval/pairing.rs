//! How many of the true pairs a pairing finds, and how close mapped items come to their partners.

use super::metrics::Metric;
use super::scores::Scores;
use candle_core::{Result, Tensor, bail};
use hiref_core::Permutation;
use serde::{Deserialize, Serialize};

/// Share of the x items that are given their true partner, by three ways of pairing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PairingAccuracy {
    /// Each x with its nearest y; a y may serve many x.
    pub nearest: f64,
    /// Only where x and y are each other's nearest; the rest count as missed.
    pub mutual_nearest: f64,
    /// Share of x items that have a mutual nearest neighbour at all.
    pub mutual_coverage: f64,
    /// The one-to-one coupling, where there is one.
    pub bijection: Option<f64>,
}

impl PairingAccuracy {
    /// The figures under the names used in `summary.json`.
    pub fn figures(&self) -> Vec<Metric> {
        let mut figures = vec![
            Metric::higher("pairing_accuracy_nearest", self.nearest),
            Metric::higher("pairing_accuracy_mutual_nearest", self.mutual_nearest),
        ];
        figures.extend(self.bijection.map(|value| Metric::higher("pairing_accuracy_bijection", value)));
        figures
    }
}

/// Pairs by inner product and counts the true pairs found.
///
/// *Shapes*: `x (n, k)`, `y (m, k)`; `truth (n,)`: the y index that belongs to each x; `bijection`: n x items, m y items.
/// *Complexity*: O(n m k) time, one tile of rows in memory. *Determinism*: ties go to the lowest index.
///
/// # Errors
/// Lengths that do not agree, a true partner that does not exist, a failed tensor operation.
pub fn pairing_accuracy(
    x: &Tensor,
    y: &Tensor,
    truth: &[u32],
    bijection: Option<&Permutation>,
) -> Result<PairingAccuracy> {
    let (n, m) = (x.dim(0)?, y.dim(0)?);
    if truth.len() != n || truth.iter().any(|&partner| partner as usize >= m) {
        bail!("the truth names {} partners among {m} y items, expected one for each of {n} x items", truth.len());
    }
    if let Some(bijection) = bijection
        && (bijection.num_x(), bijection.num_y()) != (n, m)
    {
        bail!("the bijection pairs {} with {} items, expected {n} with {m}", bijection.num_x(), bijection.num_y());
    }
    let share = |hits: usize| hits as f64 / n.max(1) as f64;
    let scores = Scores::kept(x, y)?;
    let of_x = nearest(&scores)?;
    let of_y = nearest(&scores.transposed())?;
    let mutual = |i: usize| of_x[i].is_some_and(|j| of_y[j as usize] == Some(i as u32));
    let correct = |i: usize| of_x[i] == Some(truth[i]);
    Ok(PairingAccuracy {
        nearest: share((0..n).filter(|&i| correct(i)).count()),
        mutual_nearest: share((0..n).filter(|&i| correct(i) && mutual(i)).count()),
        mutual_coverage: share((0..n).filter(|&i| mutual(i)).count()),
        bijection: bijection.map(|pairing| share(pairing.pairs().filter(|&(i, j)| truth[i] as usize == j).count())),
    })
}

fn nearest(scores: &Scores) -> Result<Vec<Option<u32>>> {
    scores.map_rows(|_, row| {
        let (mut nearest, mut best) = (None, f32::NEG_INFINITY);
        for (j, &value) in row.iter().enumerate() {
            if value > best {
                (nearest, best) = (Some(j as u32), value);
            }
        }
        nearest
    })
}

/// Mean cosine between row i of `mapped`, `(n, e)`, and row i of `target`, `(n, e)`; O(n e). Rows of zeros count as 0.
///
/// # Errors
/// Sides of different shapes.
pub fn partner_cosine(mapped: &Tensor, target: &Tensor) -> Result<f64> {
    if mapped.dims2()? != target.dims2()? {
        bail!("paired rows expected: mapped has shape {:?}, target has {:?}", mapped.shape(), target.shape());
    }
    let sums = |a: &Tensor, b: &Tensor| (a * b)?.sum(1)?.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>();
    let (products, squares, others) = (sums(mapped, target)?, sums(mapped, mapped)?, sums(target, target)?);
    let cosine = |i: usize| if products[i] == 0.0 { 0.0 } else { products[i] / (squares[i] * others[i]).sqrt() };
    Ok((0..products.len()).map(cosine).sum::<f64>() / products.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn four_points_by_hand() {
        let scores = [[3f32, 0.0, 0.0, 0.0], [4.0, 2.0, 0.0, 0.0], [2.5, 0.0, 5.0, 0.0], [2.5, 0.0, 0.0, 2.0]];
        let x = Tensor::new(&scores, &Device::Cpu).unwrap();
        let y = Tensor::eye(4, candle_core::DType::F32, &Device::Cpu).unwrap();
        let pairing = Permutation::new(vec![0, 1, 2, 3], 4).unwrap();
        let accuracy = pairing_accuracy(&x, &y, &[0, 1, 2, 3], Some(&pairing)).unwrap();
        // Nearest: 0 0 2 0. Column bests: 1 1 2 3. Mutual: (1, 0) and (2, 2).
        let expected =
            PairingAccuracy { nearest: 0.5, mutual_nearest: 0.25, mutual_coverage: 0.5, bijection: Some(1.0) };
        assert_eq!(accuracy, expected);
        assert_eq!(accuracy.figures().len(), 3);
        assert!(pairing_accuracy(&x, &y, &[0, 1, 2, 4], None).is_err());
        assert!(pairing_accuracy(&x, &y, &[0, 1, 2, 3], Some(&Permutation::identity(3))).is_err());
    }

    #[test]
    fn partner_cosine_by_hand() {
        let mapped = Tensor::new(&[[1f32, 0.0], [3.0, 4.0], [0.0, 0.0]], &Device::Cpu).unwrap();
        let target = Tensor::new(&[[0f32, 2.0], [3.0, 4.0], [1.0, 0.0]], &Device::Cpu).unwrap();
        assert!((partner_cosine(&mapped, &target).unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert!(partner_cosine(&mapped, &target.narrow(0, 0, 2).unwrap()).is_err());
    }
}
