//! What a solve returns.

use super::cost::CostOperator;
use crate::coupling::LowRankCoupling;
use crate::iterations::never;
use crate::solver::Outcome;
use candle_core::{Device, Tensor};
use hiref_core::{Error, Observer, Permutation, Termination};
use hiref_core::{Marginals, Problem};

/// The coupling and how it came about.
#[derive(Debug, Clone)]
pub struct LowRankOutput {
    /// The coupling, as factors with one inner marginal.
    pub coupling: LowRankCoupling,
    /// The form with two inner marginals that [`super::Frlc`] works in; none from [`super::Lot`].
    pub latent: Option<LatentCoupling>,
    /// `Σ P_ij c_ij`, what the coupling costs, in f64 from the final factors.
    pub primal_cost: f64,
    /// `|P 1 - a|₁ + |Pᵀ 1 - b|₁`.
    pub marginal_error: f64,
    /// Iterations done.
    pub iterations: usize,
    /// Wall time of the iterations.
    pub seconds: f64,
    /// Why it ended.
    pub termination: Termination,
}

impl Outcome for LowRankOutput {
    fn coupling_cost(&self) -> f64 {
        self.primal_cost
    }

    fn marginal_error(&self) -> f64 {
        self.marginal_error
    }

    fn iterations(&self) -> usize {
        self.iterations
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn termination(&self) -> Termination {
        self.termination
    }

    fn pairing(&self, seed: u64, observer: &dyn Observer) -> Result<Permutation, Error> {
        let _ = observer;
        self.coupling.round(seed)
    }
}

impl LowRankOutput {
    /// Computes the figures of a finished coupling.
    pub(super) fn of_coupling(
        coupling: LowRankCoupling,
        operator: &CostOperator,
        marginals: &Marginals,
        iterations: usize,
        seconds: f64,
        termination: Termination,
    ) -> Result<Self, Error> {
        let inverse: Vec<f64> = coupling.inner_marginal().iter().map(|mass| mass.recip()).collect();
        let scale = Tensor::from_vec(inverse, (1, coupling.rank()), &Device::Cpu)?;
        let scaled = coupling.q().broadcast_mul(&scale)?; // (n, rank)
        let primal_cost = (&scaled * operator.times(coupling.r(), &never)?)?.sum_all()?.to_scalar::<f64>()?;
        let rows = scaled.matmul(&coupling.r().sum_keepdim(0)?.t()?)?;
        let columns = coupling.r().matmul(&scaled.sum_keepdim(0)?.t()?)?;
        let off = |sums: Tensor, target: &[f64]| -> Result<f64, Error> {
            let sums = sums.flatten_all()?.to_vec1::<f64>()?;
            Ok(sums.iter().zip(target).map(|(sum, target)| (sum - target).abs()).sum())
        };
        let marginal_error = off(rows, marginals.a())? + off(columns, marginals.b())?;
        Ok(Self { coupling, latent: None, primal_cost, marginal_error, iterations, seconds, termination })
    }
}

/// The marginals to solve for, after the checks that need the problem.
pub(super) fn check(problem: &Problem<'_>, rank: usize) -> Result<Marginals, Error> {
    let (n, m) = (problem.x().num_points(), problem.y().num_points());
    if rank > n.min(m) {
        return Err(Error::RankTooLarge { rank, limit: n.min(m) });
    }
    Ok(problem.marginals())
}

/// A coupling `P = Q diag(1 / g_q) T diag(1 / g_r) Rᵀ`: clusters of x, clusters of y, and a coupling between the two.
#[derive(Debug, Clone)]
pub struct LatentCoupling {
    /// The factor of x, `(n, rank)`, f64.
    pub q: Tensor,
    /// The factor of y, `(m, rank)`, f64.
    pub r: Tensor,
    /// The coupling of the clusters, `(rank, rank)`, f64.
    pub latent: Tensor,
    /// Column sums of `q`, `(rank,)`: the masses of the clusters of x.
    pub inner_marginal_x: Vec<f64>,
    /// Column sums of `r`, `(rank,)`: the masses of the clusters of y.
    pub inner_marginal_y: Vec<f64>,
}
