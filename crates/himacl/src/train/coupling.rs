//! The coupling in force.

use crate::align::SoftPartners;
use crate::map::Tensors;
use candle_core::{Device, Result, Tensor, bail};
use hiref_core::{Permutation, UNMATCHED};

/// A pairing of the items that no anchor pairs, with how far each pair is trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Coupling {
    /// Over the positions of the free source and target items.
    pub permutation: Permutation,
    /// For each free source item, `(n,)`: the higher, the surer; only the order counts.
    pub confidence: Vec<f32>,
    /// Where targets are softened: the likeliest partners, among the free items, of each free source item and of each
    /// free target item.
    pub soft: Option<(SoftPartners, SoftPartners)>,
}

impl Coupling {
    /// Of `n` source items with `m` target items, none of which is paired.
    ///
    /// # Panics
    /// Never.
    pub fn none(n: usize, m: usize) -> Self {
        let permutation = Permutation::new(vec![UNMATCHED; n], m).expect("no item is paired twice");
        Self { permutation, confidence: vec![0.0; n], soft: None }
    }

    /// As named tensors.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn tensors(&self) -> Result<Tensors> {
        let num_target = [self.permutation.num_y() as u32];
        let mut tensors = Tensors::from([
            ("target_of_source".to_owned(), Tensor::new(self.permutation.y_of_x(), &Device::Cpu)?),
            ("num_target".to_owned(), Tensor::new(&num_target, &Device::Cpu)?),
            ("confidence".to_owned(), Tensor::new(self.confidence.as_slice(), &Device::Cpu)?),
        ]);
        if let Some((of_source, of_target)) = &self.soft {
            for (side, soft) in [("source", of_source), ("target", of_target)] {
                let shape = (soft.items.len() / soft.count.max(1), soft.count);
                let items = Tensor::from_slice(&soft.items, shape, &Device::Cpu)?;
                tensors.insert(format!("candidates_of_{side}"), items);
                tensors.insert(format!("shares_of_{side}"), Tensor::from_slice(&soft.weights, shape, &Device::Cpu)?);
            }
        }
        Ok(tensors)
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
        let soft = |side: &str| -> Result<SoftPartners> {
            let items = get(&format!("candidates_of_{side}"))?;
            let weights = get(&format!("shares_of_{side}"))?.flatten_all()?.to_vec1()?;
            Ok(SoftPartners { count: items.dim(1)?, items: items.flatten_all()?.to_vec1()?, weights })
        };
        let is_soft = tensors.contains_key("candidates_of_source");
        let soft = if is_soft { Some((soft("source")?, soft("target")?)) } else { None };
        Ok(Self { permutation, confidence: get("confidence")?.to_vec1()?, soft })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn coupling() -> Coupling {
        let permutation = Permutation::new(vec![2, 0, 1], 3).unwrap();
        Coupling { permutation, confidence: vec![0.1, 0.9, 0.5], soft: None }
    }

    pub(crate) fn soft_coupling() -> Coupling {
        let soft = |items: &[u32]| SoftPartners { count: 2, items: items.to_vec(), weights: [0.75, 0.25].repeat(3) };
        Coupling { soft: Some((soft(&[2, 1, 0, 1, 1, 0]), soft(&[0, 1, 1, 2, 2, 0]))), ..coupling() }
    }

    #[test]
    fn couplings_round_trip() {
        for coupling in [coupling(), soft_coupling()] {
            assert_eq!(Coupling::from_tensors(&coupling.tensors().unwrap()).unwrap(), coupling);
        }
    }
}
