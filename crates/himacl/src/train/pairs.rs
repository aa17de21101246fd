//! The coupling in force, and the pairs that a map is trained on.

use crate::map::Tensors;
use candle_core::{Device, Result, Tensor, bail};
use hiref_core::{Permutation, rng};
use rand::seq::SliceRandom;

/// Names the streams of the batch order.
const BATCH_ORDER: u64 = 0x6f72_6465;

/// A pairing of the items that no anchor pairs, with how far each pair is trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Coupling {
    /// Over the positions of the free source and target items.
    pub permutation: Permutation,
    /// For each free source item, `(n,)`: the higher, the surer; only the order counts.
    pub confidence: Vec<f32>,
}

impl Coupling {
    /// As named tensors.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn tensors(&self) -> Result<Tensors> {
        let num_target = [self.permutation.num_y() as u32];
        Ok(Tensors::from([
            ("target_of_source".to_owned(), Tensor::new(self.permutation.y_of_x(), &Device::Cpu)?),
            ("num_target".to_owned(), Tensor::new(&num_target, &Device::Cpu)?),
            ("confidence".to_owned(), Tensor::new(self.confidence.as_slice(), &Device::Cpu)?),
        ]))
    }

    /// The inverse of [`Coupling::tensors`].
    ///
    /// # Errors
    /// A missing tensor, another type, or indices that are no pairing.
    pub fn from_tensors(tensors: &Tensors) -> Result<Self> {
        let get = |name: &str| match tensors.get(name) {
            Some(tensor) => Ok(tensor),
            None => bail!("a coupling without `{name}`"),
        };
        let num_target = get("num_target")?.to_vec1::<u32>()?[0] as usize;
        let permutation =
            Permutation::new(get("target_of_source")?.to_vec1()?, num_target).map_err(candle_core::Error::wrap)?;
        Ok(Self { permutation, confidence: get("confidence")?.to_vec1()? })
    }
}

/// Source rows, their partners' rows and the weight of each pair; all of one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pairs {
    /// Source positions.
    pub x: Vec<u32>,
    /// Target positions.
    pub y: Vec<u32>,
    /// Weights, not negative, 1 on average.
    pub weight: Vec<f32>,
}

impl Pairs {
    /// The anchors, with `anchor_share` of the weight, and the most confident `keep` share of the coupling of the free
    /// items, `free`, with the rest.
    pub fn new(
        anchors: &[(u32, u32)],
        free: &(Vec<u32>, Vec<u32>),
        coupling: &Coupling,
        keep: f64,
        anchor_share: f64,
    ) -> Self {
        let mut coupled: Vec<(usize, usize)> = coupling.permutation.pairs().collect();
        let kept = (keep * coupled.len() as f64).round() as usize;
        if kept < coupled.len() {
            let confidence = |pair: &(usize, usize)| coupling.confidence[pair.0];
            coupled.sort_by(|a, b| confidence(b).total_cmp(&confidence(a)));
            coupled.truncate(kept);
            coupled.sort_unstable();
        }
        let total = (anchors.len() + coupled.len()) as f64;
        let share = match (anchors.len(), coupled.len()) {
            (0, _) => 0.0,
            (_, 0) => 1.0,
            _ => anchor_share,
        };
        let mut pairs = Self::default();
        let mut push = |x: u32, y: u32, weight: f64| {
            pairs.x.push(x);
            pairs.y.push(y);
            pairs.weight.push(weight as f32);
        };
        for &(x, y) in anchors {
            push(x, y, share * total / anchors.len() as f64);
        }
        for &(x, y) in &coupled {
            push(free.0[x], free.1[y], (1.0 - share) * total / coupled.len() as f64);
        }
        pairs
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }

    /// The order in which an epoch visits the pairs: a shuffle that depends on nothing but the seed and the epoch.
    pub fn order(&self, seed: u64, epoch: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.shuffle(&mut rng::stream(seed, &[BATCH_ORDER, epoch]));
        order
    }

    /// Rows, partners' rows and weights of the pairs at `positions`, each `(b,)`.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn batch(&self, positions: &[u32], device: &Device) -> Result<(Tensor, Tensor, Tensor)> {
        let pick = |values: &[u32]| Tensor::from_iter(positions.iter().map(|&at| values[at as usize]), device);
        let weight = Tensor::from_iter(positions.iter().map(|&at| self.weight[at as usize]), device)?;
        Ok((pick(&self.x)?, pick(&self.y)?, weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coupling() -> Coupling {
        Coupling { permutation: Permutation::new(vec![2, 0, 1], 3).unwrap(), confidence: vec![0.1, 0.9, 0.5] }
    }

    #[test]
    fn anchors_get_their_share_and_the_surest_pairs_are_kept() {
        let free = (vec![1, 2, 3], vec![0, 2, 3]);
        let pairs = Pairs::new(&[(0, 1)], &free, &coupling(), 0.67, 0.25);
        assert_eq!((pairs.x, pairs.y, pairs.weight), (vec![0, 2, 3], vec![1, 0, 2], vec![0.75, 1.125, 1.125]));
        let pairs = Pairs::new(&[], &free, &coupling(), 1.0, 0.25);
        assert_eq!((pairs.x, pairs.weight), (vec![1, 2, 3], vec![1.0; 3]));
    }

    #[test]
    fn couplings_round_trip() {
        assert_eq!(Coupling::from_tensors(&coupling().tensors().unwrap()).unwrap(), coupling());
    }

    #[test]
    fn every_epoch_visits_every_pair_once_in_its_own_order() {
        let pairs = Pairs { x: (0..50).collect(), y: (0..50).rev().collect(), weight: vec![1.0; 50] };
        let (first, again, second) = (pairs.order(3, 0), pairs.order(3, 0), pairs.order(3, 1));
        assert_eq!(first, again);
        assert_ne!(first, second);
        let mut sorted = second;
        sorted.sort_unstable();
        assert_eq!(sorted, pairs.x);
    }
}
