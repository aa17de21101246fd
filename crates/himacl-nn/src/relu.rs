//! Rectified linear units.

use super::applies;
use super::elementwise::{Elementwise, Function};
use candle_core::{Result, Tensor};

/// `min(max(x, 0), ceiling)` of each value; differentiable. A ceiling of infinity is none.
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn relu(x: &Tensor, ceiling: f32) -> Result<Tensor> {
    if applies(&[x]) {
        return x.apply_op1(Elementwise(Relu { ceiling }));
    }
    let y = x.relu()?;
    if ceiling.is_finite() { y.minimum(f64::from(ceiling)) } else { Ok(y) }
}

#[derive(Clone, Copy)]
struct Relu {
    ceiling: f32,
}

impl Function for Relu {
    const NAME: &'static str = "relu";

    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        let positive = if x > 0.0 { x } else { 0.0 };
        if positive < self.ceiling { positive } else { self.ceiling }
    }

    /// 1 where the unit is neither at zero nor at its ceiling.
    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        if x > 0.0 && x < self.ceiling { 1.0 } else { 0.0 }
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
