//! The logistic function.

use super::applies;
use super::elementwise::{Elementwise, Function};
use candle_core::{Result, Tensor};
use hiref_core::math::exp_nonpositive;

/// `1 / (1 + e⁻ˣ)` of each value, without overflow; differentiable.
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    // As (1 + tanh(x / 2)) / 2: the plain form's gradient is finite everywhere.
    if applies(&[x]) { x.apply_op1(Elementwise(Sigmoid)) } else { ((x * 0.5)?.tanh()? + 1.0)? * 0.5 }
}

#[derive(Clone, Copy)]
struct Sigmoid;

impl Function for Sigmoid {
    const NAME: &'static str = "sigmoid";

    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        let exponential = exp_nonpositive(-x.abs());
        let (one, other) = (1.0 / (1.0 + exponential), exponential / (1.0 + exponential));
        if x < 0.0 { other } else { one }
    }

    /// `σ(x) (1 - σ(x))`.
    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        let y = self.value(x);
        y * (1.0 - y)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{gradients, worst};
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn as_the_plain_form() {
        let x = Tensor::from_iter((-20_000..20_000).map(|step| step as f32 * 5e-3), &Device::Cpu).unwrap();
        let x = Var::from_tensor(&x).unwrap();
        let plain = (((x.as_tensor() * 0.5).unwrap().tanh().unwrap() + 1.0).unwrap() * 0.5).unwrap();
        let fused = sigmoid(&x).unwrap();
        assert!(worst(&fused, &plain) < 1e-6);
        let (of_fused, of_plain) = (&gradients(&fused, &[&x])[0], &gradients(&plain, &[&x])[0]);
        assert!(worst(of_fused, of_plain) < 1e-5);
    }
}
