//! What training minimises.

mod contrastive;
mod klot;
mod regression;

pub use contrastive::{Contrastive, ContrastiveKind};
pub use klot::Klot;
pub use regression::Regression;

use candle_core::{Result, Tensor};

/// The mapped sources of one batch beside their partners.
///
/// A batch is handed over whole, so that an objective may compare every row with every other (in-batch negatives), not
/// only each row with its partner.
#[derive(Debug)]
pub struct Batch<'a> {
    /// T(x), `(b, e)`, with gradients.
    pub predicted: &'a Tensor,
    /// The partners' embeddings, `(b, e)`.
    pub target: &'a Tensor,
    /// Confidence of each pair, `(b,)`, not negative, with a positive sum.
    pub weight: &'a Tensor,
}

/// A differentiable loss of a batch.
#[derive(Debug, Clone, Copy)]
pub enum Objective {
    /// Bring each T(x) to its partner.
    Regression(Regression),
    /// Tell each partner from the others of the batch.
    Contrastive(Contrastive),
    /// The contrastive loss plus a multiple of the transport cost `<C, P>`: the coupling P is a bijection, so that is the
    /// mean cost of its pairs, the regression term.
    Both {
        /// The first term.
        contrastive: Contrastive,
        /// The cost of each pair.
        transport: Regression,
        /// What the transport cost is multiplied with.
        weight: f64,
    },
}

impl Objective {
    /// The loss of the batch, a scalar.
    ///
    /// # Errors
    /// Shapes that do not agree.
    pub fn loss(&self, batch: &Batch<'_>) -> Result<Tensor> {
        match self {
            Self::Regression(objective) => objective.loss(batch),
            Self::Contrastive(objective) => objective.loss(batch),
            Self::Both { contrastive, transport, weight } => {
                contrastive.loss(batch)? + (transport.loss(batch)? * *weight)?
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{LinearMap, Map, ResidualMlp};
    use candle_core::{Device, Var};
    use std::collections::BTreeMap;

    #[test]
    fn every_variable_gets_a_gradient_from_every_objective_and_steps_along_it_help() {
        let linear = LinearMap {
            weight: Tensor::new(&[[1f32, 0.2], [0.5, -1.0], [0.25, 0.3]], &Device::Cpu).unwrap(),
            bias: Tensor::new(&[0.1f32, -0.1], &Device::Cpu).unwrap(),
        };
        let map = Map::ResidualMlp(ResidualMlp::around(linear, 2, 4, 3).unwrap());
        let x = Tensor::new(&[[1f32, -2.0, 0.5], [0.3, 0.1, 0.7], [-1.0, 0.4, 0.2]], &Device::Cpu).unwrap();
        let y = Tensor::new(&[[0.6f32, 0.8], [1.0, 0.1], [-0.3, 0.9]], &Device::Cpu).unwrap();
        let weight = Tensor::new(&[1f32, 2.0, 0.5], &Device::Cpu).unwrap();
        let regression = Regression { cosine_share: 0.5 };
        let contrastive = |kind| Contrastive { kind, scale: 5.0, bias: -1.0 };
        let info_nce = contrastive(ContrastiveKind::InfoNce);
        for objective in [
            Objective::Regression(regression),
            Objective::Contrastive(info_nce),
            Objective::Contrastive(contrastive(ContrastiveKind::SigLip)),
            Objective::Both { contrastive: info_nce, transport: regression, weight: 0.5 },
        ] {
            // Away from the zero initialisation, where the hidden layers rightly have zero gradients.
            let vars: BTreeMap<String, Var> = map
                .tensors()
                .into_iter()
                .map(|(name, tensor)| (name, Var::from_tensor(&(tensor + 0.1).unwrap()).unwrap()))
                .collect();
            let loss = |vars: &BTreeMap<String, Var>| {
                let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
                let predicted = Map::from_tensors(&tensors).unwrap().apply(&x).unwrap();
                objective.loss(&Batch { predicted: &predicted, target: &y, weight: &weight }).unwrap()
            };
            let before = loss(&vars);
            let gradients = before.backward().unwrap();
            for (name, var) in &vars {
                let gradient = gradients.get(var).unwrap_or_else(|| panic!("{objective:?}: `{name}` has no gradient"));
                let size = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(size > 0.0, "{objective:?}: `{name}` has a zero gradient");
                var.set(&(var.as_tensor() - (gradient * 1e-3).unwrap()).unwrap()).unwrap();
            }
            let value = |loss: Tensor| loss.to_scalar::<f32>().unwrap();
            assert!(value(loss(&vars)) < value(before), "{objective:?}");
        }
    }
}
