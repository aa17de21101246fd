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
    /// A missing tensor, another type or shape, or indices that are no pairing.
    pub fn from_tensors(tensors: &Tensors) -> Result<Self> {
        let get = |name: &str| match tensors.get(name) {
            Some(tensor) => Ok(tensor),
            None => bail!("a coupling without `{name}`"),
        };
        let [num_target] = get("num_target")?.to_vec1::<u32>()?[..] else {
            bail!("a coupling whose `num_target` is no single number")
        };
        let permutation = Permutation::new(get("target_of_source")?.to_vec1()?, num_target as usize)
            .map_err(candle_core::Error::wrap)?;
        let confidence: Vec<f32> = get("confidence")?.to_vec1()?;
        let (n, m) = (permutation.y_of_x().len(), permutation.num_y());
        if confidence.len() != n {
            bail!("a coupling of {n} items with the confidence of {}", confidence.len());
        }
        let soft = |side: &str, [own, others]: [usize; 2]| -> Result<SoftPartners> {
            let (items, weights) = (get(&format!("candidates_of_{side}"))?, get(&format!("shares_of_{side}"))?);
            let (rows, count) = items.dims2()?;
            if rows != own || weights.dims() != items.dims() {
                bail!("candidates of {side} {:?} with shares {:?}, expected {own} rows", items.dims(), weights.dims());
            }
            let items: Vec<u32> = items.flatten_all()?.to_vec1()?;
            if let Some(item) = items.iter().find(|&&item| item as usize >= others) {
                bail!("candidate {item} of {side}, expected less than {others}");
            }
            Ok(SoftPartners { count, items, weights: weights.flatten_all()?.to_vec1()? })
        };
        let is_soft = tensors.contains_key("candidates_of_source");
        let soft = if is_soft { Some((soft("source", [n, m])?, soft("target", [m, n])?)) } else { None };
        Ok(Self { permutation, confidence, soft })
    }

    /// Refuses a coupling of other than `n` with `m` items.
    ///
    /// # Errors
    /// Other numbers of items.
    pub fn check_sizes(&self, n: usize, m: usize) -> Result<()> {
        let got = (self.permutation.y_of_x().len(), self.permutation.num_y());
        if got != (n, m) {
            bail!("a coupling of {} with {} items, expected {n} with {m}", got.0, got.1);
        }
        Ok(())
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
