//! Factors in the log domain, and their projections onto polytopes with given row sums.

use crate::exp::exp_all;
use crate::iterations::Stop;
use candle_core::{Device, Result, Tensor};
use pulp::NullaryFnOnce;
use rayon::prelude::*;

/// Rows that are summed together before the sums are added up.
const CHUNK: usize = 1024;

/// One factor, `(n, rank)`, as logarithms; its rows sum to `marginal`.
pub(super) struct Factor {
    rank: usize,
    marginal: Vec<f64>,
    logits: Vec<f64>,
}

/// A factor after a step and before its projection: each row divided by its largest entry, which its scaling undoes.
struct Kernel {
    entries: Vec<f64>,
    row_largest: Vec<f64>,
}

impl Factor {
    /// All entries of a row equal.
    pub(super) fn constant(marginal: Vec<f64>, rank: usize) -> Self {
        let logits = marginal.iter().flat_map(|mass| std::iter::repeat_n((mass / rank as f64).ln(), rank)).collect();
        Self { rank, marginal, logits }
    }

    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    /// What the rows sum to.
    pub(super) fn marginal(&self) -> &[f64] {
        &self.marginal
    }

    /// Sets what the rows are to sum to after the next projection.
    pub(super) fn set_marginal(&mut self, marginal: Vec<f64>) {
        self.marginal = marginal;
    }

    /// The logarithms of the entries, `(n, rank)`, row-major.
    pub(super) fn logits(&self) -> &[f64] {
        &self.logits
    }

    /// The entries, `(n, rank)`, row-major.
    pub(super) fn values(&self) -> Vec<f64> {
        let mut values = self.logits.clone();
        values.par_chunks_mut(CHUNK * self.rank).for_each(exp_all);
        values
    }

    /// The entries as a tensor, `(n, rank)`.
    pub(super) fn tensor(&self) -> Result<Tensor> {
        Tensor::from_vec(self.values(), (self.marginal.len(), self.rank), &Device::Cpu)
    }

    /// Subtracts `size * gradient` from the logarithms.
    pub(super) fn step(&mut self, gradient: &[f64], size: f64) {
        self.logits.par_iter_mut().zip(gradient).for_each(|(logit, gradient)| *logit -= size * gradient);
    }

    /// Scales rows to the marginal, and columns towards `inner`: to it for `exponent` 1, part of the way below 1.
    ///
    /// With exponent `τ / (τ + 1)` this is the projection in Kullback-Leibler divergence where the column sums are not
    /// fixed but pay τ KL(· | inner). Ends with the rows, which are exact then; returns the column sums. Stops when no
    /// column's scaling moves by more than `tolerance`, after so many passes, and short of all that where it is stopped.
    pub(super) fn project(
        &mut self,
        inner: &[f64],
        exponent: f64,
        (tolerance, passes): (f64, usize),
        stop: Stop<'_>,
    ) -> Vec<f64> {
        let kernel = self.kernel();
        let mut v = vec![1.0; self.rank];
        let mut u = vec![0.0; self.marginal.len()];
        let (mut sums, _) = kernel.scale_rows(&v, &self.marginal, &mut u);
        for _ in 0..passes {
            if stop() {
                break;
            }
            let mut moved = 0.0_f64;
            for ((v, sum), target) in v.iter_mut().zip(&sums).zip(inner) {
                let next = (target / sum.max(f64::MIN_POSITIVE)).powf(exponent);
                moved = moved.max((next / *v).ln().abs());
                *v = next;
            }
            (sums, _) = kernel.scale_rows(&v, &self.marginal, &mut u);
            if moved <= tolerance {
                break;
            }
        }
        self.take(&kernel, &u, &v);
        sums.iter().zip(&v).map(|(sum, v)| sum * v).collect()
    }

    fn kernel(&self) -> Kernel {
        let mut entries = self.logits.clone();
        let mut row_largest = vec![0.0; self.marginal.len()];
        let rank = self.rank;
        entries.par_chunks_mut(CHUNK * rank).zip(row_largest.par_chunks_mut(CHUNK)).for_each(|(entries, largest)| {
            for (row, largest) in entries.chunks_exact_mut(rank).zip(largest) {
                *largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                row.iter_mut().for_each(|v| *v -= *largest);
            }
            exp_all(entries);
        });
        Kernel { entries, row_largest }
    }

    /// Applies the scalings of a kernel made from these logits.
    fn take(&mut self, kernel: &Kernel, u: &[f64], v: &[f64]) {
        let log_v: Vec<f64> = v.iter().map(|v| v.ln()).collect();
        let rows = self.logits.par_chunks_exact_mut(self.rank).zip(u).zip(&kernel.row_largest);
        rows.for_each(|((row, u), largest)| {
            let shift = u.ln() - largest;
            row.iter_mut().zip(&log_v).for_each(|(logit, v)| *logit += shift + v);
        });
    }
}

impl Kernel {
    /// `u = a / (K v)`; returns `Kᵀ u`, and how far the rows of `diag(u) K diag(v)` were from a before.
    fn scale_rows(&self, v: &[f64], a: &[f64], u: &mut [f64]) -> (Vec<f64>, f64) {
        let rank = v.len();
        let partial: Vec<(Vec<f64>, f64)> = self
            .entries
            .par_chunks(CHUNK * rank)
            .zip(u.par_chunks_mut(CHUNK))
            .zip(a.par_chunks(CHUNK))
            .map(|((entries, u), a)| {
                let (mut sums, mut error) = (vec![0.0; rank], 0.0);
                let scaling = RowScaling { entries, v, a, u, sums: &mut sums, error: &mut error };
                pulp::Arch::new().dispatch(scaling);
                (sums, error)
            })
            .collect();
        let (mut sums, mut error) = (vec![0.0; rank], 0.0);
        for (part, part_error) in partial {
            sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            error += part_error;
        }
        (sums, error)
    }
}

/// One chunk of [`Kernel::scale_rows`], compiled with the machine's best vector instructions.
struct RowScaling<'a> {
    entries: &'a [f64],
    v: &'a [f64],
    a: &'a [f64],
    u: &'a mut [f64],
    sums: &'a mut [f64],
    error: &'a mut f64,
}

impl NullaryFnOnce for RowScaling<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        const LANES: usize = 8;
        let (v_chunks, v_rest) = self.v.as_chunks::<LANES>();
        for ((row, u), a) in self.entries.chunks_exact(self.v.len()).zip(self.u).zip(self.a) {
            let (chunks, rest) = row.as_chunks::<LANES>();
            let mut partial = [0.0; LANES];
            for (k, v) in chunks.iter().zip(v_chunks) {
                for lane in 0..LANES {
                    partial[lane] += k[lane] * v[lane];
                }
            }
            let mut total: f64 = partial.iter().sum();
            for (k, v) in rest.iter().zip(v_rest) {
                total += k * v;
            }
            let total = total.max(f64::MIN_POSITIVE);
            *self.error += (*u * total - a).abs();
            *u = a / total;
            for (sum, k) in self.sums.iter_mut().zip(row) {
                *sum += *u * k;
            }
        }
    }
}

/// Projects two factors and their inner marginal, given as logarithms, onto row sums, equal column sums, and a floor
/// under the inner marginal: Dykstra's algorithm, \[S21\] Algorithm 2. Returns the inner marginal; the column sums of both
/// factors equal it, their rows are within `tolerance` of the marginals in total, unless it is stopped.
pub(super) fn project_together(
    [q, r]: [&mut Factor; 2],
    log_inner: &[f64],
    floor: f64,
    (tolerance, passes): (f64, usize),
    stop: Stop<'_>,
) -> Vec<f64> {
    let rank = q.rank;
    let ones = || vec![1.0; rank];
    let kernels = [q.kernel(), r.kernel()];
    let (mut v, mut corrections) = ([ones(), ones()], [ones(), ones()]);
    let mut u = [vec![0.0; q.marginal.len()], vec![0.0; r.marginal.len()]];
    // A common factor of the inner marginal is undone by the corrections; this one keeps the numbers near one.
    let mut inner: Vec<f64> = log_inner.iter().map(|log| log.exp()).collect();
    let (mut floor_correction, mut inner_correction) = (ones(), ones());
    for iteration in 0..passes {
        if stop() {
            break;
        }
        let (sums_q, error_q) = kernels[0].scale_rows(&v[0], &q.marginal, &mut u[0]);
        let (sums_r, error_r) = kernels[1].scale_rows(&v[1], &r.marginal, &mut u[1]);
        if iteration > 0 && error_q + error_r <= tolerance {
            // The rows were right before this scaling, and the columns fitted; undoing it is not worth a copy.
            break;
        }
        let sums = [sums_q, sums_r];
        for k in 0..rank {
            let raised = (inner[k] * floor_correction[k]).max(floor);
            floor_correction[k] *= inner[k] / raised;
            let mut product = raised * inner_correction[k];
            for side in 0..2 {
                product *= v[side][k] * corrections[side][k] * sums[side][k];
            }
            let shared = product.cbrt().max(f64::MIN_POSITIVE);
            for side in 0..2 {
                let next = shared / sums[side][k].max(f64::MIN_POSITIVE);
                corrections[side][k] *= v[side][k] / next;
                v[side][k] = next;
            }
            inner_correction[k] *= raised / shared;
            inner[k] = shared;
        }
    }
    q.take(&kernels[0], &u[0], &v[0]);
    r.take(&kernels[1], &u[1], &v[1]);
    inner
}

/// The nearest matrix (in the sense of \[A17\], Algorithm 2) with row sums `rows` and column sums `columns`, exactly.
pub(super) fn round_to_polytope(values: &mut [f64], rows: &[f64], columns: &[f64]) {
    let rank = columns.len();
    for (row, &target) in values.chunks_exact_mut(rank).zip(rows) {
        let sum: f64 = row.iter().sum();
        let scale = if sum > target { target / sum } else { 1.0 };
        row.iter_mut().for_each(|v| *v *= scale);
    }
    let column_sums = |values: &[f64]| {
        let mut sums = vec![0.0; rank];
        for row in values.chunks_exact(rank) {
            sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
        }
        sums
    };
    let scales: Vec<f64> = column_sums(values).iter().zip(columns).map(|(sum, c)| (c / sum).min(1.0)).collect();
    for row in values.chunks_exact_mut(rank) {
        row.iter_mut().zip(&scales).for_each(|(v, scale)| *v *= scale);
    }
    let missing: Vec<f64> = columns.iter().zip(column_sums(values)).map(|(c, sum)| (c - sum).max(0.0)).collect();
    let total: f64 = missing.iter().sum();
    if total > 0.0 {
        for (row, &target) in values.chunks_exact_mut(rank).zip(rows) {
            let lacking = (target - row.iter().sum::<f64>()).max(0.0);
            row.iter_mut().zip(&missing).for_each(|(v, missing)| *v += lacking * missing / total);
        }
    }
}

/// The factor by which a gradient is multiplied, so that no logarithm moves by more than `step`; 0 for a zero gradient.
pub(super) fn step_size(step: f64, largest: f64) -> f64 {
    if largest > 0.0 { step / largest } else { 0.0 }
}

/// Shifts each row to the middle of its range, which the projections undo, and returns the largest entry that is left.
pub(super) fn center_rows(gradient: &mut [f64], rank: usize) -> f64 {
    let largest: Vec<f64> = gradient
        .par_chunks_mut(CHUNK * rank)
        .map(|chunk| {
            chunk.chunks_exact_mut(rank).fold(0.0, |largest: f64, row| {
                let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let bottom = row.iter().copied().fold(f64::INFINITY, f64::min);
                row.iter_mut().for_each(|v| *v -= 0.5 * (top + bottom));
                largest.max(0.5 * (top - bottom))
            })
        })
        .collect();
    largest.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iterations::never;
    use hiref_core::rng::stream;
    use rand::Rng;

    fn random(n: usize, rank: usize, seed: u64) -> Factor {
        let mut rng = stream(seed, &[]);
        let mut factor = Factor::constant(vec![1.0 / n as f64; n], rank);
        let gradient: Vec<f64> = (0..n * rank).map(|_| rng.random_range(-2.0..2.0)).collect();
        factor.step(&gradient, 1.0);
        factor
    }

    fn sums(values: &[f64], rank: usize) -> (Vec<f64>, Vec<f64>) {
        let rows = values.chunks_exact(rank).map(|row| row.iter().sum()).collect();
        (rows, (0..rank).map(|k| values.iter().skip(k).step_by(rank).sum()).collect())
    }

    fn close(got: &[f64], expected: &[f64], tolerance: f64) {
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() <= tolerance, "{got} against {expected}");
        }
    }

    #[test]
    fn projections_have_the_sums_they_promise() {
        let (n, m, rank) = (2000, 60, 5);
        let inner = [0.1, 0.15, 0.2, 0.25, 0.3];
        let mut q = random(n, rank, 1);
        let returned = q.project(&inner, 1.0, (1e-12, 1000), &never);
        let (rows, columns) = sums(&q.values(), rank);
        close(&rows, q.marginal(), 1e-15);
        close(&columns, &inner, 1e-12);
        close(&columns, &returned, 1e-12);

        let (mut q, mut r) = (random(n, rank, 2), random(m, rank, 3));
        let start = [0.3_f64.ln(), 0.3_f64.ln(), 0.2_f64.ln(), 0.2_f64.ln(), 1e-5_f64.ln()];
        let inner = project_together([&mut q, &mut r], &start, 0.01, (1e-11, 10_000), &never);
        for factor in [&q, &r] {
            let (rows, columns) = sums(&factor.values(), rank);
            close(&rows, factor.marginal(), 1e-11);
            close(&columns, &inner, 1e-11);
        }
        assert!((inner.iter().sum::<f64>() - 1.0).abs() < 1e-10 && inner[4] >= 0.01 - 1e-9, "{inner:?}");
    }

    #[test]
    fn rounding_is_exact() {
        let (n, rank) = (30, 4);
        let mut values = random(n, rank, 4).values();
        let (rows, columns) = (vec![1.0 / n as f64; n], [0.4, 0.3, 0.2, 0.1]);
        round_to_polytope(&mut values, &rows, &columns);
        let (got_rows, got_columns) = sums(&values, rank);
        close(&got_rows, &rows, 1e-15);
        close(&got_columns, &columns, 1e-15);
        assert!(values.iter().all(|&v| v >= 0.0));
    }
}
