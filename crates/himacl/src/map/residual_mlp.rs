//! A linear map plus a small network that learns what the linear map misses.

use super::LinearMap;
use candle_core::{DType, Device, Result, Tensor};
use himacl_nn::{gelu, unit_root_mean_square};
use hiref_core::rng;
use rand_distr::{Distribution, StandardNormal};

/// `T(x) = x W + b + N(x) / √e`, with N a network of k hidden GELU layers on `x` scaled to unit root mean square.
///
/// The output layer of N starts at zero, so that training starts exactly at the linear map. The factor `1/√e` gives N's
/// outputs the size of the coordinates of unit vectors, which keeps the steps of an adaptive optimiser in proportion.
/// Only operations with a backward pass are used: Candle's fused norms drop gradients without a word.
#[derive(Debug, Clone)]
pub struct ResidualMlp {
    /// The linear path, d to e.
    pub linear: LinearMap,
    /// The hidden layers: d to h, then h to h.
    pub hidden: Vec<LinearMap>,
    /// The output layer, h to e.
    pub output: LinearMap,
}

impl ResidualMlp {
    /// A network of `layers` hidden layers of `width` units around `linear`, drawn from the stream `[seed, "map"]`.
    ///
    /// Hidden weights are normal with variance 2 / inputs, biases and the output layer are zero: T(x) = x W + b.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn around(linear: LinearMap, layers: usize, width: usize, seed: u64) -> Result<Self> {
        let (inputs, outputs) = linear.weight.dims2()?;
        let (dtype, device) = (linear.weight.dtype(), linear.weight.device());
        let hidden = hidden_layers(inputs, layers, width, seed, dtype, device)?;
        let last = if layers == 0 { inputs } else { width };
        let weight = Tensor::zeros((last, outputs), dtype, device)?;
        let output = LinearMap { weight, bias: Tensor::zeros(outputs, dtype, device)? };
        Ok(Self { linear, hidden, output })
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
        self.linear.apply(x)? + self.output.scaled(output_scale(&self.output))?.apply(&features)? // (n, e)
    }
}

/// `1/√e`.
pub(super) fn output_scale(output: &LinearMap) -> f64 {
    1.0 / (output.bias.elem_count() as f64).sqrt()
}

/// Names the stream of the initial weights.
const INITIAL_WEIGHTS: u64 = 0x006d_6170;

/// `layers` layers of `width` units with weights of variance 2 / inputs and zero biases.
pub(super) fn hidden_layers(
    inputs: usize,
    layers: usize,
    width: usize,
    seed: u64,
    dtype: DType,
    device: &Device,
) -> Result<Vec<LinearMap>> {
    let layer = |layer: usize| {
        let fan_in = if layer == 0 { inputs } else { width };
        let weight = normal_weights((fan_in, width), 2.0 / fan_in as f32, (seed, layer as u64), dtype, device)?;
        Ok(LinearMap { weight, bias: Tensor::zeros(width, dtype, device)? })
    };
    (0..layers).map(layer).collect()
}

/// Normal weights of the given variance from the stream of a layer: Candle's own CPU generator cannot be seeded.
pub(super) fn normal_weights(
    shape: (usize, usize),
    variance: f32,
    (seed, layer): (u64, u64),
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let mut generator = rng::stream(seed, &[INITIAL_WEIGHTS, layer]);
    let scale = variance.sqrt();
    let values = (0..shape.0 * shape.1).map(|_| {
        let value: f32 = StandardNormal.sample(&mut generator);
        scale * value
    });
    Tensor::from_iter(values, device)?.reshape(shape)?.to_dtype(dtype)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(d: usize) -> LinearMap {
        let device = Device::Cpu;
        LinearMap {
            weight: Tensor::eye(d, DType::F32, &device).unwrap(),
            bias: Tensor::zeros(d, DType::F32, &device).unwrap(),
        }
    }

    #[test]
    fn it_starts_at_its_linear_path() {
        let x = Tensor::new(&[[1f32, -2.0, 0.5], [0.0, 0.0, 0.0]], &Device::Cpu).unwrap();
        let map = ResidualMlp::around(identity(3), 2, 5, 7).unwrap();
        assert_eq!(map.apply(&x).unwrap().to_vec2::<f32>().unwrap(), x.to_vec2::<f32>().unwrap());
    }

    #[test]
    fn the_seed_decides_the_weights() {
        let weights = |seed| {
            let map = ResidualMlp::around(identity(3), 1, 4, seed).unwrap();
            map.hidden[0].weight.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(weights(1), weights(1));
        assert_ne!(weights(1), weights(2));
    }
}
