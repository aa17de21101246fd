//! What a solve returns.

use crate::coupling::EntropicCoupling;
use crate::solver::Outcome;
use candle_core::{DType, Device, Tensor};
use hiref_core::{Error, Observer, Permutation, Termination};
use serde::{Deserialize, Serialize};

/// The coupling, the map, and how they came about.
#[derive(Debug, Clone)]
pub struct ProgotOutput {
    /// The map from x to y, made of all steps.
    pub map: ProgressiveMap,
    /// `Σ P_ij c(x_i, y_j)`, what the last step's coupling costs between the points as given.
    pub primal_cost: f64,
    /// `|P 1 - a|₁ + |Pᵀ 1 - b|₁` of the last step's coupling.
    pub marginal_error: f64,
    /// The steps.
    pub steps: Vec<StepReport>,
    /// Sinkhorn iterations, over all steps.
    pub iterations: usize,
    /// Wall time of the iterations.
    pub seconds: f64,
    /// Why it ended.
    pub termination: Termination,
}

impl Outcome for ProgotOutput {
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
        self.coupling().round(seed, observer)
    }
}

impl ProgotOutput {
    /// The last step's coupling. Its rows are the points of x, its potentials are those of the cost from where the earlier
    /// steps have moved them.
    pub fn coupling(&self) -> &EntropicCoupling {
        &self.map.steps[self.map.steps.len() - 1].1
    }
}

/// One step.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct StepReport {
    /// The share of the rest of the way that the points move.
    pub alpha: f64,
    /// Regularisation, in units of the cost.
    pub epsilon: f64,
    /// Sinkhorn iterations.
    pub iterations: usize,
}

/// The map of all steps, for any point: `z ← (1 - α_k) z + α_k T_k(z)`, `T_k` the entropic map of step k; the last
/// step's target is the result.
#[derive(Debug, Clone)]
pub struct ProgressiveMap {
    /// α, and the coupling between the points moved so far and y.
    pub(super) steps: Vec<(f64, EntropicCoupling)>,
}

impl ProgressiveMap {
    /// Maps points, `(k, d)` to `(k, d)`, f64. O(k m d) time a step.
    ///
    /// # Errors
    /// Points of another dimension; a failed tensor operation.
    pub fn apply(&self, points: &Tensor) -> Result<Tensor, Error> {
        let d = self.steps[0].1.cost().dimension();
        let (rows, columns) = points.dims2()?;
        if columns != d {
            return Err(Error::DimensionMismatch { x: columns, y: d });
        }
        let mut place = points.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        let mut target = Vec::new();
        for (alpha, coupling) in &self.steps {
            target = coupling.map_rows(place.clone());
            advance(&mut place, &target, *alpha);
        }
        Ok(Tensor::from_vec(target, (rows, d), &Device::Cpu)?)
    }
}

/// Moves points a share of the way to their targets.
pub(super) fn advance(place: &mut [f64], target: &[f64], alpha: f64) {
    place.iter_mut().zip(target).for_each(|(place, target)| *place += alpha * (target - *place));
}
