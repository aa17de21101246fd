//! What a user can set.

use super::Progot;
use crate::iterations::{check_limits, rule};
use crate::sinkhorn::CostStorage;
use hiref_core::Error;
use serde::{Deserialize, Serialize};

/// How the way from x to y is divided over the K steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// Equal parts: `α_k = 1 / (K - k + 1)`, k = 1 … K.
    #[default]
    Constant,
    /// Parts that shrink: `α_k = 1 / e`.
    Decelerating,
    /// Parts that grow: `α_k = (2 k + 1) / ((K + 1)² - k²)`.
    Accelerating,
}

impl Pace {
    /// The steps `α_1 … α_K`, each the share of the rest of the way.
    pub fn alphas(self, num_steps: usize) -> Vec<f64> {
        let all = num_steps as f64;
        (1..=num_steps)
            .map(|k| k as f64)
            .map(|k| match self {
                Self::Constant => 1.0 / (all - k + 1.0),
                Self::Decelerating => (-1.0_f64).exp(),
                Self::Accelerating => (2.0 * k + 1.0) / ((all + 1.0).powi(2) - k * k),
            })
            .collect()
    }
}

/// Parameters of [`Progot`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProgotParams {
    /// Number of steps K, at least 1.
    pub num_steps: usize,
    /// How the way is divided over the steps.
    pub pace: Pace,
    /// The steps themselves, each above 0 and at most 1; from `num_steps` and `pace` when absent.
    pub alphas: Option<Vec<f64>>,
    /// Regularisation of each step, in units of the cost, as many as steps; from `epsilon` when absent.
    pub epsilons: Option<Vec<f64>>,
    /// Regularisation towards the end of the way, in units of the cost; when absent, a hundredth of the mean cost between
    /// points of y. The first step's is a twentieth of the mean cost between x and y (or this one, where it is larger), and
    /// those between follow the share of the way that is done.
    pub epsilon: Option<f64>,
    /// Most Sinkhorn iterations, over all steps.
    pub max_iterations: usize,
    /// Each step stops once the coupling's column sums are off by at most this much in total (its row sums are exact).
    pub tolerance: f64,
    /// Stop after this many seconds.
    pub time_limit: Option<f64>,
    /// Whether the cost matrix is kept in memory.
    pub storage: CostStorage,
}

impl Default for ProgotParams {
    fn default() -> Self {
        Self {
            num_steps: 8,
            pace: Pace::default(),
            alphas: None,
            epsilons: None,
            epsilon: None,
            max_iterations: 4000,
            tolerance: 1e-4,
            time_limit: None,
            storage: CostStorage::default(),
        }
    }
}

impl ProgotParams {
    /// Checks every rule once and returns the solver.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first field outside its range.
    pub fn check(self) -> Result<Progot, Error> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        rule(self.num_steps >= 1, "num_steps", &self.num_steps, "at least 1")?;
        let alphas = self.alphas.clone().unwrap_or_else(|| self.pace.alphas(self.num_steps));
        rule(!alphas.is_empty(), "alphas", &"empty", "at least one step")?;
        for &alpha in &alphas {
            rule(alpha > 0.0 && alpha <= 1.0, "alphas", &alpha, "numbers above 0 and at most 1")?;
        }
        if let Some(epsilons) = &self.epsilons {
            let count = format!("{} numbers", epsilons.len());
            rule(epsilons.len() == alphas.len(), "epsilons", &count, "one number for each step")?;
            for &epsilon in epsilons {
                rule(positive(epsilon), "epsilons", &epsilon, "positive finite numbers")?;
            }
        }
        if let Some(epsilon) = self.epsilon {
            rule(positive(epsilon), "epsilon", &epsilon, "a positive finite number")?;
        }
        check_limits(self.max_iterations, self.tolerance, self.time_limit)?;
        Ok(Progot::new(self, alphas))
    }
}
