//! Rectified linear units.

use super::{BLOCK, applies, filled, values};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

/// `min(max(x, 0), ceiling)` of each value; differentiable. A ceiling of infinity is none.
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn relu(x: &Tensor, ceiling: f32) -> Result<Tensor> {
    if applies(&[x]) {
        return x.apply_op1(Relu { ceiling });
    }
    let y = x.relu()?;
    if ceiling.is_finite() { y.minimum(f64::from(ceiling)) } else { Ok(y) }
}

struct Relu {
    ceiling: f32,
}

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let out = filled(x.len(), BLOCK, |start, out| {
            for (out, &x) in out.iter_mut().zip(&x[start..]) {
                let positive = if x > 0.0 { x } else { 0.0 };
                *out = if positive < self.ceiling { positive } else { self.ceiling };
            }
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        x.apply_op2_no_bwd(&gradient.contiguous()?, &ReluGradient { ceiling: self.ceiling }).map(Some)
    }
}

/// The gradient where the unit is neither at zero nor at its ceiling.
struct ReluGradient {
    ceiling: f32,
}

impl CustomOp2 for ReluGradient {
    fn name(&self) -> &'static str {
        "relu gradient"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, gradient) = (values(s1, l1)?, values(s2, l2)?);
        let out = filled(x.len(), BLOCK, |start, out| {
            for ((out, &x), &gradient) in out.iter_mut().zip(&x[start..]).zip(&gradient[start..]) {
                *out = if x > 0.0 && x < self.ceiling { gradient } else { 0.0 };
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
        // No value lies on a corner, where any slope would do.
        let x = Tensor::from_iter((-24_000..24_000).map(|step| (step as f32 + 0.5) * 5e-4), &Device::Cpu).unwrap();
        let x = Var::from_tensor(&x).unwrap();
        for ceiling in [6.0, f32::INFINITY] {
            let plain = x.relu().unwrap();
            let plain = if ceiling.is_finite() { plain.minimum(6.0).unwrap() } else { plain };
            let fused = relu(&x, ceiling).unwrap();
            assert_eq!(worst(&fused, &plain), 0.0);
            assert_eq!(worst(&gradients(&fused, &[&x])[0], &gradients(&plain, &[&x])[0]), 0.0);
        }
    }
}
