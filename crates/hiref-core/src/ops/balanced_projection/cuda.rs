//! The op on a CUDA device.

use super::{COLUMN_TOLERANCE, MAX_NEWTON_PASSES};
use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, Error, Layout, Result, Shape, bail};
use cudarc::driver::DevicePtr;
use hiref_kernels::{MAX_RANK, Projection, Queue, View};

pub(super) fn mirror_step(
    log_q: &CudaStorage,
    log_q_layout: &Layout,
    gain: &CudaStorage,
    gain_layout: &Layout,
    step: f32,
) -> Result<(CudaStorage, Shape)> {
    let (batch, rank, size) = log_q_layout.shape().dims3()?;
    if gain_layout.shape() != log_q_layout.shape() {
        bail!("mirror-step: gain has shape {:?}, expected {:?}", gain_layout.shape(), log_q_layout.shape());
    }
    if rank > MAX_RANK {
        bail!("mirror-step: {rank} clusters, at most {MAX_RANK} on CUDA");
    }
    let (Some((log_q_start, log_q_end)), Some((gain_start, gain_end))) =
        (log_q_layout.contiguous_offsets(), gain_layout.contiguous_offsets())
    else {
        bail!("mirror-step: expected contiguous inputs");
    };
    let device = log_q.device().clone();
    let stream = device.cuda_stream();
    let len = batch * rank * size;
    // SAFETY: the kernels write all of it.
    let out = unsafe { device.alloc::<f32>(2 * len) }?;
    // SAFETY: the queue is of the stream that the tensors belong to, and its own buffers stay with it.
    let queue = unsafe { Queue::cuda(stream.clone()) };
    let shape = Projection { batch, rank, size, step, tolerance: COLUMN_TOLERANCE / 2.0, passes: MAX_NEWTON_PASSES };
    {
        let log_q = log_q.as_cuda_slice::<f32>()?.slice(log_q_start..log_q_end);
        let gain = gain.as_cuda_slice::<f32>()?.slice(gain_start..gain_end);
        let (log_q, _log_q_guard) = log_q.device_ptr(&stream);
        let (gain, _gain_guard) = gain.device_ptr(&stream);
        let (out, _out_guard) = out.device_ptr(&stream);
        // SAFETY: three live allocations of the stream's device, `out` not shared with anyone; the queue is the stream they belong to.
        unsafe {
            let views = [View::from_raw(log_q, len), View::from_raw(gain, len), View::from_raw(out, 2 * len)];
            hiref_kernels::mirror_step(&queue, &shape, views[0], views[1], views[2]).map_err(Error::wrap)?;
        }
    }
    Ok((CudaStorage::wrap_cuda_slice(out, device), Shape::from((2, batch, rank, size))))
}
