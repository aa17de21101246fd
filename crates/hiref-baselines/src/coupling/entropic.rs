//! Couplings given by potentials: what Sinkhorn's algorithm finds, without the n × m matrix.

use super::rounding::round_greedily;
use crate::iterations::{Stop, never};
use crate::log_sum_exp::{ColumnTile, LogSum, RowTile};
use crate::tiled_cost::{TILE_ROWS, TiledCost, multiply};
use candle_core::{DType, Device, Tensor};
use hiref_core::{Error, Marginals, Observer, Permutation};
use rayon::prelude::*;

/// A coupling in the form that entropic regularisation gives it.
///
/// `P_ij = a_i b_j exp((f_i + g_j - c_ij) / ε)`; held as potentials, and computed tile by tile where it is needed.
///
/// *Shapes*: `f (n,)`, `g (m,)`, the coupling `(n, m)`. *Units*: potentials and ε in units of the cost. *Complexity*: each
/// query is one pass over the cost, O(n m d) time and O((n + m) d) memory. *Determinism*: the bits do not depend on the
/// number of threads.
#[derive(Debug, Clone)]
pub struct EntropicCoupling {
    cost: TiledCost,
    marginals: Marginals,
    pub(crate) f: Vec<f64>,
    pub(crate) g: Vec<f64>,
    epsilon: f64,
}

/// What one pass along the rows finds.
pub(crate) struct RowPass {
    /// `(n,)`: `log Σ_j b_j exp((g_j - c_ij) / ε)`.
    pub(crate) log_sums: Vec<f64>,
    /// `(n,)`: the mean cost under each row's conditional distribution.
    mean_costs: Vec<f64>,
    /// `(n, k)`: the mean of the rows of a matrix under it.
    averages: Vec<f64>,
}

/// The figures of an entropic coupling, in f64 from one pass along the rows and one along the columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) primal_cost: f64,
    pub(crate) dual_cost: f64,
    pub(crate) regularized_cost: f64,
    pub(crate) marginal_error: f64,
}

impl EntropicCoupling {
    pub(crate) fn new(cost: TiledCost, marginals: Marginals, epsilon: f64) -> Self {
        let (f, g) = (vec![0.0; cost.num_x()], vec![0.0; cost.num_y()]);
        Self { cost, marginals, f, g, epsilon }
    }

    /// Potentials of x, `(n,)`, in units of the cost; fixed up to a constant that `g` takes away.
    pub fn f(&self) -> &[f64] {
        &self.f
    }

    /// Potentials of y, `(m,)`, in units of the cost.
    pub fn g(&self) -> &[f64] {
        &self.g
    }

    /// The regularisation ε, in units of the cost.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }

    /// The marginals that the coupling aims at.
    pub fn marginals(&self) -> &Marginals {
        &self.marginals
    }

    /// Where each x point is sent on average, `(n, d)`, f64: `T(x_i) = Σ_j P_ij y_j / Σ_j P_ij`.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn barycentric_projection(&self) -> Result<Tensor, Error> {
        let d = self.cost.dimension();
        let barycentres = self.barycentres(&never).unwrap_or_default();
        Ok(Tensor::from_vec(barycentres, (self.cost.num_x(), d), &Device::Cpu)?)
    }

    /// As [`Self::barycentric_projection`], row-major; `None` where it is stopped.
    pub(crate) fn barycentres(&self, stop: Stop<'_>) -> Option<Vec<f64>> {
        let (points, d) = (self.cost.target_points(), self.cost.dimension());
        Some(self.row_pass(Some((&points, d)), stop)?.averages)
    }

    /// The barycentric projection extended to new points by the potential of y alone, `(k, d)` to `(k, d)`, f64.
    ///
    /// `T(x) = Σ_j w_j(x) y_j`, `w_j(x) ∝ b_j exp((g_j - c(x, y_j)) / ε)`; at the points of x it equals
    /// [`Self::barycentric_projection`]. For the squared Euclidean cost it is the entropic map `x - ∇f(x) / 2`.
    ///
    /// # Errors
    /// Points that are not a matrix of d columns; a failed tensor operation.
    pub fn entropic_map(&self, points: &Tensor) -> Result<Tensor, Error> {
        let d = self.cost.dimension();
        let (rows, columns) = points.dims2()?;
        if columns != d {
            return Err(Error::DimensionMismatch { x: columns, y: d });
        }
        let points = points.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        Ok(Tensor::from_vec(self.map_rows(points), (rows, d), &Device::Cpu)?)
    }

    /// As [`Self::entropic_map`], row-major.
    pub(crate) fn map_rows(&self, points: Vec<f64>) -> Vec<f64> {
        let cost = self.cost.with_sources(points);
        let k = cost.num_x();
        let elsewhere = Self {
            f: vec![0.0; k],
            g: self.g.clone(),
            marginals: self.marginals.with_a(vec![1.0 / k as f64; k]),
            epsilon: self.epsilon,
            cost,
        };
        elsewhere.barycentres(&never).unwrap_or_default()
    }

    /// The most probable partner of each x point, `(n,)`; ties go to the lowest index.
    pub fn row_argmax(&self) -> Vec<u32> {
        self.candidates(1, &|_| 0, &never).unwrap_or_default().into_iter().map(|(_, column)| column).collect()
    }

    /// The most probable partner of each y point, `(m,)`; ties go to the lowest index.
    pub fn column_argmax(&self) -> Vec<u32> {
        self.turned().row_argmax()
    }

    /// The coupling as a matrix, `(n, m)`, f64: for small problems.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn to_matrix(&self) -> Result<Tensor, Error> {
        let (n, m) = (self.cost.num_x(), self.cost.num_y());
        let (h, inverse) = (self.column_offsets(), self.epsilon.recip());
        let mut values = vec![0.0; n * m];
        values.par_chunks_mut(TILE_ROWS * m).enumerate().for_each(|(row_tile, stripe)| {
            let mut workspace = Vec::new();
            for column_tile in 0..self.cost.column_tiles() {
                let columns = self.cost.column_range(column_tile);
                let tile = self.cost.tile(row_tile, column_tile, &mut workspace);
                let rows = self.cost.row_range(row_tile).zip(stripe.chunks_exact_mut(m));
                for ((i, out), tile) in rows.zip(tile.chunks_exact(columns.len())) {
                    let log_mass = self.marginals.a()[i].ln() + self.f[i] * inverse;
                    for ((out, c), h) in out[columns.clone()].iter_mut().zip(tile).zip(&h[columns.clone()]) {
                        *out = (log_mass + h - c * inverse).exp();
                    }
                }
            }
        });
        Ok(Tensor::from_vec(values, (n, m), &Device::Cpu)?)
    }

    /// Rounds the coupling to a one-to-one pairing.
    ///
    /// Rounds of greedy choice: every unpaired point of the smaller side lists its 16 most probable unpaired partners, and
    /// the entries of all lists are taken in order of decreasing probability while both ends are free; until none is
    /// left. Equal probabilities are put in an order drawn from `seed`, so that the numbering of the points has no say.
    ///
    /// *Complexity*: O(n m d) time for the first round, less for each later one; O((n + m) d + 16 min(n, m)) memory.
    ///
    /// # Errors
    /// [`Error::Interrupted`] where the observer says stop.
    pub fn round(&self, seed: u64, observer: &dyn Observer) -> Result<Permutation, Error> {
        let rounded = if self.cost.num_x() <= self.cost.num_y() {
            round_greedily(self, seed, observer)
        } else {
            round_greedily(&self.turned(), seed, observer).map(|turned| turned.inverse())
        };
        rounded.ok_or(Error::Interrupted)
    }

    pub(crate) fn cost(&self) -> &TiledCost {
        &self.cost
    }

    /// Frees the cost matrix, where it was kept; it is computed again when it is needed.
    pub(crate) fn forget_stored_cost(&mut self) {
        self.cost.forget();
    }

    pub(crate) fn set_epsilon(&mut self, epsilon: f64) {
        self.epsilon = epsilon;
    }

    /// The same coupling seen from the other side.
    fn turned(&self) -> Self {
        Self {
            cost: self.cost.turned(),
            marginals: self.marginals.turned(),
            f: self.g.clone(),
            g: self.f.clone(),
            epsilon: self.epsilon,
        }
    }

    /// The entries between some of the points; the marginals keep their scale.
    pub(crate) fn restricted(&self, rows: &[u32], columns: &[u32]) -> Self {
        let pick = |from: &[f64], indices: &[u32]| indices.iter().map(|&i| from[i as usize]).collect();
        Self {
            cost: self.cost.restricted(rows, columns),
            marginals: self.marginals.restricted(rows, columns),
            f: pick(&self.f, rows),
            g: pick(&self.g, columns),
            epsilon: self.epsilon,
        }
    }

    /// `log b_j + g_j / ε`, `(m,)`.
    fn column_offsets(&self) -> Vec<f64> {
        self.marginals.b().iter().zip(&self.g).map(|(b, g)| b.ln() + g / self.epsilon).collect()
    }

    /// `log a_i + f_i / ε`, `(n,)`.
    pub(crate) fn row_offsets(&self) -> Vec<f64> {
        self.marginals.a().iter().zip(&self.f).map(|(a, f)| a.ln() + f / self.epsilon).collect()
    }

    /// One pass along the rows; `values` is a matrix `(m, k)`, row-major, with its k, to average under each row. `None` where it is
    /// stopped.
    pub(crate) fn row_pass(&self, values: Option<(&[f64], usize)>, stop: Stop<'_>) -> Option<RowPass> {
        let n = self.cost.num_x();
        let k = values.map_or(0, |(_, k)| k);
        let (h, inverse) = (self.column_offsets(), self.epsilon.recip());
        let mut pass = RowPass { log_sums: vec![0.0; n], mean_costs: vec![0.0; n], averages: vec![0.0; n * k] };
        let stripes: Vec<(Vec<LogSum>, Vec<f64>, Vec<f64>)> = (0..self.cost.row_tiles())
            .into_par_iter()
            .map_init(Default::default, |(tile, weights): &mut (Vec<f64>, Vec<f64>), row_tile| {
                let rows = self.cost.row_range(row_tile).len();
                let mut running = vec![LogSum::EMPTY; rows];
                let mut costs = vec![0.0; rows];
                let mut averages = vec![0.0; rows * k];
                if stop() {
                    return None;
                }
                for column_tile in 0..self.cost.column_tiles() {
                    let columns = self.cost.column_range(column_tile);
                    let tile = self.cost.tile(row_tile, column_tile, tile);
                    weights.resize(rows * columns.len(), 0.0);
                    RowTile {
                        tile,
                        offsets: &h[columns.clone()],
                        inverse_epsilon: inverse,
                        weights: &mut weights[..],
                        running: &mut running,
                        costs: &mut costs,
                        averages: &mut averages,
                    }
                    .add();
                    if let Some((values, k)) = values {
                        let (shape, strides) = ((rows, columns.len(), k), (k as isize, 1));
                        let values = &values[columns.start * k..columns.end * k];
                        multiply(weights, (columns.len() as isize, 1), values, strides, &mut averages, shape, true);
                    }
                }
                Some((running, costs, averages))
            })
            .collect::<Option<_>>()?;
        for (row_tile, (running, costs, averages)) in stripes.into_iter().enumerate() {
            let start = row_tile * TILE_ROWS;
            for (row, (running, cost)) in running.into_iter().zip(costs).enumerate() {
                pass.log_sums[start + row] = running.ln();
                pass.mean_costs[start + row] = cost / running.sum;
                let average = averages[row * k..(row + 1) * k].iter().map(|v| v / running.sum);
                pass.averages[(start + row) * k..(start + row + 1) * k]
                    .iter_mut()
                    .zip(average)
                    .for_each(|(out, v)| *out = v);
            }
        }
        Some(pass)
    }

    /// `log Σ_i a_i exp((f_i - c_ij) / ε)` for each column, `(m,)`; `None` where it is stopped.
    pub(crate) fn column_log_sums(&self, stop: Stop<'_>) -> Option<Vec<f64>> {
        let (h, inverse) = (self.row_offsets(), self.epsilon.recip());
        let mut log_sums = vec![0.0; self.cost.num_y()];
        let tiles: Vec<Vec<LogSum>> = (0..self.cost.column_tiles())
            .into_par_iter()
            .map_init(Default::default, |workspace: &mut (Vec<f64>, Vec<f64>, Vec<f64>), column_tile| {
                let (tile, top, total) = workspace;
                let mut running = vec![LogSum::EMPTY; self.cost.column_range(column_tile).len()];
                for row_tile in 0..self.cost.row_tiles() {
                    if stop() {
                        return None;
                    }
                    let h = &h[self.cost.row_range(row_tile)];
                    let tile = self.cost.tile(row_tile, column_tile, tile);
                    let running = &mut running[..];
                    ColumnTile { tile, offsets: h, inverse_epsilon: inverse, running, top, total }.add();
                }
                Some(running)
            })
            .collect::<Option<_>>()?;
        for (out, running) in log_sums.iter_mut().zip(tiles.into_iter().flatten()) {
            *out = running.ln();
        }
        Some(log_sums)
    }

    /// Makes the row sums of the coupling equal to `a`; `None` where it is stopped, and nothing changed.
    pub(crate) fn fit_rows(&mut self, stop: Stop<'_>) -> Option<()> {
        let log_sums = self.row_pass(None, stop)?.log_sums;
        self.f.iter_mut().zip(log_sums).for_each(|(f, log_sum)| *f = -self.epsilon * log_sum);
        Some(())
    }

    /// Makes the column sums equal to `b`; returns `Σ_j |Σ_i P_ij - b_j|` as it was before, `None` where it is stopped, and nothing changed.
    pub(crate) fn fit_columns(&mut self, stop: Stop<'_>) -> Option<f64> {
        let log_sums = self.column_log_sums(stop)?;
        let mut error = 0.0;
        for ((g, b), log_sum) in self.g.iter_mut().zip(self.marginals.b()).zip(log_sums) {
            error += b * (*g / self.epsilon + log_sum).exp_m1().abs();
            *g = -self.epsilon * log_sum;
        }
        Some(error)
    }

    /// The mean size of the cost under the product coupling, `Σ a_i b_j |c_ij|`; `None` where it is stopped.
    pub(crate) fn mean_size(cost: &TiledCost, marginals: &Marginals, stop: Stop<'_>) -> Option<f64> {
        let terms: Vec<f64> = (0..cost.row_tiles())
            .into_par_iter()
            .map_init(Vec::new, |workspace, row_tile| {
                let mut total = 0.0;
                if stop() {
                    return None;
                }
                for column_tile in 0..cost.column_tiles() {
                    let columns = cost.column_range(column_tile);
                    let b = &marginals.b()[columns.clone()];
                    let tile = cost.tile(row_tile, column_tile, workspace);
                    for (row, a) in tile.chunks_exact(columns.len()).zip(&marginals.a()[cost.row_range(row_tile)]) {
                        total += a * row.iter().zip(b).map(|(c, b)| c.abs() * b).sum::<f64>();
                    }
                }
                Some(total)
            })
            .collect::<Option<_>>()?;
        Some(terms.iter().sum())
    }

    /// The figures that are reported, independent of what the iterations kept account of; `None` where it is stopped.
    pub(crate) fn figures(&self, stop: Stop<'_>) -> Option<Figures> {
        let RowPass { log_sums, mean_costs, .. } = self.row_pass(None, stop)?;
        let mass = |weight: f64, potential: f64, log_sum: f64| weight * (potential / self.epsilon + log_sum).exp();
        let (mut primal_cost, mut total, mut linear, mut error, mut dual) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (i, (&a, &f)) in self.marginals.a().iter().zip(&self.f).enumerate() {
            let mass = mass(a, f, log_sums[i]);
            primal_cost += mass * mean_costs[i];
            total += mass;
            linear += mass * f;
            error += (mass - a).abs();
            dual += a * f;
        }
        for ((&b, &g), log_sum) in self.marginals.b().iter().zip(&self.g).zip(self.column_log_sums(stop)?) {
            let mass = mass(b, g, log_sum);
            linear += mass * g;
            error += (mass - b).abs();
            dual += b * g;
        }
        let excess = self.epsilon * (total - 1.0);
        // ε KL(P | a bᵀ) = Σ P (f + g - c) - ε (Σ P - 1), so that the costs cancel in the sum.
        Some(Figures {
            primal_cost,
            dual_cost: dual - excess,
            regularized_cost: linear - excess,
            marginal_error: error,
        })
    }

    /// `(n,)` sums of the coupling's rows, and `(m,)` of its columns; `None` where it is stopped.
    pub(crate) fn masses(&self, stop: Stop<'_>) -> Option<(Vec<f64>, Vec<f64>)> {
        let mass = |weights: &[f64], potentials: &[f64], log_sums: Vec<f64>| -> Vec<f64> {
            let terms = weights.iter().zip(potentials).zip(log_sums);
            terms.map(|((weight, potential), log_sum)| weight * (potential / self.epsilon + log_sum).exp()).collect()
        };
        Some((
            mass(self.marginals.a(), &self.f, self.row_pass(None, stop)?.log_sums),
            mass(self.marginals.b(), &self.g, self.column_log_sums(stop)?),
        ))
    }

    /// The `count` most probable columns of each row, (exponent, column), `(n * count,)`, most probable first; equal
    /// exponents by `key`, then by index. The exponent is that of the row's conditional distribution. `None` where it is stopped.
    pub(crate) fn candidates(
        &self,
        count: usize,
        key: &(dyn Fn(u32) -> u64 + Sync),
        stop: Stop<'_>,
    ) -> Option<Vec<(f64, u32)>> {
        let count = count.min(self.cost.num_y());
        let (h, inverse) = (self.column_offsets(), self.epsilon.recip());
        let stripes: Vec<Vec<(f64, u32)>> = (0..self.cost.row_tiles())
            .into_par_iter()
            .map_init(Vec::new, |workspace, row_tile| {
                let rows = self.cost.row_range(row_tile).len();
                let mut best: Vec<Vec<(f64, u32)>> = vec![Vec::with_capacity(count + 1); rows];
                if stop() {
                    return None;
                }
                for column_tile in 0..self.cost.column_tiles() {
                    let columns = self.cost.column_range(column_tile);
                    let tile = self.cost.tile(row_tile, column_tile, workspace);
                    for (best, tile) in best.iter_mut().zip(tile.chunks_exact(columns.len())) {
                        let mut least = if best.len() < count { f64::NEG_INFINITY } else { best[count - 1].0 };
                        for ((c, h), j) in tile.iter().zip(&h[columns.clone()]).zip(columns.clone()) {
                            let exponent = h - c * inverse;
                            if exponent < least {
                                continue;
                            }
                            let candidate = (exponent, j as u32);
                            let before = |other: &(f64, u32)| {
                                other.0.total_cmp(&exponent).reverse().then(key(other.1).cmp(&key(candidate.1))).is_le()
                            };
                            let place = best.partition_point(before);
                            best.insert(place, candidate);
                            best.truncate(count);
                            least = if best.len() < count { least } else { best[count - 1].0 };
                        }
                    }
                }
                Some(best.into_iter().flatten().collect())
            })
            .collect::<Option<_>>()?;
        Some(stripes.concat())
    }
}
