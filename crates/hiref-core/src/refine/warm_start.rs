//! Starting from an earlier solve's result.

use super::archive::{Array, Arrays, encode};
use super::pairing::{Pairing, are_prices};
use crate::error::Error;
use crate::geometry::Supports;
use crate::permutation::{Permutation, UNMATCHED};
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

/// An earlier pairing of the same points, before they moved, to start a solve from; with the prices at which it was left, if it comes from a solve.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use hiref_core::{CostKind, HirefParams, Problem, WarmStart};
/// let x = Tensor::new(&[[0f32], [1.0], [5.0]], &Device::Cpu)?;
/// let problem = Problem::new(&x, x.affine(1.0, 0.25)?, CostKind::SquaredEuclidean)?;
/// let solver = HirefParams::default().check()?;
/// let first = solver.solve(&problem, None, &())?;
/// let bytes = first.warm_start().to_bytes();
/// let again = solver.solve(&problem, Some(&WarmStart::from_bytes(&bytes)?), &())?;
/// assert_eq!(again.permutation, first.permutation);
/// # Ok::<(), hiref_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct WarmStart {
    pub(crate) permutation: Permutation,
    pub(crate) prices: Option<Prices>,
}

/// Prices of the points of the larger side (y if there is none), as a solve left them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prices {
    /// `(max(n, m),)`
    pub(crate) g: Vec<f64>,
    /// `(max(n, m),)`: prices of one block are consistent, those of different blocks may differ by a constant.
    pub(crate) block: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct Facts {
    version: u32,
    num_y: usize,
}

impl From<Permutation> for WarmStart {
    fn from(permutation: Permutation) -> Self {
        Self { permutation, prices: None }
    }
}

impl WarmStart {
    /// A pairing with the prices of the points of its larger side (y if there is none), `(max(n, m),)`, and the block in which each was priced, `(max(n, m),)`, as
    /// [`HirefOutput::prices`](crate::HirefOutput::prices) gives them.
    ///
    /// # Errors
    /// [`Error::BrokenWarmStart`] for prices that are not finite, or of other lengths.
    pub fn with_prices(permutation: Permutation, g: Vec<f64>, block: Vec<u32>) -> Result<Self, Error> {
        if !are_prices(&g, &block, permutation.num_x().max(permutation.num_y())) {
            return Err(Error::BrokenWarmStart { what: "its arrays do not fit together".to_owned() });
        }
        Ok(Self { permutation, prices: Some(Prices { g, block }) })
    }

    /// The pairing.
    pub fn permutation(&self) -> &Permutation {
        &self.permutation
    }

    /// The same seen from the other side; prices are the larger side's either way.
    pub(crate) fn turned(&self) -> Self {
        Self { permutation: self.permutation.inverse(), prices: self.prices.clone() }
    }

    /// The pairing of a problem with n <= m.
    pub(crate) fn pairing(&self) -> Pairing {
        let pairing = Pairing::from_permutation(&self.permutation);
        match &self.prices {
            Some(Prices { g, block }) => Pairing { g: g.clone(), block: block.clone(), ..pairing },
            None => pairing,
        }
    }

    /// As [`Self::pairing`], without a copy of the prices.
    pub(crate) fn into_pairing(self) -> Pairing {
        let pairing = Pairing::from_permutation(&self.permutation);
        match self.prices {
            Some(Prices { g, block }) => Pairing { g, block, ..pairing },
            None => pairing,
        }
    }

    /// A file's worth of bytes: safetensors with 16 bytes for each point of the larger side.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut arrays = vec![Array::u32("y_of_x", self.permutation.y_of_x())];
        if let Some(Prices { g, block }) = &self.prices {
            arrays.extend([Array::f64("g", g), Array::u32("block", block)]);
        }
        encode(&arrays, &Facts { version: VERSION, num_y: self.permutation.num_y() })
    }

    /// Reads what [`Self::to_bytes`] made.
    ///
    /// # Errors
    /// [`Error::BrokenWarmStart`] if the bytes are not a whole warm start of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let broken = |what: String| Error::BrokenWarmStart { what };
        let (arrays, Facts { version, num_y }) = Arrays::decode(bytes).map_err(broken)?;
        if version != VERSION {
            return Err(broken(format!("it is of version {version}, expected {VERSION}")));
        }
        let unfit = || broken("its arrays do not fit together".to_owned());
        let y_of_x = arrays.u32("y_of_x").map_err(broken)?;
        if num_y > UNMATCHED as usize {
            return Err(unfit());
        }
        let permutation = Permutation::new(y_of_x, num_y).map_err(|error| broken(error.to_string()))?;
        let prices = if arrays.has("g") {
            let (g, block) = (arrays.f64("g").map_err(broken)?, arrays.u32("block").map_err(broken)?);
            if !are_prices(&g, &block, permutation.num_x().max(num_y)) {
                return Err(unfit());
            }
            Some(Prices { g, block })
        } else {
            None
        };
        Ok(Self { permutation, prices })
    }
}

/// Takes from `other`, `(m,)`, what is better: two pairings of the same points differ in cycles, and the cheaper side of each cycle is kept. The
/// result costs no more than either. O(m d).
///
/// References: \[BSP\], where plans of random trees are merged.
pub(crate) fn merge(supports: Supports<'_>, pairing: &mut Pairing, other: &[u32]) {
    let mut x_of_y = vec![UNMATCHED; other.len()];
    pairing.y_of_x.iter().enumerate().for_each(|(x, &y)| x_of_y[y as usize] = x as u32);
    let cost = |x: u32, y: u32| if supports.is_point(x) { supports.between(x, y) } else { 0.0 };
    let mut seen = vec![false; other.len()];
    let mut cycle = Vec::new();
    for first in 0..other.len() as u32 {
        let mut gain = 0.0;
        let mut x = first;
        while !std::mem::replace(&mut seen[x as usize], true) {
            let (own, theirs) = (pairing.y_of_x[x as usize], other[x as usize]);
            if own != theirs {
                gain += cost(x, own) - cost(x, theirs);
                cycle.push(x);
            }
            x = x_of_y[theirs as usize];
        }
        if gain > 0.0 {
            cycle.iter().for_each(|&x| pairing.y_of_x[x as usize] = other[x as usize]);
        }
        cycle.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::CostKind;
    use crate::points::Rows;

    /// Two independent exchanges, of which each pairing has made the wrong one; and a stand-in that takes part.
    #[test]
    fn a_merge_takes_the_cheaper_side_of_each_cycle() {
        let (x, y) = ([0.0_f32, 1.0, 10.0, 11.0], [0.0_f32, 1.0, 10.0, 11.0]);
        let supports = Supports::new(Rows::of(&x, 1), Rows::of(&y, 1), CostKind::SquaredEuclidean);
        let mut pairing = Pairing::priced(vec![1, 0, 2, 3], vec![0.0; 4], 4);
        merge(supports, &mut pairing, &[0, 1, 3, 2]);
        assert_eq!(pairing.y_of_x, [0, 1, 2, 3]);
        let few = Supports { x: Rows::of(&x[..2], 1), y: Rows::of(&y[..3], 1), ..supports };
        let mut pairing = Pairing::priced(vec![2, 1, 0], vec![0.0; 3], 2);
        merge(few, &mut pairing, &[0, 1, 2]);
        assert_eq!(pairing.y_of_x, [0, 1, 2]);
        merge(few, &mut pairing, &[2, 0, 1]);
        assert_eq!(pairing.y_of_x, [0, 1, 2]);
    }

    #[test]
    fn broken_bytes_are_refused() {
        let permutation = Permutation::new(vec![2, 0], 3).unwrap();
        let prices = Prices { g: vec![0.5, -1.0, 0.25], block: vec![0, 1, 1] };
        let start = WarmStart { permutation: permutation.clone(), prices: Some(prices) };
        let bytes = start.to_bytes();
        assert_eq!(WarmStart::from_bytes(&bytes).unwrap(), start);
        assert_eq!(WarmStart::from_bytes(&start.turned().to_bytes()).unwrap(), start.turned());
        let unpriced = WarmStart::from(permutation.clone());
        assert_eq!(WarmStart::from_bytes(&unpriced.to_bytes()).unwrap(), unpriced);
        let wrong = |prices: Prices| WarmStart { permutation: permutation.clone(), prices: Some(prices) }.to_bytes();
        for bytes in [
            bytes[..bytes.len() - 1].to_vec(),
            b"nothing of the kind".to_vec(),
            wrong(Prices { g: vec![0.0; 2], block: vec![0; 2] }),
            wrong(Prices { g: vec![f64::NAN; 3], block: vec![0; 3] }),
        ] {
            assert!(matches!(WarmStart::from_bytes(&bytes), Err(Error::BrokenWarmStart { .. })));
        }
    }
}
