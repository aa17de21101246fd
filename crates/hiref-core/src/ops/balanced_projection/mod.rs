//! A mirror-descent step and its projection onto the couplings with uniform column sums.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

/// One step `q <- project(q exp(step · gain / max|gain|))` for a batch of blocks.
///
/// `log_q` holds logits and `gain` the descent direction, both `(B, r, s)`; the result is `(2, B, r, s)`: the new logits, and the
/// factor itself. Each point's entries sum to one over the r clusters, and each cluster's entries sum to s / r over the
/// points, up to [`COLUMN_TOLERANCE`]: the projection in Kullback-Leibler divergence onto the scaled transport polytope.
/// The point's scaling has a closed form (a softmax), so what is solved for is one price for each cluster, by Newton's method
/// on the convex dual `Σ_i log Σ_k exp(l_ik + v_k) - (s / r) Σ_k v_k`.
///
/// *Complexity*: O(B s r²) a Newton pass, a few passes. *Determinism*: sums run in fixed chunks; the bits do not depend on
/// the number of threads. *Device*: CPU and CUDA.
pub(crate) fn mirror_step(log_q: &Tensor, gain: &Tensor, step: f64) -> Result<Tensor> {
    log_q.apply_op2_no_bwd(&gain.contiguous()?, &MirrorStep { step: step as f32 })
}

/// Newton passes, at most.
const MAX_NEWTON_PASSES: usize = 12;
/// The largest relative error of a column sum at which the projection stops; rounding to exact sizes mends the rest.
const COLUMN_TOLERANCE: f64 = 1e-2;

struct MirrorStep {
    step: f32,
}

impl CustomOp2 for MirrorStep {
    fn name(&self) -> &'static str {
        "mirror-step"
    }

    fn cpu_fwd(
        &self,
        log_q: &CpuStorage,
        log_q_layout: &Layout,
        gain: &CpuStorage,
        gain_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, rank, size) = log_q_layout.shape().dims3()?;
        if gain_layout.shape() != log_q_layout.shape() {
            bail!("mirror-step: gain has shape {:?}, expected {:?}", gain_layout.shape(), log_q_layout.shape());
        }
        let (Some((log_q_start, log_q_end)), Some((gain_start, gain_end))) =
            (log_q_layout.contiguous_offsets(), gain_layout.contiguous_offsets())
        else {
            bail!("mirror-step: expected contiguous inputs");
        };
        let log_q = &log_q.as_slice::<f32>()?[log_q_start..log_q_end];
        let gain = &gain.as_slice::<f32>()?[gain_start..gain_end];
        let out = cpu::mirror_step(log_q, gain, rank, size, self.step);
        Ok((CpuStorage::F32(out), Shape::from((2, batch, rank, size))))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        log_q: &candle_core::CudaStorage,
        log_q_layout: &Layout,
        gain: &candle_core::CudaStorage,
        gain_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        cuda::mirror_step(log_q, log_q_layout, gain, gain_layout, self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use candle_core::{D, Device};
    use rand::Rng;

    /// The same projection by plain Sinkhorn iterations on Candle's own operations, run far past convergence.
    fn reference(log_q: &Tensor, gain: &Tensor, step: f64) -> Result<Tensor> {
        let (_, rank, size) = log_q.dims3()?;
        let largest = gain.abs()?.max_keepdim(D::Minus1)?.max_keepdim(1)?;
        let logits = (log_q + (gain.broadcast_div(&largest)? * step)?)?;
        let mut prices = Tensor::zeros((log_q.dim(0)?, rank, 1), candle_core::DType::F32, log_q.device())?;
        for _ in 0..300 {
            let priced = logits.broadcast_add(&prices)?;
            let rows = priced.log_sum_exp(1)?.unsqueeze(1)?;
            let q = priced.broadcast_sub(&rows)?.exp()?;
            let columns = q.sum_keepdim(D::Minus1)?;
            prices = (prices - (columns * (rank as f64 / size as f64))?.log()?)?;
        }
        let priced = logits.broadcast_add(&prices)?;
        priced.broadcast_sub(&priced.log_sum_exp(1)?.unsqueeze(1)?)?.exp()
    }

    /// The kernels, run by the emulator, in every order of threads.
    #[test]
    fn kernels_match_the_cpu() {
        let mut rng = stream(8, &[]);
        for (batch, rank, size) in [(1, 2, 7), (3, 5, 33), (2, 8, 700), (1, 32, 300)] {
            let mut draw = |scale: f32| -> Vec<f32> {
                (0..batch * rank * size).map(|_| rng.random_range(-scale..scale)).collect()
            };
            let (log_q, gain) = (draw(1.0), draw(3.0));
            let expected = cpu::mirror_step(&log_q, &gain, rank, size, 2.0);
            // The CPU keeps each block's logits and factor together in its output's two halves, as the kernels do.
            let runs = hiref_kernels::Schedule::ALL.map(|schedule| {
                let queue = hiref_kernels::Queue::emulated(schedule);
                let out = queue.allocate::<f32>(2 * log_q.len()).unwrap();
                let (log_q, gain) = (queue.upload(&log_q).unwrap(), queue.upload(&gain).unwrap());
                let shape = hiref_kernels::Projection {
                    batch,
                    rank,
                    size,
                    step: 2.0,
                    tolerance: COLUMN_TOLERANCE / 2.0,
                    passes: MAX_NEWTON_PASSES,
                };
                // SAFETY: the output is a buffer of its own.
                unsafe { hiref_kernels::mirror_step(&queue, &shape, log_q.view(), gain.view(), out.view()) }.unwrap();
                out.to_vec().unwrap()
            });
            assert!(runs.windows(2).all(|pair| pair[0] == pair[1]), "the order of threads matters");
            for (got, expected) in runs[0].iter().zip(&expected) {
                assert!((got - expected).abs() < 2e-4, "rank {rank}, size {size}: {got} for {expected}");
            }
        }
    }

    #[test]
    fn matches_sinkhorn_run_to_convergence() -> Result<()> {
        let mut rng = stream(5, &[]);
        for (batch, rank, size) in [(1, 2, 7), (3, 2, 64), (2, 5, 33), (1, 8, 20_000)] {
            let mut draw = |scale: f32| {
                let values: Vec<f32> = (0..batch * rank * size).map(|_| rng.random_range(-scale..scale)).collect();
                Tensor::from_vec(values, (batch, rank, size), &Device::Cpu)
            };
            let (log_q, gain) = (draw(1.0)?, draw(3.0)?);
            let got = mirror_step(&log_q, &gain, 2.0)?.get(1)?;
            let expected = reference(&log_q, &gain, 2.0)?;
            let worst = (&got - &expected)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
            assert!(worst < 1e-2, "({batch}, {rank}, {size}): entries differ by {worst}");
            let columns = (got.sum(D::Minus1)? * (rank as f64 / size as f64))?;
            let off = (columns - 1.0)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
            assert!(f64::from(off) <= COLUMN_TOLERANCE, "({batch}, {rank}, {size}): column sum off by {off}");
        }
        Ok(())
    }

    #[test]
    fn a_zero_gain_changes_nothing_but_the_prices() -> Result<()> {
        let zeros = Tensor::zeros((1, 4, 8), candle_core::DType::F32, &Device::Cpu)?;
        let q = mirror_step(&zeros, &zeros, 3.0)?.get(1)?.flatten_all()?.to_vec1::<f32>()?;
        assert!(q.iter().all(|&value| (value - 0.25).abs() < 1e-6), "{q:?}");
        Ok(())
    }
}
