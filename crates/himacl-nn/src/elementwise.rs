//! Functions of single values, with their gradients.

use super::{BLOCK, filled, values};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

/// A differentiable function of one value.
pub(super) trait Function: Copy + Send + Sync + 'static {
    const NAME: &'static str;

    /// f(x).
    fn value(self, x: f32) -> f32;

    /// f'(x).
    fn slope(self, x: f32) -> f32;
}

/// f of each value of a contiguous f32 tensor on the CPU; differentiable.
pub(super) struct Elementwise<F>(pub(super) F);

impl<F: Function> CustomOp1 for Elementwise<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let out = filled(x.len(), BLOCK, |start, out| {
            pulp::Arch::new().dispatch(Forward { function: self.0, x: &x[start..start + out.len()], out });
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        x.apply_op2_no_bwd(&gradient.contiguous()?, &Gradient(self.0)).map(Some)
    }
}

/// `f'(x) g`.
struct Gradient<F>(F);

impl<F: Function> CustomOp2 for Gradient<F> {
    fn name(&self) -> &'static str {
        "gradient"
    }

    fn cpu_fwd(&self, s1: &CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, gradient) = (values(s1, l1)?, values(s2, l2)?);
        let out = filled(x.len(), BLOCK, |start, out| {
            let range = start..start + out.len();
            let (x, gradient) = (&x[range.clone()], &gradient[range]);
            pulp::Arch::new().dispatch(Backward { function: self.0, x, gradient, out });
        });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }
}

// Not closures: the compiler may put a closure's body into a function of its own, without the vector instructions.
struct Forward<'a, F> {
    function: F,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl<F: Function> pulp::NullaryFnOnce for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.out.iter_mut().zip(self.x).for_each(|(out, &x)| *out = self.function.value(x));
    }
}

struct Backward<'a, F> {
    function: F,
    x: &'a [f32],
    gradient: &'a [f32],
    out: &'a mut [f32],
}

impl<F: Function> pulp::NullaryFnOnce for Backward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for ((out, &x), &gradient) in self.out.iter_mut().zip(self.x).zip(self.gradient) {
            *out = gradient * self.function.slope(x);
        }
    }
}
