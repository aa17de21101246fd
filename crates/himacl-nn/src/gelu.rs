//! The Gaussian error linear unit.

use super::{BLOCK, applies, filled, values};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use hiref_core::math::exp_nonpositive;

/// `x Φ(x)` of each value, with the error function; differentiable.
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if applies(&[x]) { x.apply_op1(Gelu) } else { x.gelu_erf() }
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

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let out = filled(x.len(), BLOCK, |start, out| {
            pulp::Arch::new().dispatch(Forward { x: &x[start..start + out.len()], out });
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        x.apply_op2_no_bwd(&gradient.contiguous()?, &GeluGradient).map(Some)
    }
}

/// `(Φ(x) + x φ(x)) g`.
struct GeluGradient;

impl CustomOp2 for GeluGradient {
    fn name(&self) -> &'static str {
        "gelu gradient"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, gradient) = (values(s1, l1)?, values(s2, l2)?);
        let out = filled(x.len(), BLOCK, |start, out| {
            let range = start..start + out.len();
            pulp::Arch::new().dispatch(Backward { x: &x[range.clone()], gradient: &gradient[range], out });
        });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }
}

// Not closures: the compiler may put a closure's body into a function of its own, without the vector instructions.
struct Forward<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.out.iter_mut().zip(self.x).for_each(|(out, &x)| *out = gelu_value(x));
    }
}

struct Backward<'a> {
    x: &'a [f32],
    gradient: &'a [f32],
    out: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        const INVERSE_SQRT_TAU: f32 = 0.398_942_3;
        for ((out, &x), &gradient) in self.out.iter_mut().zip(self.x).zip(self.gradient) {
            let (distribution, exponential) = distribution(x);
            *out = gradient * (distribution + x * INVERSE_SQRT_TAU * exponential);
        }
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
