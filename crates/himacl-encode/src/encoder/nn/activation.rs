//! Activation functions.

use super::{fused, with_values};
use candle_core::{Result, Tensor};
use himacl_nn::gelu_value;
use hiref_core::math::exp_nonpositive;

/// A function of each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::encoder) enum Activation {
    Identity,
    Relu,
    Relu6,
    /// `x Phi(x)` with the error function.
    Gelu,
    /// `x Phi(x)` with a hyperbolic tangent.
    GeluTanh,
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    /// `x sigmoid(x)`.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// By its name in configurations of transformers.
    pub(in crate::encoder) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "linear" => Self::Identity,
            "relu" => Self::Relu,
            "relu6" => Self::Relu6,
            "gelu" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Self::GeluTanh,
            "quick_gelu" => Self::QuickGelu,
            "silu" | "swish" => Self::Silu,
            "tanh" => Self::Tanh,
            _ => return None,
        })
    }

    /// Of every value of a tensor.
    pub(in crate::encoder) fn of(self, x: &Tensor) -> Result<Tensor> {
        if !fused(&[x]) {
            return self.forward(x);
        }
        let mut values = with_values(&x.contiguous()?, <[f32]>::to_vec)?;
        self.apply(&mut values);
        Tensor::from_vec(values, x.shape(), x.device())
    }

    /// The plain form.
    pub(super) fn forward(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Identity => Ok(x.clone()),
            Self::Relu => himacl_nn::relu(x, f32::INFINITY),
            Self::Relu6 => himacl_nn::relu(x, 6.0),
            Self::Gelu => himacl_nn::gelu(x),
            Self::GeluTanh => x.gelu(),
            Self::QuickGelu => x * candle_nn::ops::sigmoid(&(x * 1.702)?)?,
            Self::Silu => x.silu(),
            Self::Tanh => x.tanh(),
        }
    }

    /// The fused form.
    pub(super) fn apply(self, values: &mut [f32]) {
        if self != Self::Identity {
            pulp::Arch::new().dispatch(Apply { activation: self, values });
        }
    }
}

struct Apply<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

// Not a closure: the compiler may put a closure's body into a function of its own, without the vector instructions.
impl pulp::NullaryFnOnce for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let values = self.values;
        match self.activation {
            Activation::Identity => {}
            Activation::Relu => values.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 }),
            Activation::Relu6 => values.iter_mut().for_each(|x| {
                let positive = if *x > 0.0 { *x } else { 0.0 };
                *x = if positive < 6.0 { positive } else { 6.0 };
            }),
            Activation::Gelu => values.iter_mut().for_each(|x| *x = gelu_value(*x)),
            Activation::GeluTanh => values.iter_mut().for_each(|x| {
                // 0.5 (1 + tanh(y)) = sigmoid(2 y).
                let inner = 1.595_769 * (*x + 0.044_715 * *x * *x * *x);
                *x *= sigmoid(inner);
            }),
            Activation::QuickGelu => values.iter_mut().for_each(|x| *x *= sigmoid(1.702 * *x)),
            Activation::Silu => values.iter_mut().for_each(|x| *x *= sigmoid(*x)),
            Activation::Tanh => values.iter_mut().for_each(|x| *x = 2.0 * sigmoid(2.0 * *x) - 1.0),
        }
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let e = exp_nonpositive(-x.abs());
    let small = e / (1.0 + e);
    if x < 0.0 { small } else { 1.0 - small }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn fused_as_plain() {
        use Activation::{Gelu, GeluTanh, Identity, QuickGelu, Relu, Relu6, Silu, Tanh};
        let x: Vec<f32> = (-12_000..=12_000).map(|step| step as f32 * 1e-3).collect();
        for activation in [Identity, Relu, Relu6, Gelu, GeluTanh, QuickGelu, Silu, Tanh] {
            let plain = activation.forward(&Tensor::new(x.as_slice(), &Device::Cpu).unwrap()).unwrap();
            let plain: Vec<f32> = plain.to_vec1().unwrap();
            let mut fused = x.clone();
            activation.apply(&mut fused);
            for ((x, got), expected) in x.iter().zip(&fused).zip(&plain) {
                // Candle's own error function is a rational approximation as well.
                assert!((got - expected).abs() < 2e-6, "{activation:?}({x}): {got} against {expected}");
            }
        }
    }
}
