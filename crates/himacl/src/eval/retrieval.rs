//! How well the true partner is found: recall, rank, and the fraction of samples closer than the true match.

use super::metrics::Metric;
use super::scores::Scores;
use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// How retrieval is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrievalParams {
    /// Neighbours of the cross-domain similarity scaling; 0 = plain inner products.
    ///
    /// With k > 0 the score is `2 s_ij - r_i - r'_j`, where `r_i` is the mean of the k largest `s_i·` and `r'_j` that of
    /// the k largest `s_·j`, within the evaluated items: it takes from hubs what they have too much.
    pub csls_neighbours: usize,
}

impl Default for RetrievalParams {
    fn default() -> Self {
        Self { csls_neighbours: 10 }
    }
}

/// Retrieval in one direction; ranks count from 1, and an equal score counts as half a rank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// Share of queries whose partner has rank 1.
    #[serde(rename = "R@1")]
    pub at_1: f64,
    /// Share of queries whose partner is among the first 5.
    #[serde(rename = "R@5")]
    pub at_5: f64,
    /// Share of queries whose partner is among the first 10.
    #[serde(rename = "R@10")]
    pub at_10: f64,
    /// Mean rank.
    pub mean_rank: f64,
    /// Median rank.
    pub median_rank: f64,
    /// Share of the gallery that is some query's nearest: 1 without hubs.
    pub distinct_nearest: f64,
}

/// Retrieval in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RetrievalMetrics {
    /// Number of pairs.
    pub pairs: usize,
    /// Queries from x, gallery y.
    pub source_to_target: Recall,
    /// Queries from y, gallery x.
    pub target_to_source: Recall,
    /// Fraction of samples closer than the true match, mean of both directions: `(rank - 1) / (n - 1)`; chance is 0.5.
    pub foscttm: f64,
}

impl RetrievalMetrics {
    /// The figures under the names used in `summary.json`, `image_to_text_R@1` and so on, in a fixed order.
    pub fn figures(&self) -> Vec<Metric> {
        let directions = [("image_to_text", &self.source_to_target), ("text_to_image", &self.target_to_source)];
        let mut figures = Vec::new();
        for (direction, recall) in directions {
            let name = |figure: &str| format!("{direction}_{figure}");
            figures.extend([
                Metric::higher(name("R@1"), recall.at_1),
                Metric::higher(name("R@5"), recall.at_5),
                Metric::higher(name("R@10"), recall.at_10),
                Metric::lower(name("mean_rank"), recall.mean_rank),
                Metric::lower(name("median_rank"), recall.median_rank),
                Metric::higher(name("distinct_nearest"), recall.distinct_nearest),
            ]);
        }
        figures.push(Metric::lower("foscttm", self.foscttm));
        figures
    }
}

/// Retrieval between paired rows: row i of `x` belongs to row i of `y`; scores are inner products.
///
/// Give both sides in joint coordinates ([`TwoWayMap::joint`](crate::map::TwoWayMap::joint)), in which the inner
/// product is the score that is meant.
///
/// *Shapes*: `x (n, k)`, `y (n, k)`. *Complexity*: O(n² k) time, one tile of rows in memory. *Determinism*: the same
/// bits whatever the number of threads.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use himacl::eval::{RetrievalParams, retrieval};
/// let x = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
/// let metrics = retrieval(&x, &x, RetrievalParams { csls_neighbours: 0 })?;
/// assert_eq!((metrics.source_to_target.at_1, metrics.foscttm), (1.0, 0.0));
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// References: \[CSLS\] Conneau et al., "Word translation without parallel data", 2018 (the scaling); \[LHWS19\] Liu et
/// al., "Jointly embedding multiple single-cell omics measurements", 2019 (FOSCTTM).
///
/// # Errors
/// Sides of different sizes; a failed tensor operation.
pub fn retrieval(x: &Tensor, y: &Tensor, params: RetrievalParams) -> Result<RetrievalMetrics> {
    Ok(retrieval_until(x, y, params, &|| false)?.unwrap_or_default())
}

/// The same, `None` once it is asked to stop.
///
/// # Errors
/// As [`retrieval`].
pub fn retrieval_until(
    x: &Tensor,
    y: &Tensor,
    params: RetrievalParams,
    should_stop: &dyn Fn() -> bool,
) -> Result<Option<RetrievalMetrics>> {
    let ((n, k), (m, l)) = (x.dims2()?, y.dims2()?);
    if (n, k) != (m, l) {
        bail!("paired rows expected: x has shape [{n}, {k}], y has [{m}, {l}]");
    }
    if n == 0 {
        return Ok(Some(RetrievalMetrics::default()));
    }
    let forward = Scores::kept(x, y)?;
    let backward = forward.transposed();
    let identity: Vec<u32> = (0..n as u32).collect();
    let corrections = |scores: &Scores| match params.csls_neighbours {
        0 => Ok(Some(vec![0.0; n])),
        neighbours => scores.top_means_until(should_stop, neighbours),
    };
    let Some(of_x) = corrections(&forward)? else { return Ok(None) };
    let Some(of_y) = corrections(&backward)? else { return Ok(None) };
    let Some(to_target) = ranks_until(should_stop, &forward, &identity, &of_y)? else { return Ok(None) };
    let Some(to_source) = ranks_until(should_stop, &backward, &identity, &of_x)? else { return Ok(None) };
    let mean_rank = |ranks: &[(f64, u32)]| ranks.iter().map(|entry| entry.0).sum::<f64>() / n as f64;
    let closer = |ranks: &[(f64, u32)]| (mean_rank(ranks) - 1.0) / (n.max(2) - 1) as f64;
    Ok(Some(RetrievalMetrics {
        pairs: n,
        source_to_target: recall(&to_target, n),
        target_to_source: recall(&to_source, n),
        foscttm: f64::midpoint(closer(&to_target), closer(&to_source)),
    }))
}

/// For each row the rank of its partner by `2 s_ij - correction_j`, and the column of the first rank.
pub(crate) fn ranks(scores: &Scores, partner: &[u32], correction: &[f32]) -> Result<Vec<(f64, u32)>> {
    Ok(ranks_until(&|| false, scores, partner, correction)?.unwrap_or_default())
}

fn ranks_until(
    should_stop: &dyn Fn() -> bool,
    scores: &Scores,
    partner: &[u32],
    correction: &[f32],
) -> Result<Option<Vec<(f64, u32)>>> {
    scores.map_rows_until(should_stop, |i, row| {
        let at = partner[i] as usize;
        let mine = 2.0 * row[at] - correction[at];
        let (mut ahead, mut equal, mut nearest, mut best) = (0usize, 0usize, 0u32, f32::NEG_INFINITY);
        for (j, (&value, &correction)) in row.iter().zip(correction).enumerate() {
            let score = 2.0 * value - correction;
            // Written so that NaN, on either side, is never to the partner's advantage.
            let behind = score < mine;
            equal += usize::from(score == mine);
            ahead += usize::from(!behind);
            if score > best {
                (nearest, best) = (j as u32, score);
            }
        }
        let ahead = if mine.is_nan() { row.len() - 1 } else { ahead - equal };
        (1.0 + ahead as f64 + 0.5 * equal.saturating_sub(1) as f64, nearest)
    })
}

fn recall(ranks: &[(f64, u32)], gallery: usize) -> Recall {
    let n = ranks.len() as f64;
    let within = |limit: f64| ranks.iter().filter(|entry| entry.0 <= limit).count() as f64 / n;
    let mut sorted: Vec<f64> = ranks.iter().map(|entry| entry.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut is_nearest = vec![false; gallery];
    for entry in ranks {
        is_nearest[entry.1 as usize] = true;
    }
    Recall {
        at_1: within(1.0),
        at_5: within(5.0),
        at_10: within(10.0),
        mean_rank: sorted.iter().sum::<f64>() / n,
        median_rank: f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]),
        distinct_nearest: is_nearest.iter().filter(|&&hit| hit).count() as f64 / gallery as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn plain(x: &[[f32; 4]; 4]) -> RetrievalMetrics {
        // Against the identity, the rows of x are the rows of the score matrix.
        let x = Tensor::new(x, &Device::Cpu).unwrap();
        let y = Tensor::eye(4, candle_core::DType::F32, &Device::Cpu).unwrap();
        retrieval(&x, &y, RetrievalParams { csls_neighbours: 0 }).unwrap()
    }

    #[test]
    fn four_points_by_hand() {
        // Ranks along the rows 1, 2, 3, 4; down the columns 1, 1, 2, 4.
        let metrics = plain(&[[9.0, 1.0, 2.0, 3.0], [5.0, 4.0, 3.0, 2.0], [8.0, 3.0, 2.5, 1.5], [7.0, 2.0, 1.0, 0.0]]);
        let (rows, columns) = (metrics.source_to_target, metrics.target_to_source);
        assert_eq!((rows.at_1, rows.at_5, rows.mean_rank, rows.median_rank), (0.25, 1.0, 2.5, 2.5));
        assert_eq!((columns.at_1, columns.mean_rank, columns.median_rank), (0.5, 2.0, 1.5));
        assert_eq!(metrics.foscttm, f64::midpoint(1.5 / 3.0, 1.0 / 3.0));
        // Every row's best is column 0.
        assert_eq!(rows.distinct_nearest, 0.25);
    }

    #[test]
    fn a_collapsed_map_is_at_chance_and_a_broken_one_is_last() {
        let metrics = plain(&[[1.0; 4]; 4]);
        assert_eq!((metrics.foscttm, metrics.source_to_target.mean_rank), (0.5, 2.5));
        let broken = plain(&[[f32::NAN; 4]; 4]);
        assert_eq!((broken.foscttm, broken.source_to_target.at_5), (1.0, 1.0));
        assert_eq!(broken.source_to_target.mean_rank, 4.0);
    }

    #[test]
    fn scaling_takes_from_hubs() {
        // Column 0 is a hub: it wins rows 1 to 3 unless its own neighbourhood is subtracted.
        let scores = [[3.0, 0.0, 0.0, 0.0], [2.4, 2.0, 0.0, 0.0], [2.4, 0.0, 2.0, 0.0], [2.4, 0.0, 0.0, 2.0]];
        assert_eq!(plain(&scores).source_to_target.at_1, 0.25);
        let x = Tensor::new(&scores, &Device::Cpu).unwrap();
        let y = Tensor::eye(4, candle_core::DType::F32, &Device::Cpu).unwrap();
        let scaled = retrieval(&x, &y, RetrievalParams { csls_neighbours: 1 }).unwrap();
        assert_eq!(scaled.source_to_target.at_1, 1.0);
    }

    #[test]
    fn it_ends_when_it_is_asked_to() {
        // Too many for the scores to be kept.
        let x = Tensor::ones((9000, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        for neighbours in [0, 2] {
            let params = RetrievalParams { csls_neighbours: neighbours };
            assert_eq!(retrieval_until(&x, &x, params, &|| true).unwrap(), None);
        }
    }

    #[test]
    fn swapping_the_sides_swaps_the_directions() {
        let x = Tensor::new(&[[1f32, 0.2], [0.3, 1.0], [0.9, -0.5]], &Device::Cpu).unwrap();
        let y = Tensor::new(&[[0.1f32, 0.2], [1.3, 1.0], [0.4, -0.5]], &Device::Cpu).unwrap();
        let (one, other) =
            (retrieval(&x, &y, RetrievalParams::default()), retrieval(&y, &x, RetrievalParams::default()));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!((one.source_to_target, one.foscttm), (other.target_to_source, other.foscttm));
        let names: Vec<String> = one.figures().into_iter().map(|figure| figure.name).collect();
        assert!(names.contains(&"image_to_text_R@10".to_owned()) && names.contains(&"foscttm".to_owned()));
    }
}
