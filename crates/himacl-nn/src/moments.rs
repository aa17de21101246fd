//! Steps of the optimiser and of the moving average, in place.

use super::{BLOCK, applies, values, values_mut};
use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Result, Storage, Tensor, Var};
use rayon::prelude::*;

/// A step of `AdamW` for one parameter, with the powers of its decays in it.
#[derive(Debug, Clone, Copy)]
pub struct AdamStep {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// Added to the root of the mean of squares.
    pub epsilon: f64,
    /// `1 - η λ`.
    pub decay: f64,
    /// `η / (1 - β₁ᵗ)`.
    pub rate: f64,
    /// `1 - β₂ᵗ`.
    pub correction: f64,
}

/// `m ← β₁ m + (1 - β₁) g`, `v ← β₂ v + (1 - β₂) g²`, `θ ← decay θ - rate m / (√(v / correction) + ε)`.
///
/// On the CPU in place: nothing else may share the memory of the moments.
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn adam(
    parameter: &Var,
    (first, second): (&mut Tensor, &mut Tensor),
    gradient: &Tensor,
    step: AdamStep,
) -> Result<()> {
    if applies(&[parameter, first, second, gradient]) {
        first.inplace_op2(gradient, &Lerp { keep: step.beta1 as f32 })?;
        second.inplace_op2(gradient, &SquareLerp { keep: step.beta2 as f32 })?;
        return parameter.inplace_op3(first, second, &Descent(step));
    }
    *first = ((&*first * step.beta1)? + (gradient * (1.0 - step.beta1))?)?;
    *second = ((&*second * step.beta2)? + (gradient.sqr()? * (1.0 - step.beta2))?)?;
    let scale = ((&*second / step.correction)?.sqrt()? + step.epsilon)?;
    let direction = (&*first * step.rate)?.div(&scale)?;
    parameter.set(&((parameter.as_tensor() * step.decay)? - direction)?)
}

/// `average ← keep average + (1 - keep) value`; the memory of `average` is nobody else's.
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn lerp(average: &mut Tensor, value: &Tensor, keep: f64) -> Result<()> {
    if applies(&[average, value]) {
        return average.inplace_op2(value, &Lerp { keep: keep as f32 });
    }
    *average = ((&*average * keep)? + (value * (1.0 - keep))?)?;
    Ok(())
}

/// The tensor times a number.
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn scale(tensor: &mut Tensor, factor: f64) -> Result<()> {
    if applies(&[tensor]) {
        return tensor.inplace_op1(&Scale { factor: factor as f32 });
    }
    *tensor = (&*tensor * factor)?;
    Ok(())
}

/// The sum of the squares of all values, if they are in this machine's memory.
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn sum_of_squares(tensor: &Tensor) -> Result<Option<f64>> {
    if !applies(&[tensor]) {
        return Ok(None);
    }
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { return Ok(None) };
    let sum = |values: &[f32]| -> f64 { values.iter().map(|&value| f64::from(value) * f64::from(value)).sum() };
    let parts: Vec<f64> = values(storage, layout)?.par_chunks(BLOCK).map(sum).collect();
    Ok(Some(parts.iter().sum()))
}

/// `x ← keep x + (1 - keep) y`.
struct Lerp {
    keep: f32,
}

impl InplaceOp2 for Lerp {
    fn name(&self) -> &'static str {
        "lerp"
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<()> {
        let (keep, take) = (self.keep, 1.0 - self.keep);
        pairwise(values_mut(s1, l1)?, values(s2, l2)?, |x, y| keep * x + take * y);
        Ok(())
    }
}

/// `x ← keep x + (1 - keep) y²`.
struct SquareLerp {
    keep: f32,
}

impl InplaceOp2 for SquareLerp {
    fn name(&self) -> &'static str {
        "square lerp"
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<()> {
        let (keep, take) = (self.keep, 1.0 - self.keep);
        pairwise(values_mut(s1, l1)?, values(s2, l2)?, |x, y| keep * x + take * (y * y));
        Ok(())
    }
}

struct Scale {
    factor: f32,
}

impl InplaceOp1 for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let factor = self.factor;
        values_mut(storage, layout)?
            .par_chunks_mut(BLOCK)
            .for_each(|values| values.iter_mut().for_each(|value| *value *= factor));
        Ok(())
    }
}

/// The last line of [`adam`].
struct Descent(AdamStep);

impl InplaceOp3 for Descent {
    fn name(&self) -> &'static str {
        "descent"
    }

    fn cpu_fwd(
        &self,
        s1: &mut CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<()> {
        let AdamStep { decay, rate, correction, epsilon, .. } = self.0;
        let (decay, rate, epsilon) = (decay as f32, rate as f32, epsilon as f32);
        let root = 1.0 / (correction.sqrt() as f32);
        let parameter = values_mut(s1, l1)?.par_chunks_mut(BLOCK);
        let moments = values(s2, l2)?.par_chunks(BLOCK).zip(values(s3, l3)?.par_chunks(BLOCK));
        parameter.zip(moments).for_each(|(parameter, (first, second))| {
            for ((theta, &m), &v) in parameter.iter_mut().zip(first).zip(second) {
                *theta = decay * *theta - rate * m / (v.sqrt() * root + epsilon);
            }
        });
        Ok(())
    }
}

fn pairwise(x: &mut [f32], y: &[f32], of: impl Fn(f32, f32) -> f32 + Sync) {
    x.par_chunks_mut(BLOCK).zip(y.par_chunks(BLOCK)).for_each(|(x, y)| {
        x.iter_mut().zip(y).for_each(|(x, &y)| *x = of(*x, y));
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, worst};
    use super::*;
    use candle_core::DType;

    #[test]
    fn as_the_plain_form() {
        let step = AdamStep { beta1: 0.9, beta2: 0.99, epsilon: 1e-4, decay: 0.95, rate: 0.3, correction: 0.19 };
        let of = |dtype| {
            let draw = |purpose| normal((130, 140), purpose).to_dtype(dtype).unwrap();
            let parameter = Var::from_tensor(&draw(1)).unwrap();
            let (mut first, mut second) = (draw(2), (draw(3).sqr().unwrap() + 0.1).unwrap());
            adam(&parameter, (&mut first, &mut second), &draw(4), step).unwrap();
            lerp(&mut first, &second, 0.7).unwrap();
            scale(&mut first, 0.6).unwrap();
            [parameter.as_detached_tensor(), first, second].map(|tensor| tensor.to_dtype(DType::F32).unwrap())
        };
        // Other types than f32 take the plain form.
        for (fused, plain) in of(DType::F32).iter().zip(&of(DType::F64)) {
            assert!(worst(fused, plain) < 1e-5);
        }
    }

    #[test]
    fn sums_of_squares() {
        let x = normal((130, 140), 1);
        let expected = x.to_dtype(DType::F64).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        assert!((sum_of_squares(&x).unwrap().unwrap() - expected).abs() < 1e-9 * expected);
        assert!(sum_of_squares(&x.t().unwrap()).unwrap().is_none());
    }
}
