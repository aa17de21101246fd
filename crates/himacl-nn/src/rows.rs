//! Rows as the networks read them.

use super::{applies, filled, rows_of_block, values};
use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Result, Shape, Tensor};

/// Added to the mean square before the division, so that a zero row stays finite.
const EPSILON: f64 = 1e-6;

/// Rows scaled to unit root mean square, `(n, d)`; differentiable.
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn unit_root_mean_square(x: &Tensor) -> Result<Tensor> {
    if x.rank() == 2 && !x.track_op() && applies(&[x]) {
        return x.apply_op1_no_bwd(&UnitRows);
    }
    // Half precision would lose the sum of squares.
    let mean_square = x.to_dtype(DType::F32)?.sqr()?.mean_keepdim(D::Minus1)?; // (n, 1)
    x.broadcast_div(&(mean_square + EPSILON)?.sqrt()?.to_dtype(x.dtype())?)
}

struct UnitRows;

impl CustomOp1 for UnitRows {
    fn name(&self) -> &'static str {
        "unit root mean square"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, (_, width)) = (values(storage, layout)?, layout.shape().dims2()?);
        let out = filled(x.len(), rows_of_block(width) * width, |start, out| {
            for (out, x) in out.chunks_exact_mut(width).zip(x[start..].chunks_exact(width)) {
                let squares: f64 = x.iter().map(|&value| f64::from(value * value)).sum();
                let scale = (1.0 / (squares / width as f64 + EPSILON).sqrt()) as f32;
                out.iter_mut().zip(x).for_each(|(out, &x)| *out = x * scale);
            }
        });
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, worst};
    use super::*;
    use candle_core::Var;

    #[test]
    fn as_the_plain_form() {
        let x = Tensor::cat(&[normal((300, 70), 1), (normal((1, 70), 2) * 0.0).unwrap()], 0).unwrap();
        let fused = unit_root_mean_square(&x).unwrap();
        let plain = unit_root_mean_square(&Var::from_tensor(&x).unwrap()).unwrap();
        assert!(worst(&fused, &plain) < 1e-6);
    }
}
