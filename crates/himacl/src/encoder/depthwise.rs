//! Convolution of each channel with a filter of its own.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

/// The op on the CPU.
struct Depthwise {
    stride: usize,
}

/// `(n, c, h, w)` and `(c, 1, k, k)` to `(n, c, (h - k) / stride + 1, (w - k) / stride + 1)`; padding comes before.
///
/// Candle's grouped convolution runs one convolution a group, of which there are hundreds here; this is for f32 on the CPU.
///
/// # Complexity
/// O(n c h w k^2 / stride^2).
pub(super) fn depthwise(x: &Tensor, filters: &Tensor, stride: usize) -> Result<Tensor> {
    if x.device().is_cpu() && x.dtype() == candle_core::DType::F32 {
        return x.contiguous()?.apply_op2_no_bwd(&filters.contiguous()?, &Depthwise { stride });
    }
    x.conv2d(filters, 0, stride, 1, x.dim(1)?)
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, channels, height, width) = x_layout.shape().dims4()?;
        let (_, _, side, _) = w_layout.shape().dims4()?;
        let (Some((x_start, x_end)), Some((w_start, w_end))) =
            (x_layout.contiguous_offsets(), w_layout.contiguous_offsets())
        else {
            bail!("depthwise needs contiguous tensors")
        };
        let x = &x.as_slice::<f32>()?[x_start..x_end];
        let w = &w.as_slice::<f32>()?[w_start..w_end];
        let (out_height, out_width) = ((height - side) / self.stride + 1, (width - side) / self.stride + 1);
        let mut out = vec![0f32; n * channels * out_height * out_width];
        let planes = x.chunks_exact(height * width).zip(out.chunks_exact_mut(out_height * out_width)).enumerate();
        for (index, (plane, out)) in planes {
            let filter = &w[(index % channels) * side * side..][..side * side];
            for (y, row) in out.chunks_exact_mut(out_width).enumerate() {
                for (place, &weight) in filter.iter().enumerate() {
                    let (dy, dx) = (place / side, place % side);
                    let source = &plane[(y * self.stride + dy) * width + dx..];
                    if self.stride == 1 {
                        row.iter_mut().zip(source).for_each(|(sum, value)| *sum += weight * value);
                    } else {
                        let source = source.iter().step_by(self.stride);
                        row.iter_mut().zip(source).for_each(|(sum, value)| *sum += weight * value);
                    }
                }
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((n, channels, out_height, out_width))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn as_candles_grouped_convolution() {
        let tensor = |shape: (usize, usize, usize, usize), seed: usize| {
            let count = shape.0 * shape.1 * shape.2 * shape.3;
            let values: Vec<f32> = (0..count).map(|i| ((i * 7919 + seed) % 101) as f32 / 50.0 - 1.0).collect();
            Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
        };
        for (side, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
            let (x, w) = (tensor((2, 6, 11, 9), 3), tensor((6, 1, side, side), 5));
            let expected = x.conv2d(&w, 0, stride, 1, 6).unwrap();
            let got = depthwise(&x, &w, stride).unwrap();
            assert_eq!(got.dims(), expected.dims());
            let difference = (got - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(difference < 1e-5, "{side} {stride}: {difference}");
        }
    }
}
