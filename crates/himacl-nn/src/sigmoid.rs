//! The logistic function.

use super::{BLOCK, applies, filled, values};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use hiref_core::math::exp_nonpositive;

/// `1 / (1 + e⁻ˣ)` of each value, without overflow; differentiable.
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    // As (1 + tanh(x / 2)) / 2: the plain form's gradient is finite everywhere.
    if applies(&[x]) { x.apply_op1(Sigmoid) } else { ((x * 0.5)?.tanh()? + 1.0)? * 0.5 }
}

#[inline(always)]
fn sigmoid_value(x: f32) -> f32 {
    let exponential = exp_nonpositive(-x.abs());
    let (one, other) = (1.0 / (1.0 + exponential), exponential / (1.0 + exponential));
    if x < 0.0 { other } else { one }
}

struct Sigmoid;

impl CustomOp1 for Sigmoid {
    fn name(&self) -> &'static str {
        "sigmoid"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let out = filled(x.len(), BLOCK, |start, out| {
            pulp::Arch::new().dispatch(Forward { x: &x[start..start + out.len()], out });
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        y.apply_op2_no_bwd(&gradient.contiguous()?, &SigmoidGradient).map(Some)
    }
}

struct Forward<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.out.iter_mut().zip(self.x).for_each(|(out, &x)| *out = sigmoid_value(x));
    }
}

/// `y (1 - y) g` with `y` the function's value.
struct SigmoidGradient;

impl CustomOp2 for SigmoidGradient {
    fn name(&self) -> &'static str {
        "sigmoid gradient"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (y, gradient) = (values(s1, l1)?, values(s2, l2)?);
        let out = filled(y.len(), BLOCK, |start, out| {
            for ((out, &y), &gradient) in out.iter_mut().zip(&y[start..]).zip(&gradient[start..]) {
                *out = y * (1.0 - y) * gradient;
            }
        });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
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
