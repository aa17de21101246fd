//! The specification of the op, over slices, parallel over blocks and over chunks of large blocks.

use super::{COLUMN_TOLERANCE, MAX_NEWTON_PASSES};
use crate::math::exp_nonpositive;
use rayon::prelude::*;

/// Points handled at once by the vectorised inner loops.
const LANES: usize = 16;
/// Points to a task; sums over a block are sums over these chunks, in order.
const CHUNK: usize = 4096;

pub(super) fn mirror_step(log_q: &[f32], gain: &[f32], rank: usize, size: usize, step: f32) -> Vec<f32> {
    let block = rank * size;
    let mut out = vec![0.0_f32; 2 * log_q.len()];
    let (logits, factors) = out.split_at_mut(log_q.len());
    logits
        .par_chunks_exact_mut(block)
        .zip(factors.par_chunks_exact_mut(block))
        .zip(log_q.par_chunks_exact(block).zip(gain.par_chunks_exact(block)))
        .for_each(|((logits, factor), (log_q, gain))| {
            add_scaled(logits, log_q, gain, step);
            project(logits, factor, rank, size);
        });
    out
}

/// `logits = log_q + step * gain / max|gain|`.
fn add_scaled(logits: &mut [f32], log_q: &[f32], gain: &[f32], step: f32) {
    let largest =
        gain.par_chunks(CHUNK).map(|chunk| chunk.iter().fold(0.0, |m: f32, g| m.max(g.abs()))).reduce(|| 0.0, f32::max);
    let scale = if largest > 0.0 { step / largest } else { 0.0 };
    logits.par_chunks_mut(CHUNK).zip(log_q.par_chunks(CHUNK).zip(gain.par_chunks(CHUNK))).for_each(|(out, (l, g))| {
        for ((out, l), g) in out.iter_mut().zip(l).zip(g) {
            *out = l + scale * g;
        }
    });
}

/// Solves for the cluster prices, then writes the priced, normalised logits and the factor.
fn project(logits: &mut [f32], factor: &mut [f32], rank: usize, size: usize) {
    let target = size as f64 / rank as f64;
    let mut prices = vec![0.0_f64; rank];
    for _ in 0..MAX_NEWTON_PASSES {
        let moments = Moments::of_block(logits, rank, size, &prices);
        let off = moments.sums.iter().map(|sum| (sum / target - 1.0).abs()).fold(0.0, f64::max);
        if off <= COLUMN_TOLERANCE / 2.0 {
            break;
        }
        moments.update(&mut prices, target, off);
    }
    let prices: Vec<f32> = prices.iter().map(|&price| price as f32).collect();
    write_factor(logits, factor, size, &prices);
}

/// Writes `log softmax(logits + prices)` and its exponential for every point.
fn write_factor(logits: &mut [f32], factor: &mut [f32], size: usize, prices: &[f32]) {
    // Task t owns chunk t of every cluster's row.
    let mut logits: Vec<_> = logits.chunks_exact_mut(size).map(|row| row.chunks_mut(CHUNK)).collect();
    let mut factor: Vec<_> = factor.chunks_exact_mut(size).map(|row| row.chunks_mut(CHUNK)).collect();
    let tasks: Vec<_> = (0..size.div_ceil(CHUNK))
        .map(|_| -> (Vec<_>, Vec<_>) {
            (
                logits.iter_mut().filter_map(Iterator::next).collect(),
                factor.iter_mut().filter_map(Iterator::next).collect(),
            )
        })
        .collect();
    tasks.into_par_iter().for_each(|(mut logits, mut factor)| {
        pulp::Arch::new().dispatch(WriteChunk { logits: &mut logits, factor: &mut factor, prices });
    });
}

/// Values of their own and no closures: the body of a large closure becomes a function without vector instructions.
struct WriteChunk<'a, 'b> {
    logits: &'a mut [&'b mut [f32]],
    factor: &'a mut [&'b mut [f32]],
    prices: &'a [f32],
}

impl pulp::NullaryFnOnce for WriteChunk<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        write_chunk(self.logits, self.factor, self.prices);
    }
}

struct ChunkMoments<'a> {
    rows: &'a [&'a [f32]],
    prices: &'a [f32],
}

impl pulp::NullaryFnOnce for ChunkMoments<'_> {
    type Output = Moments;

    #[inline(always)]
    fn call(self) -> Moments {
        Moments::of_chunk(self.rows, self.prices)
    }
}

#[inline(always)]
fn write_chunk(logits: &mut [&mut [f32]], factor: &mut [&mut [f32]], prices: &[f32]) {
    let len = logits[0].len();
    let mut start = 0;
    while start < len {
        let width = LANES.min(len - start);
        let mut largest = [f32::NEG_INFINITY; LANES];
        for (row, &price) in logits.iter().zip(prices) {
            for (m, v) in largest.iter_mut().zip(&row[start..start + width]) {
                let v = v + price;
                *m = if v > *m { v } else { *m };
            }
        }
        let mut sum = [0.0_f32; LANES];
        for ((row, out), &price) in logits.iter_mut().zip(factor.iter_mut()).zip(prices) {
            let cells = row[start..start + width].iter_mut().zip(&mut out[start..start + width]);
            for ((v, e), (m, s)) in cells.zip(largest.iter().zip(&mut sum)) {
                *v = *v + price - m;
                *e = exp_nonpositive(*v);
                *s += *e;
            }
        }
        let mut log_sum = [0.0_f32; LANES];
        for (log, s) in log_sum.iter_mut().zip(&sum) {
            *log = if *s > 0.0 { s.ln() } else { 0.0 };
        }
        for (row, out) in logits.iter_mut().zip(factor.iter_mut()) {
            let cells = row[start..start + width].iter_mut().zip(&mut out[start..start + width]);
            for ((v, e), (log, s)) in cells.zip(log_sum.iter().zip(&sum)) {
                *v -= log;
                *e /= s;
            }
        }
        start += width;
    }
}

/// What Newton's method needs of a block under given prices: column sums of the factor, and the sums of products of columns.
struct Moments {
    /// `Σ_i q_ik`, `(r,)`
    sums: Vec<f64>,
    /// `Σ_i q_ik q_il`, `(r, r)`
    products: Vec<f64>,
}

impl Moments {
    fn of_block(logits: &[f32], rank: usize, size: usize, prices: &[f64]) -> Self {
        let prices: Vec<f32> = prices.iter().map(|&price| price as f32).collect();
        let partial: Vec<Self> = (0..size.div_ceil(CHUNK))
            .into_par_iter()
            .map(|chunk| {
                let range = chunk * CHUNK..size.min((chunk + 1) * CHUNK);
                let rows: Vec<&[f32]> = logits.chunks_exact(size).map(|row| &row[range.clone()]).collect();
                pulp::Arch::new().dispatch(ChunkMoments { rows: &rows, prices: &prices })
            })
            .collect();
        let mut total = Self { sums: vec![0.0; rank], products: vec![0.0; rank * rank] };
        for part in partial {
            total.sums.iter_mut().zip(part.sums).for_each(|(t, p)| *t += p);
            total.products.iter_mut().zip(part.products).for_each(|(t, p)| *t += p);
        }
        total
    }

    #[inline(always)]
    fn of_chunk(rows: &[&[f32]], prices: &[f32]) -> Self {
        let rank = rows.len();
        let len = rows[0].len();
        let mut sums = vec![[0.0_f32; LANES]; rank];
        let mut products = vec![[0.0_f32; LANES]; rank * rank];
        let mut weights = vec![[0.0_f32; LANES]; rank];
        let mut start = 0;
        while start < len {
            let width = LANES.min(len - start);
            let mut largest = [f32::NEG_INFINITY; LANES];
            for ((row, &price), weight) in rows.iter().zip(prices).zip(&mut weights) {
                for ((m, w), v) in largest.iter_mut().zip(weight.iter_mut()).zip(&row[start..start + width]) {
                    *w = v + price;
                    *m = if *w > *m { *w } else { *m };
                }
            }
            let mut total = [0.0_f32; LANES];
            for weight in &mut weights {
                for ((w, m), t) in weight.iter_mut().zip(&largest).zip(&mut total) {
                    *w = exp_nonpositive(*w - m);
                    *t += *w;
                }
            }
            for weight in &mut weights {
                for (l, (w, t)) in weight.iter_mut().zip(&total).enumerate() {
                    // Lanes past the end of the chunk hold leftovers and count for nothing.
                    *w = if l < width { *w / t } else { 0.0 };
                }
            }
            for k in 0..rank {
                for l in 0..LANES {
                    sums[k][l] += weights[k][l];
                }
                for other in k..rank {
                    for l in 0..LANES {
                        products[k * rank + other][l] += weights[k][l] * weights[other][l];
                    }
                }
            }
            start += width;
        }
        let total = |lanes: &[f32; LANES]| lanes.iter().map(|&v| f64::from(v)).sum::<f64>();
        let sums = sums.iter().map(total).collect();
        let upper: Vec<f64> = products.iter().map(total).collect();
        let products =
            (0..rank * rank).map(|at| upper[(at / rank).min(at % rank) * rank + (at / rank).max(at % rank)]).collect();
        Self { sums, products }
    }

    /// One damped Newton step on the prices; far from the solution, one Sinkhorn step.
    fn update(&self, prices: &mut [f64], target: f64, off: f64) {
        let rank = prices.len();
        if off < 0.5 {
            // Hessian diag(sums) - products, singular along the all-ones direction: the damping fixes that direction.
            let mut hessian: Vec<f64> = self.products.iter().map(|p| -p).collect();
            for k in 0..rank {
                hessian[k * rank + k] += self.sums[k] + 1e-6 * target;
            }
            let mut change: Vec<f64> = self.sums.iter().map(|sum| target - sum).collect();
            if solve_in_place(&mut hessian, &mut change) {
                let largest = change.iter().fold(0.0_f64, |m, c| m.max(c.abs()));
                let damping = if largest > 2.0 { 2.0 / largest } else { 1.0 };
                prices.iter_mut().zip(&change).for_each(|(p, c)| *p += damping * c);
                return;
            }
        }
        for (price, sum) in prices.iter_mut().zip(&self.sums) {
            *price -= (sum / target).max(1e-6).ln();
        }
    }
}

/// Solves a symmetric positive definite system of r unknowns by Gaussian elimination; false if a pivot vanishes.
fn solve_in_place(matrix: &mut [f64], rhs: &mut [f64]) -> bool {
    let n = rhs.len();
    for k in 0..n {
        let pivot = matrix[k * n + k];
        if pivot <= 0.0 || pivot.is_nan() {
            return false;
        }
        for i in k + 1..n {
            let ratio = matrix[i * n + k] / pivot;
            for j in k..n {
                matrix[i * n + j] -= ratio * matrix[k * n + j];
            }
            rhs[i] -= ratio * rhs[k];
        }
    }
    for k in (0..n).rev() {
        let tail: f64 = (k + 1..n).map(|j| matrix[k * n + j] * rhs[j]).sum();
        rhs[k] = (rhs[k] - tail) / matrix[k * n + k];
    }
    true
}
