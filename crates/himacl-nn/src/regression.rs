//! The mean distance and cosine distance of rows to their partners.

use super::{applies, filled, rows_of_block, values};
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Keeps the cosine of a zero vector finite.
const EPSILON: f64 = 1e-12;
/// Partial sums of an inner product: as many as a vector register holds, twice.
const LANES: usize = 16;

/// `Σ w_i (λ (1 - cos(p_i, t_i)) + (1 - λ) |p_i - t_i|²) / Σ w_i`, a scalar, for `p (b, e)`, `t (b, e)`, `w (b,)`;
/// differentiable in p (and in t and w, by the plain form).
///
/// # Errors
/// Shapes that do not go together; an operation that the device refuses.
pub fn regression(predicted: &Tensor, target: &Tensor, weight: &Tensor, cosine_share: f64) -> Result<Tensor> {
    let shapes_agree =
        predicted.rank() == 2 && predicted.dims() == target.dims() && weight.dims1()? == target.dim(0)?;
    if shapes_agree && applies(&[predicted, target, weight]) && !target.track_op() && !weight.track_op() {
        return predicted.apply_op3(target, weight, Regression { cosine_share });
    }
    plain(predicted, target, weight, cosine_share)
}

fn plain(predicted: &Tensor, target: &Tensor, weight: &Tensor, cosine_share: f64) -> Result<Tensor> {
    let squared = (predicted - target)?.sqr()?.sum(D::Minus1)?; // (b,)
    let inner = (predicted * target)?.sum(D::Minus1)?; // (b,)
    let norms = (predicted.sqr()?.sum(D::Minus1)? * target.sqr()?.sum(D::Minus1)?)?; // (b,)
    let cosine = (inner / (norms + EPSILON)?.sqrt()?)?; // (b,)
    let cosine_term = cosine.affine(-cosine_share, cosine_share)?; // (b,)
    let each = (cosine_term + (squared * (1.0 - cosine_share))?)?; // (b,)
    (each * weight)?.sum_all()? / weight.sum_all()?
}

struct Regression {
    cosine_share: f64,
}

impl CustomOp3 for Regression {
    fn name(&self) -> &'static str {
        "regression"
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
        let (predicted, target, weight) = (values(s1, l1)?, values(s2, l2)?, values(s3, l3)?);
        let width = l1.shape().dims2()?.1.max(1);
        let block = rows_of_block(width);
        let share = self.cosine_share;
        let blocks = predicted.par_chunks(block * width).zip(target.par_chunks(block * width));
        let parts: Vec<f64> = blocks
            .zip(weight.par_chunks(block))
            .map(|((predicted, target), weight)| {
                let rows = predicted.chunks_exact(width).zip(target.chunks_exact(width)).zip(weight);
                rows.map(|((p, t), &weight)| {
                    let row = Row::of(p, t);
                    f64::from(weight) * (share * (1.0 - row.inner / row.norms) + (1.0 - share) * row.distance)
                })
                .sum()
            })
            .collect();
        let loss = parts.iter().sum::<f64>() / weight_sum(weight);
        Ok((CpuStorage::F32(vec![loss as f32]), ().into()))
    }

    fn bwd(
        &self,
        predicted: &Tensor,
        target: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let scale = f64::from(gradient.to_scalar::<f32>()?);
        let op = RegressionGradient { cosine_share: self.cosine_share, scale };
        Ok((Some(predicted.apply_op3_no_bwd(target, weight, &op)?), None, None))
    }
}

struct RegressionGradient {
    cosine_share: f64,
    /// The gradient of the loss.
    scale: f64,
}

impl CustomOp3 for RegressionGradient {
    fn name(&self) -> &'static str {
        "regression gradient"
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
        let (predicted, target, weight) = (values(s1, l1)?, values(s2, l2)?, values(s3, l3)?);
        let width = l1.shape().dims2()?.1.max(1);
        let (share, scale) = (self.cosine_share, self.scale / weight_sum(weight));
        let out = filled(predicted.len(), rows_of_block(width) * width, |start, out| {
            let rows = predicted[start..].chunks_exact(width).zip(target[start..].chunks_exact(width));
            for ((out, (p, t)), &weight) in out.chunks_exact_mut(width).zip(rows).zip(&weight[start / width..]) {
                let row = Row::of(p, t);
                let scale = scale * f64::from(weight);
                // d cos / dp = t / N - <p, t> |t|² p / N³, with N = sqrt(|p|² |t|² + ε).
                let cubed = row.norms * row.norms * row.norms;
                let of_p = scale * (share * row.inner * row.target / cubed + 2.0 * (1.0 - share));
                let of_t = scale * (-share / row.norms - 2.0 * (1.0 - share));
                let (of_p, of_t) = (of_p as f32, of_t as f32);
                out.iter_mut().zip(p).zip(t).for_each(|((out, &p), &t)| *out = of_p * p + of_t * t);
            }
        });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }
}

fn weight_sum(weight: &[f32]) -> f64 {
    weight.iter().copied().map(f64::from).sum()
}

/// What the loss of a row is made of.
struct Row {
    /// `|t|²`.
    target: f64,
    /// `<p, t>`.
    inner: f64,
    /// `sqrt(|p|² |t|² + ε)`.
    norms: f64,
    /// `|p - t|²`.
    distance: f64,
}

impl Row {
    fn of(p: &[f32], t: &[f32]) -> Self {
        let [predicted, target, inner, distance] = pulp::Arch::new().dispatch(Sums { p, t });
        Self { target, inner, norms: (predicted * target + EPSILON).sqrt(), distance }
    }
}

/// `|p|²`, `|t|²`, `<p, t>`, `|p - t|²`.
struct Sums<'a> {
    p: &'a [f32],
    t: &'a [f32],
}

impl pulp::NullaryFnOnce for Sums<'_> {
    type Output = [f64; 4];

    #[inline(always)]
    fn call(self) -> [f64; 4] {
        let mut sums = [[0.0_f32; LANES]; 4];
        let add = |sums: &mut [[f32; LANES]; 4], lane: usize, p: f32, t: f32| {
            sums[0][lane] += p * p;
            sums[1][lane] += t * t;
            sums[2][lane] += p * t;
            sums[3][lane] += (p - t) * (p - t);
        };
        let (p, t) = (self.p.chunks_exact(LANES), self.t.chunks_exact(LANES));
        for (lane, (&p, &t)) in p.remainder().iter().zip(t.remainder()).enumerate() {
            add(&mut sums, lane, p, t);
        }
        for (p, t) in p.zip(t) {
            for lane in 0..LANES {
                add(&mut sums, lane, p[lane], t[lane]);
            }
        }
        sums.map(|lanes| lanes.iter().copied().map(f64::from).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{gradients, normal, variable, worst};
    use super::*;

    #[test]
    fn as_the_plain_form() {
        let (predicted, target) = (variable((700, 37), 1), normal((700, 37), 2));
        let weight = normal((1, 700), 3).abs().unwrap().reshape(700).unwrap();
        for share in [0.0, 0.3, 1.0] {
            let fused = regression(&predicted, &target, &weight, share).unwrap();
            let plain = plain(&predicted, &target, &weight, share).unwrap();
            assert!(worst(&fused, &plain) < 1e-4);
            let (fused, plain) = (gradients(&fused, &[&predicted]), gradients(&plain, &[&predicted]));
            assert!(worst(&fused[0], &plain[0]) < 1e-6, "{share}");
        }
    }

    #[test]
    fn a_tracked_target_gets_a_gradient() {
        let (predicted, target, weight) = (variable((6, 4), 1), variable((6, 4), 2), normal((1, 6), 3).abs().unwrap());
        let loss = regression(&predicted, &target, &weight.reshape(6).unwrap(), 0.5).unwrap();
        assert!(loss.backward().unwrap().get(&target).is_some());
    }
}
