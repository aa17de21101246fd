//! A linear layer.

use super::product::{Product, product};
use super::{applies, filled, rows_of_block, values};
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor};
use faer::MatRef;
use rayon::prelude::*;

/// `x W + b`, `(n, e)`, for `x (n, d)`, `W (d, e)` and `b (e,)`; differentiable in those of them that are tracked.
///
/// Candle's own product computes the gradient of a constant as well, and adds up the bias's row by row.
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let shapes_agree = x.rank() == 2 && weight.rank() == 2 && x.dim(1)? == weight.dim(0)?;
    if shapes_agree && bias.dims() == &weight.dims()[1..] && applies(&[x, weight, bias]) {
        x.apply_op3(weight, bias, Linear)
    } else {
        x.matmul(weight)?.broadcast_add(bias)
    }
}

struct Linear;

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((rows, inputs), (_, outputs)) = (l1.shape().dims2()?, l2.shape().dims2()?);
        let bias = values(s3, l3)?;
        let x = MatRef::from_row_major_slice(values(s1, l1)?, rows, inputs);
        let weight = MatRef::from_row_major_slice(values(s2, l2)?, inputs, outputs);
        let mut out = filled(rows * outputs, rows_of_block(outputs) * outputs, |_, block| {
            block.chunks_exact_mut(outputs).for_each(|row| row.copy_from_slice(bias));
        });
        product(&mut out, x, weight, true);
        Ok((CpuStorage::F32(out), (rows, outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let of_x = x.track_op().then(|| gradient.apply_op2_no_bwd(weight, &Product::WithTransposed)).transpose()?;
        let of_weight = weight.track_op().then(|| x.apply_op2_no_bwd(&gradient, &Product::OfTransposed)).transpose()?;
        let of_bias = bias.track_op().then(|| gradient.apply_op1_no_bwd(&ColumnSums)).transpose()?;
        Ok((of_x, of_weight, of_bias))
    }
}

/// The sum of the rows, `(n, e)` to `(e,)`: blocks of rows first, then the blocks' sums in their order.
struct ColumnSums;

impl CustomOp1 for ColumnSums {
    fn name(&self) -> &'static str {
        "column sums"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let sum = |rows: &[f32]| {
            let mut total = vec![0.0_f32; width];
            for row in rows.chunks_exact(width.max(1)) {
                total.iter_mut().zip(row).for_each(|(total, value)| *total += value);
            }
            total
        };
        let block = rows_of_block(width) * width.max(1);
        let parts: Vec<Vec<f32>> = values(storage, layout)?.par_chunks(block).map(sum).collect();
        let total = sum(&parts.concat());
        Ok((CpuStorage::F32(total), width.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{gradients, normal, variable, worst};
    use super::*;

    #[test]
    fn as_the_plain_form() {
        let (x, weight, bias) = (variable((700, 37), 1), variable((37, 53), 2), variable((1, 53), 3));
        let bias_row = bias.reshape(53).unwrap();
        let fused = linear(&x, &weight, &bias_row).unwrap();
        let plain = x.matmul(&weight).unwrap().broadcast_add(&bias_row).unwrap();
        assert!(worst(&fused, &plain) < 1e-5);
        let of = [&x, &weight, &bias];
        for (fused, plain) in gradients(&fused, &of).iter().zip(&gradients(&plain, &of)) {
            assert!(worst(fused, plain) < 1e-4, "{:?}", fused.dims());
        }
    }

    #[test]
    fn a_constant_gets_no_gradient() {
        let (x, weight, bias) = (normal((5, 3), 1), variable((3, 2), 2), normal((1, 2), 3).reshape(2).unwrap());
        let y = linear(&x, &weight, &bias).unwrap();
        let store = y.sum_all().unwrap().backward().unwrap();
        assert!(store.get(&weight).is_some() && store.get(&x).is_none() && store.get(&bias).is_none());
    }

    #[test]
    fn shapes_that_do_not_agree_are_refused() {
        assert!(linear(&normal((5, 3), 1), &normal((4, 2), 2), &normal((1, 2), 3).reshape(2).unwrap()).is_err());
        assert!(linear(&normal((5, 3), 1), &normal((3, 2), 2), &normal((1, 4), 3).reshape(4).unwrap()).is_err());
    }
}
