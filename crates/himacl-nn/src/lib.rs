//! Layers, losses and steps of the optimiser in single passes over memory, on all threads of a CPU, with gradients.
//!
//! Candle computes element-wise operations one after the other, on one thread, into fresh memory, and backward passes of
//! ten operations for one. Each function here has a plain form in Candle's operations, for other devices and types, and a
//! test that both agree. Work is cut into blocks of fixed size, so results do not depend on the number of threads.

mod elementwise;
mod gelu;
mod linear;
mod moments;
mod product;
mod regression;
mod relu;
mod rows;
mod sigmoid;

pub use gelu::{gelu, gelu_value};
pub use linear::linear;
pub use moments::{AdamStep, adam, lerp, scale, sum_of_squares};
pub use regression::regression;
pub use relu::relu;
pub use rows::unit_root_mean_square;
pub use sigmoid::sigmoid;

use candle_core::{CpuStorage, DType, Layout, Result, Tensor, bail};
use rayon::prelude::*;

/// Values of a task: 64 KiB, a share of the second-level cache.
const BLOCK: usize = 1 << 14;

/// Whether the fused form works on these tensors.
fn applies(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| tensor.device().is_cpu() && tensor.dtype() == DType::F32 && tensor.is_contiguous())
}

/// The values of a contiguous tensor.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("expected contiguous f32 values"),
    }
}

/// As [`values`], to write.
fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("expected contiguous f32 values"),
    }
}

/// `count` values that `write` sets block by block, in parallel; it gets the position of a block's first value.
fn filled(count: usize, block: usize, write: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut out = vec![0.0; count];
    let block = block.max(1);
    out.par_chunks_mut(block).enumerate().for_each(|(index, out)| write(index * block, out));
    out
}

/// Rows of a task for rows of this width.
fn rows_of_block(width: usize) -> usize {
    (BLOCK / width.max(1)).max(1)
}

#[cfg(test)]
mod testing {
    use candle_core::{Device, Tensor, Var};
    use hiref_core::rng;
    use rand_distr::{Distribution, StandardNormal};

    pub(super) fn normal(shape: (usize, usize), purpose: u64) -> Tensor {
        let mut generator = rng::stream(5, &[purpose]);
        let values: Vec<f32> = (0..shape.0 * shape.1).map(|_| StandardNormal.sample(&mut generator)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    pub(super) fn variable(shape: (usize, usize), purpose: u64) -> Var {
        Var::from_tensor(&normal(shape, purpose)).unwrap()
    }

    pub(super) fn worst(a: &Tensor, b: &Tensor) -> f32 {
        assert_eq!(a.dims(), b.dims());
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    /// Gradients of `Σ y ⊙ c` with a fixed random c, in each of the variables.
    pub(super) fn gradients(y: &Tensor, of: &[&Var]) -> Vec<Tensor> {
        let weights = normal((1, y.elem_count()), 99).reshape(y.shape()).unwrap();
        let store = (y * weights).unwrap().sum_all().unwrap().backward().unwrap();
        of.iter().map(|variable| store.get(variable).expect("a gradient").clone()).collect()
    }
}
