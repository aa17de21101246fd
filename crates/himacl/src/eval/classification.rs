//! Zero-shot classification: each item goes to the class whose name is nearest.

use super::metrics::Metric;
use super::scores::{Best, Scores};
use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// Names in the first so many places count as a hit of the wider figure.
const SHORT_LIST: usize = 5;

/// Shares of the items that are given their class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ZeroShotAccuracy {
    /// The true class is the nearest.
    pub top_1: f64,
    /// It is among the five nearest.
    pub top_5: f64,
}

impl ZeroShotAccuracy {
    /// The figures under the names used in `summary.json`.
    pub fn figures(&self) -> Vec<Metric> {
        vec![Metric::higher("zero_shot_top_1", self.top_1), Metric::higher("zero_shot_top_5", self.top_5)]
    }
}

/// Classifies items by the embedded names of the classes, by inner product.
///
/// *Shapes*: `items (n, k)` and `classes (c, k)` in joint coordinates
/// ([`TwoWayMap::joint`](crate::map::TwoWayMap::joint)); `labels (n,)`: the class of each item. Several names of one class:
/// give the mean of their embeddings. *Complexity*: O(n c k). *Determinism*: ties go to the lowest class.
///
/// ```
/// use candle_core::{Device, Tensor};
/// let classes = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu)?;
/// let items = Tensor::new(&[[0.9f32, 0.1], [0.8, 0.2]], &Device::Cpu)?;
/// assert_eq!(himacl::eval::zero_shot(&items, &classes, &[0, 1])?.top_1, 0.5);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// References: \[R21\] Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021.
///
/// # Errors
/// As many labels as items are expected, each below the number of classes; a failed tensor operation.
pub fn zero_shot(items: &Tensor, classes: &Tensor, labels: &[u32]) -> Result<ZeroShotAccuracy> {
    let (n, count) = (items.dim(0)?, classes.dim(0)?);
    if labels.len() != n {
        bail!("got {} labels, expected one for each of {n} items", labels.len());
    }
    if let Some(label) = labels.iter().find(|&&label| label as usize >= count) {
        bail!("a label is {label}, expected a class below {count}");
    }
    let places = Scores::new(items, classes)?.map_rows(|i, row| {
        let mut best = Best::new(SHORT_LIST.min(row.len()));
        row.iter().enumerate().for_each(|(class, &score)| best.offer(score, class as u32));
        best.sorted().iter().position(|entry| entry.1 == labels[i])
    })?;
    let share = |within: usize| {
        places.iter().filter(|place| place.is_some_and(|place| place < within)).count() as f64 / n.max(1) as f64
    };
    Ok(ZeroShotAccuracy { top_1: share(1), top_5: share(SHORT_LIST) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn places_by_hand() {
        let classes = Tensor::eye(7, DType::F32, &Device::Cpu).unwrap();
        let items = Tensor::new(
            &[[7f32, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [0.0; 7]],
            &Device::Cpu,
        )
        .unwrap();
        // Places 5, 7 and, all scores being equal, 1.
        let found = zero_shot(&items, &classes, &[4, 0, 0]).unwrap();
        assert!((found.top_1 - 1.0 / 3.0).abs() < 1e-12 && (found.top_5 - 2.0 / 3.0).abs() < 1e-12);
        assert!(zero_shot(&items, &classes, &[0, 0]).is_err());
        assert!(zero_shot(&items, &classes, &[0, 0, 7]).unwrap_err().to_string().contains("below 7"));
    }
}
