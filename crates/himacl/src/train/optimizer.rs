//! `AdamW` with moments that can be saved.

use super::parameters::{Gradients, Parameters};
use crate::map::Tensors;
use candle_core::{Result, bail};
use himacl_nn::{AdamStep, adam};
use serde::{Deserialize, Serialize};

/// Parameters of [`AdamW`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWParams {
    /// Largest learning rate; the schedule scales it.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// The same for encoders, where they are trained.
    pub encoder_learning_rate: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, per unit of learning rate.
    pub weight_decay: f64,
    /// Gradients with a larger joint norm are scaled down to it; 0 = never.
    pub clip_norm: f64,
}

impl Default for AdamWParams {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            encoder_learning_rate: 5e-5,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 1e-4,
            clip_norm: 1.0,
        }
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
///
/// `m ← β₁ m + (1 - β₁) g`, `v ← β₂ v + (1 - β₂) g²`,
/// `θ ← (1 - η λ) θ - η (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε)`.
/// Candle's own optimiser keeps its moments to itself; a resumed run needs them.
#[derive(Debug)]
pub struct AdamW {
    params: AdamWParams,
    steps: u64,
    first_moments: Tensors,
    second_moments: Tensors,
}

impl AdamW {
    /// An optimiser before its first step: all moments zero.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn new(params: AdamWParams, parameters: &Parameters) -> Result<Self> {
        let zeros = || -> Result<Tensors> {
            parameters.variables().iter().map(|(name, variable)| Ok((name.clone(), variable.zeros_like()?))).collect()
        };
        Ok(Self { params, steps: 0, first_moments: zeros()?, second_moments: zeros()? })
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves every parameter against its gradient, by `factor` times its learning rate; O(number of parameters).
    ///
    /// # Errors
    /// A parameter without a gradient.
    pub fn step(&mut self, parameters: &Parameters, gradients: &Gradients, factor: f64) -> Result<()> {
        self.steps += 1;
        let AdamWParams { learning_rate, encoder_learning_rate, beta1, beta2, epsilon, weight_decay, .. } = self.params;
        let exponent = self.steps as f64;
        let step = |learning_rate: f64| AdamStep {
            beta1,
            beta2,
            epsilon,
            decay: 1.0 - learning_rate * weight_decay,
            rate: learning_rate / (1.0 - beta1.powf(exponent)),
            correction: 1.0 - beta2.powf(exponent),
        };
        let (of_map, of_encoders) = (step(factor * learning_rate), step(factor * encoder_learning_rate));
        for (name, variable) in parameters.variables() {
            let (Some(gradient), Some(first), Some(second)) =
                (gradients.get(name), self.first_moments.get_mut(name), self.second_moments.get_mut(name))
            else {
                bail!("the optimiser does not know the parameter `{name}`, or it has no gradient");
            };
            let step = if name.starts_with(super::parameters::ENCODER_PREFIX) { of_encoders } else { of_map };
            adam(variable, (first, second), gradient, step)?;
        }
        Ok(())
    }

    /// The moments, as `first.NAME` and `second.NAME`.
    pub fn tensors(&self) -> Tensors {
        let prefixed = |prefix: &str, tensors: &Tensors| -> Vec<_> {
            tensors.iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor.clone())).collect()
        };
        prefixed("first", &self.first_moments).into_iter().chain(prefixed("second", &self.second_moments)).collect()
    }

    /// Goes on from saved moments.
    ///
    /// # Errors
    /// A moment that is missing or has another shape.
    pub fn restore(&mut self, tensors: &Tensors, steps: u64) -> Result<()> {
        for (prefix, moments) in [("first", &mut self.first_moments), ("second", &mut self.second_moments)] {
            for (name, moment) in moments {
                match tensors.get(&format!("{prefix}.{name}")) {
                    Some(saved) if saved.shape() == moment.shape() => {
                        // A copy: steps change moments in place.
                        *moment = saved.to_device(moment.device())?.copy()?;
                    }
                    _ => bail!("the checkpoint's optimiser has no `{prefix}.{name}` of shape {:?}", moment.shape()),
                }
            }
        }
        self.steps = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{LinearMap, Map, TwoWayMap};
    use candle_core::{Device, Tensor};

    fn parameters(weight: f32) -> Parameters {
        let tensor = |value: f32| Tensor::new(&[value], &Device::Cpu).unwrap();
        let map = Map::Linear(LinearMap { weight: tensor(weight).reshape((1, 1)).unwrap(), bias: tensor(0.0) });
        Parameters::new(&TwoWayMap::new(map, None), &["forward.linear.bias"]).unwrap()
    }

    fn weight(parameters: &Parameters) -> f64 {
        f64::from(parameters.variables()["forward.linear.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap()[0])
    }

    fn gradient(value: f32) -> Gradients {
        Gradients::from([("forward.linear.weight".into(), Tensor::new(&[[value]], &Device::Cpu).unwrap())])
    }

    #[test]
    fn three_steps_by_hand() {
        let params =
            AdamWParams { learning_rate: 1.0, beta1: 0.5, beta2: 0.75, weight_decay: 0.1, ..AdamWParams::default() };
        let parameters = parameters(2.0);
        let mut optimizer = AdamW::new(params.clone(), &parameters).unwrap();
        let (mut theta, mut m, mut v) = (2.0f64, 0.0, 0.0);
        for (t, (g, lr)) in [(0.5, 0.1), (-0.25, 0.1), (1.0, 0.05)].into_iter().enumerate() {
            optimizer.step(&parameters, &gradient(g as f32), lr).unwrap();
            m = 0.5 * m + 0.5 * g;
            v = 0.75 * v + 0.25 * g * g;
            let t = t as i32 + 1;
            let update = m / (1.0 - 0.5f64.powi(t)) / ((v / (1.0 - 0.75f64.powi(t))).sqrt() + 1e-8);
            theta = theta - lr * 0.1 * theta - lr * update;
            assert!((weight(&parameters) - theta).abs() < 1e-6, "step {t}: {} {theta}", weight(&parameters));
        }
        // The first step of Adam has the size of the learning rate, whatever the gradient.
        assert_eq!(optimizer.steps(), 3);
    }

    #[test]
    fn restored_moments_give_the_same_bits() {
        let params = AdamWParams { learning_rate: 1.0, ..AdamWParams::default() };
        let (one, two) = (parameters(1.0), parameters(1.0));
        let mut first = AdamW::new(params.clone(), &one).unwrap();
        first.step(&one, &gradient(0.3), 0.01).unwrap();
        let mut second = AdamW::new(params, &two).unwrap();
        second.restore(&first.tensors(), first.steps()).unwrap();
        two.set(&one.values().unwrap()).unwrap();
        first.step(&one, &gradient(0.7), 0.01).unwrap();
        second.step(&two, &gradient(0.7), 0.01).unwrap();
        assert_eq!(weight(&one).to_bits(), weight(&two).to_bits());
        assert!(second.restore(&Tensors::new(), 0).is_err());
    }
}
