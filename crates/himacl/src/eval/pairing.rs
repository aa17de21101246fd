//! How many of the true pairs a pairing finds, and how close mapped items come to their partners.

use super::metrics::Metric;
use super::scores::Scores;
use candle_core::{Result, Tensor, bail};
use hiref_core::{Permutation, rng};
use rand::seq::index;
use serde::{Deserialize, Serialize};

/// Of more x items so many are drawn, of which nearest neighbours are looked for.
const JUDGED: usize = 16_384;
/// Names the stream that draws them.
const DRAWN: u64 = 0x6a75_6467;

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
/// Of more than 16,384 x items the shares found by nearest neighbours are those of so many drawn ones, each among all y (a
/// standard error of .004 at most); the share of the bijection is always that of all.
///
/// *Shapes*: `x (n, k)`, `y (m, k)`; `truth (n,)`: the y index that belongs to each x; `bijection`: n x items, m y items.
/// *Complexity*: O(min(n, 16,384) (n + m) k) time, one tile of rows in memory. *Determinism*: ties go to the lowest index; the
/// draw depends on n alone.
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
    let judged = judged(n);
    let (of_x, back) = nearest_and_back(x, y, judged.as_deref())?;
    let item = |at: usize| judged.as_ref().map_or(at, |judged| judged[at] as usize);
    let count = |hit: &dyn Fn(usize) -> bool| {
        let hits = (0..of_x.len()).filter(|&at| hit(at)).count();
        hits as f64 / of_x.len().max(1) as f64
    };
    let mutual = |at: usize| back[at] == Some(item(at) as u32);
    let correct = |at: usize| of_x[at] == Some(truth[item(at)]);
    let found = |pairing: &Permutation| pairing.pairs().filter(|&(i, j)| truth[i] as usize == j).count();
    Ok(PairingAccuracy {
        nearest: count(&correct),
        mutual_nearest: count(&|at| correct(at) && mutual(at)),
        mutual_coverage: count(&mutual),
        bijection: bijection.map(|pairing| found(pairing) as f64 / n.max(1) as f64),
    })
}

/// The x items of which nearest neighbours are looked for, rising; none where these are all.
fn judged(n: usize) -> Option<Vec<u32>> {
    if n <= JUDGED {
        return None;
    }
    let drawn = index::sample(&mut rng::stream(0, &[DRAWN]), n, JUDGED);
    let mut drawn: Vec<u32> = drawn.into_iter().map(|at| at as u32).collect();
    drawn.sort_unstable();
    Some(drawn)
}

/// The nearest item of each; none where there is nothing to choose from.
type Nearest = Vec<Option<u32>>;

/// The nearest y of each x item, or of each of some, and the nearest x of that.
fn nearest_and_back(x: &Tensor, y: &Tensor, some: Option<&[u32]>) -> Result<(Nearest, Nearest)> {
    let Some(some) = some else {
        let scores = Scores::kept(x, y)?;
        let (of_x, of_y) = (nearest(&scores)?, nearest(&scores.transposed())?);
        let back = of_x.iter().map(|j| j.and_then(|j| of_y[j as usize])).collect();
        return Ok((of_x, back));
    };
    let select = |side: &Tensor, chosen: &[u32]| side.index_select(&Tensor::new(chosen, side.device())?, 0);
    let of_x = nearest(&Scores::new(&select(x, some)?, y)?)?;
    let mut found: Vec<u32> = of_x.iter().copied().flatten().collect();
    found.sort_unstable();
    found.dedup();
    let of_found = nearest(&Scores::new(&select(y, &found)?, x)?)?;
    let back = |j: &Option<u32>| j.and_then(|j| of_found[found.binary_search(&j).ok()?]);
    let back = of_x.iter().map(back).collect();
    Ok((of_x, back))
}

fn nearest(scores: &Scores) -> Result<Nearest> {
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
    fn some_items_have_the_neighbours_that_they_have_among_all() {
        let x = Tensor::rand(-1f32, 1.0, (60, 4), &Device::Cpu).unwrap();
        let y = Tensor::rand(-1f32, 1.0, (50, 4), &Device::Cpu).unwrap();
        let all = nearest_and_back(&x, &y, None).unwrap();
        let some: Vec<u32> = (0..60).step_by(7).collect();
        let of_some = nearest_and_back(&x, &y, Some(&some)).unwrap();
        for (at, &i) in some.iter().enumerate() {
            assert_eq!((of_some.0[at], of_some.1[at]), (all.0[i as usize], all.1[i as usize]), "item {i}");
        }
        assert!(judged(JUDGED).is_none());
        let drawn = judged(JUDGED + 5).unwrap();
        assert!(drawn.len() == JUDGED && drawn.windows(2).all(|two| two[0] < two[1]));
    }

    #[test]
    fn partner_cosine_by_hand() {
        let mapped = Tensor::new(&[[1f32, 0.0], [3.0, 4.0], [0.0, 0.0]], &Device::Cpu).unwrap();
        let target = Tensor::new(&[[0f32, 2.0], [3.0, 4.0], [1.0, 0.0]], &Device::Cpu).unwrap();
        assert!((partner_cosine(&mapped, &target).unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert!(partner_cosine(&mapped, &target.narrow(0, 0, 2).unwrap()).is_err());
    }
}
