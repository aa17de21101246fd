//! The Gaussian error linear unit.

use super::applies;
use super::elementwise::{Elementwise, Function};
use candle_core::{Result, Tensor};
use hiref_core::math::exp_nonpositive;

/// `x Φ(x)` of each value, with the error function; differentiable.
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if applies(&[x]) { x.apply_op1(Elementwise(Gelu)) } else { x.gelu_erf() }
}

/// `x Φ(x)`, with the error function's complement by Abramowitz and Stegun 7.1.26: absolute error below 1.5e-7 |x|.
#[inline(always)]
pub fn gelu_value(x: f32) -> f32 {
    x * distribution(x).0
}

/// Φ(x) and `exp(-x² / 2)`.
#[inline(always)]
fn distribution(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let tail = 1.061_405_4 * t - 1.453_152;
    let tail = tail * t + 1.421_413_7;
    let tail = tail * t - 0.284_496_74;
    let tail = tail * t + 0.254_829_6;
    let exponential = exp_nonpositive(-z * z);
    let half_complement = 0.5 * tail * t * exponential; // (1 - erf(z)) / 2
    (if x < 0.0 { half_complement } else { 1.0 - half_complement }, exponential)
}

#[derive(Clone, Copy)]
struct Gelu;

impl Function for Gelu {
    const NAME: &'static str = "gelu";

    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        gelu_value(x)
    }

    /// `Φ(x) + x φ(x)`.
    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        const INVERSE_SQRT_TAU: f32 = 0.398_942_3;
        let (distribution, exponential) = distribution(x);
        distribution + x * INVERSE_SQRT_TAU * exponential
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{gradients, worst};
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn as_the_plain_form() {
        let x = Tensor::from_iter((-24_000..=24_000).map(|step| step as f32 * 5e-4), &Device::Cpu).unwrap();
        let x = Var::from_tensor(&x).unwrap();
        let (fused, plain) = (gelu(&x).unwrap(), x.gelu_erf().unwrap());
        assert!(worst(&fused, &plain) < 2e-6);
        // The plain gradient has six digits of 1 / sqrt(2 π).
        assert!(worst(&gradients(&fused, &[&x])[0], &gradients(&plain, &[&x])[0]) < 5e-6);
    }
}
