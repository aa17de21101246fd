//! The building blocks that the families share.
//!
//! Sequences are packed: a batch of texts is one `(tokens, width)` tensor without padding, so that a text's embedding
//! does not depend on its neighbours. Pictures are `(n, height, width, channels)`.
//!
//! Each block has two forms. The fused one (f32, CPU, nothing to differentiate) works on slices in few passes over
//! memory; the plain one uses Candle's own differentiable operations, on any device. [`fused`] chooses.

mod activation;
mod attention;
mod convolution;
mod depthwise;
mod experts;
mod linear;
mod norm;
mod parallel;
mod rope;
mod sequences;
mod transformer;

pub(super) use activation::Activation;
pub(super) use attention::{Attention, Mask, RelativeBias};
pub(super) use convolution::{Convolution, Filter, Padding, scale_and_shift};
pub(super) use depthwise::Depthwise;
pub(super) use experts::Experts;
pub(super) use linear::Linear;
pub(super) use norm::{Norm, unit_rows};
pub(super) use parallel::in_parts;
pub(super) use rope::{Pairs, Rope};
pub(super) use sequences::Sequences;
pub(super) use transformer::{Block, BlockNames, BlockShape, Gate, Mlp, Order};

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};

/// Whether the fused form computes the same: f32 on the CPU, and no gradient is asked for.
fn fused(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|x| x.device().is_cpu() && x.dtype() == DType::F32 && !x.track_op())
}

/// Calls `read` with the values of a contiguous f32 tensor on the CPU.
pub(super) fn with_values<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    Ok(read(values(&storage, layout)?))
}

fn values<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
        bail!("the fused form needs contiguous f32 values on the CPU")
    };
    Ok(&values[start..end])
}
