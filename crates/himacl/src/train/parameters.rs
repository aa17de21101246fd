//! The tensors that training changes.

use crate::map::{Tensors, TwoWayMap};
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};
use himacl_nn::{scale, sum_of_squares};
use std::collections::BTreeMap;

/// What the names of an encoder's variables begin with among the parameters of a run.
pub(super) const ENCODER_PREFIX: &str = "encoder.";

/// Trainable variables by name, in a fixed order, and the map that is made of them.
#[derive(Debug)]
pub struct Parameters {
    variables: BTreeMap<String, Var>,
    map: TwoWayMap,
}

/// Gradients by the name of their variable.
pub type Gradients = BTreeMap<String, Tensor>;

impl Parameters {
    /// Copies the parameters of `map` into variables, except those whose name starts with one of `frozen`.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn new(map: &TwoWayMap, frozen: &[&str]) -> Result<Self> {
        let mut variables = BTreeMap::new();
        let mut tensors = map.tensors();
        for (name, tensor) in &mut tensors {
            if frozen.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            let variable = Var::from_tensor(&tensor.detach())?;
            *tensor = variable.as_tensor().clone();
            variables.insert(name.clone(), variable);
        }
        Ok(Self { variables, map: TwoWayMap::from_tensors(&tensors)? })
    }

    /// Takes in variables that are not the map's, whose owner reads them by itself.
    #[must_use]
    pub fn with(mut self, others: BTreeMap<String, Var>) -> Self {
        self.variables.extend(others);
        self
    }

    /// The variables by name.
    pub fn variables(&self) -> &BTreeMap<String, Var> {
        &self.variables
    }

    /// The map made of the variables: it changes as they do, and gradients flow through it.
    pub fn map(&self) -> &TwoWayMap {
        &self.map
    }

    /// The gradient of each variable, taken out of `store`.
    ///
    /// # Errors
    /// A variable that the loss does not depend on: an operation without a backward pass lost its gradient.
    pub fn gradients(&self, store: &mut GradStore) -> Result<Gradients> {
        self.variables
            .iter()
            .map(|(name, variable)| match store.remove(variable) {
                // Candle lets a gradient keep the graph that it came from; moments would then keep the graphs of all steps.
                Some(gradient) => Ok((name.clone(), gradient.detach())),
                None => candle_core::bail!("the loss has no gradient in `{name}`"),
            })
            .collect()
    }

    /// A copy of the variables' values that later steps leave alone.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn values(&self) -> Result<Tensors> {
        self.variables
            .iter()
            .map(|(name, variable)| Ok((name.clone(), variable.as_tensor().detach().copy()?)))
            .collect()
    }

    /// Sets every variable to the tensor of its name.
    ///
    /// # Errors
    /// A missing tensor or another shape.
    pub fn set(&self, values: &Tensors) -> Result<()> {
        for (name, variable) in &self.variables {
            match values.get(name) {
                Some(value) => variable.set(value)?,
                None => candle_core::bail!("no value for the parameter `{name}`"),
            }
        }
        Ok(())
    }

    /// The map with `values` in place of the variables, detached from them.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn map_with(&self, values: &Tensors) -> Result<TwoWayMap> {
        let mut tensors = self.map.tensors();
        for (name, value) in values {
            tensors.insert(name.clone(), value.clone());
        }
        TwoWayMap::from_tensors(&tensors)
    }
}

/// Scales `gradients` so that their joint Euclidean norm is at most `limit` (0 = no limit); returns the norm before.
///
/// # Errors
/// A failed tensor operation.
pub fn clip_by_norm(gradients: &mut Gradients, limit: f64) -> Result<f64> {
    let mut total = 0.0;
    let mut elsewhere = Vec::new();
    for gradient in gradients.values() {
        match sum_of_squares(gradient)? {
            Some(sum) => total += sum,
            None => elsewhere.push(gradient.sqr()?.sum_all()?),
        }
    }
    if !elsewhere.is_empty() {
        // One transfer from a device, not one for each parameter.
        let sums: Vec<f32> = Tensor::stack(&elsewhere, 0)?.to_vec1()?;
        total += sums.into_iter().map(f64::from).sum::<f64>();
    }
    let norm = total.sqrt();
    if limit > 0.0 && norm > limit {
        for gradient in gradients.values_mut() {
            scale(gradient, limit / norm)?;
        }
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{LinearMap, Map, ResidualMlp};
    use candle_core::Device;

    #[test]
    fn clipping_keeps_the_direction() {
        let gradient = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let mut gradients = Gradients::from([("a".into(), gradient(&[3.0])), ("b".into(), gradient(&[0.0, 4.0]))]);
        assert_eq!(clip_by_norm(&mut gradients, 10.0).unwrap(), 5.0);
        assert_eq!(gradients["a"].to_vec1::<f32>().unwrap(), [3.0]);
        assert_eq!(clip_by_norm(&mut gradients, 1.0).unwrap(), 5.0);
        assert!((gradients["b"].to_vec1::<f32>().unwrap()[1] - 0.8).abs() < 1e-6);
        assert!((clip_by_norm(&mut gradients, 0.0).unwrap() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn gradients_do_not_keep_their_graph() {
        let tensor = |values: &[f32], columns| {
            Tensor::from_slice(values, (values.len() / columns, columns), &Device::Cpu).unwrap()
        };
        let bias = Tensor::new(&[0f32, 0.0], &Device::Cpu).unwrap();
        let linear = LinearMap { weight: tensor(&[1.0, 2.0, 3.0, 4.0], 2), bias };
        let forward = Map::ResidualMlp(ResidualMlp::around(linear, 1, 3, 0).unwrap());
        let parameters = Parameters::new(&TwoWayMap::new(forward, None), &["forward.linear."]).unwrap();
        let loss = parameters.map().forward.apply(&tensor(&[1.0, 0.5], 2)).unwrap().sqr().unwrap().sum_all().unwrap();
        let gradients = parameters.gradients(&mut loss.backward().unwrap()).unwrap();
        assert_eq!(gradients.len(), 4); // the linear path is frozen
        assert!(gradients.values().all(|gradient| !gradient.track_op()));
    }
}
