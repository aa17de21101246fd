//! A plain network, without a linear path.

use super::LinearMap;
use super::residual_mlp::{hidden_layers, normal_weights, output_scale};
use candle_core::{DType, Device, Result, Tensor};
use himacl_nn::{gelu, unit_root_mean_square};

/// `T(x) = N(x) / √e`, with N a network of k hidden GELU layers on `x` scaled to unit root mean square.
///
/// Starts from random weights, so it forgets the map it is given; [`ResidualMlp`](super::ResidualMlp) starts at it.
#[derive(Debug, Clone)]
pub struct Mlp {
    /// The hidden layers: d to h, then h to h.
    pub hidden: Vec<LinearMap>,
    /// The output layer, h to e.
    pub output: LinearMap,
}

impl Mlp {
    /// A network from d to e with `layers` hidden layers of `width` units, drawn from the seed.
    ///
    /// Hidden weights are normal with variance 2 / inputs, those of the output layer 1 / inputs; biases are zero.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn new(
        (inputs, outputs): (usize, usize),
        layers: usize,
        width: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let hidden = hidden_layers(inputs, layers, width, seed, DType::F32, device)?;
        let last = if layers == 0 { inputs } else { width };
        let weight = normal_weights((last, outputs), 1.0 / last as f32, (seed, layers as u64), DType::F32, device)?;
        Ok(Self { hidden, output: LinearMap { weight, bias: Tensor::zeros(outputs, DType::F32, device)? } })
    }

    /// Maps the rows of `x`, `(n, d)`, to `(n, e)`; differentiable in every tensor of the map.
    ///
    /// # Errors
    /// Rows of another dimension than d.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let mut features = unit_root_mean_square(x)?; // (n, d)
        for layer in &self.hidden {
            features = gelu(&layer.apply(&features)?)?; // (n, h)
        }
        self.output.scaled(output_scale(&self.output))?.apply(&features) // (n, e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_have_about_unit_length_and_the_seed_decides() {
        let x = Tensor::from_iter((0..400).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0), &Device::Cpu).unwrap();
        let x = x.reshape((20, 20)).unwrap();
        let lengths = |seed| {
            let map = Mlp::new((20, 30), 2, 64, seed, &Device::Cpu).unwrap();
            map.apply(&x).unwrap().sqr().unwrap().sum(1).unwrap().to_vec1::<f32>().unwrap()
        };
        let mean = lengths(1).iter().sum::<f32>() / 20.0;
        assert!((0.2..5.0).contains(&mean), "{mean}");
        assert_eq!(lengths(1), lengths(1));
        assert_ne!(lengths(1), lengths(2));
    }
}
