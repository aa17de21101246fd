//! The moving average of the parameters, which is the map that is kept.

use super::parameters::Parameters;
use crate::map::Tensors;
use candle_core::{Result, bail};
use himacl_nn::lerp;

/// `s ← δ s + (1 - δ) θ`, with δ = min(decay, (1 + t) / (10 + t)) at step t, so that early values are forgotten.
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    shadow: Tensors,
}

impl Ema {
    /// Starts at the parameters' values; `decay` in [0, 1), 0 = no averaging.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn new(decay: f64, parameters: &Parameters) -> Result<Self> {
        Ok(Self { decay, shadow: parameters.values()? })
    }

    /// Takes in the parameters after `step` (from 1).
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn update(&mut self, parameters: &Parameters, step: u64) -> Result<()> {
        let step = step as f64;
        let decay = self.decay.min((1.0 + step) / (10.0 + step));
        for (name, variable) in parameters.variables() {
            let Some(average) = self.shadow.get_mut(name) else {
                bail!("the moving average does not know the parameter `{name}`");
            };
            lerp(average, &variable.as_detached_tensor(), decay)?;
        }
        Ok(())
    }

    /// The averages by name; the next update changes them where they lie.
    pub fn tensors(&self) -> &Tensors {
        &self.shadow
    }

    /// Goes on from saved averages.
    ///
    /// # Errors
    /// An average that is missing or has another shape.
    pub fn restore(&mut self, tensors: &Tensors) -> Result<()> {
        for (name, average) in &mut self.shadow {
            match tensors.get(name) {
                Some(saved) if saved.shape() == average.shape() => {
                    // A copy: updates change averages in place.
                    *average = saved.to_device(average.device())?.copy()?;
                }
                _ => bail!("the checkpoint's moving average has no `{name}` of shape {:?}", average.shape()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{LinearMap, Map, TwoWayMap};
    use candle_core::{Device, Tensor};

    #[test]
    fn it_follows_by_the_smaller_of_decay_and_warm_up() {
        let scalar = |value: f32| Tensor::new(&[[value]], &Device::Cpu).unwrap();
        let bias = Tensor::new(&[0f32], &Device::Cpu).unwrap();
        let parameters =
            Parameters::new(&TwoWayMap::new(Map::Linear(LinearMap { weight: scalar(1.0), bias }), None), &[]).unwrap();
        let mut ema = Ema::new(0.5, &parameters).unwrap();
        let value =
            |ema: &Ema| ema.tensors()["forward.linear.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
        parameters.variables()["forward.linear.weight"].set(&scalar(3.0)).unwrap();
        assert_eq!(value(&ema), 1.0); // a copy, not a view
        ema.update(&parameters, 1).unwrap(); // δ = 2/11
        assert!((value(&ema) - (1.0 * 2.0 / 11.0 + 3.0 * 9.0 / 11.0)).abs() < 1e-6);
        let before = value(&ema);
        ema.update(&parameters, 1000).unwrap(); // δ = 0.5
        assert!((value(&ema) - 0.5 * (before + 3.0)).abs() < 1e-6);
    }
}
