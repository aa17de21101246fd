//! One coupling after the other, each from where the last one ended.

use super::error::AlignError;
use super::joint::Joint;
use super::params::CouplingParams;
use hiref_core::assignment::{AssignmentSolver, CostMatrix};
use hiref_core::{AlignmentRound, CostKind, Event, Observer, Permutation, Phase, Problem, UNMATCHED, WarmStart};

/// Tells an observer that so many rounds of the loop are going to be run.
pub(crate) fn announce(observer: &dyn Observer, rounds: usize) {
    observer.on_event(&Event::PhaseStarted { phase: Phase::Align, total: rounds as u64 });
}

/// Couples the same items again and again while their coordinates move.
pub(crate) struct WarmCoupler<'a> {
    params: &'a CouplingParams,
    observer: &'a dyn Observer,
    stage: String,
    exact: AssignmentSolver<f32>,
    cost: CostMatrix<f32>,
    /// The last exact assignment: column and price of each row, with stand-ins where the sides differ in size.
    columns: Vec<u32>,
    prices: Vec<f32>,
    /// What the solver's last coupling left to start from.
    last: Option<WarmStart>,
}

impl<'a> WarmCoupler<'a> {
    /// `stage` says to the observer what the couplings are for.
    pub(crate) fn new(params: &'a CouplingParams, observer: &'a dyn Observer, stage: &str) -> Self {
        Self {
            params,
            observer,
            stage: stage.to_owned(),
            exact: AssignmentSolver::default(),
            cost: CostMatrix::default(),
            columns: Vec::new(),
            prices: Vec::new(),
            last: None,
        }
    }

    /// Tells the observer of a round that ended.
    pub(crate) fn tell(&self, mut round: AlignmentRound) {
        round.stage.clone_from(&self.stage);
        self.observer.on_event(&Event::AlignmentRound(round));
        self.observer.on_event(&Event::Advanced { phase: Phase::Align, work: 1 });
    }

    /// Whether the observer asks to stop.
    pub(crate) fn check(&self) -> Result<(), AlignError> {
        if self.observer.should_stop() { Err(AlignError::Interrupted) } else { Ok(()) }
    }

    /// The one-to-one coupling of largest total score.
    pub(crate) fn couple(&mut self, joint: &Joint) -> Result<Permutation, AlignError> {
        self.check()?;
        let (x, y) = joint.sides();
        let (n, m) = (x.dim(0)?, y.dim(0)?);
        let permutation = match joint.whole() {
            Some(scores) if n.max(m) <= self.params.exact_limit => self.assign(scores, n, m)?,
            _ => {
                let problem = Problem::new(x, y, CostKind::NegativeInnerProduct)?;
                let solver = self.params.solver.clone().check()?;
                let output = solver.solve(&problem, self.last.as_ref(), self.observer)?;
                self.last = Some(output.warm_start());
                output.permutation
            }
        };
        Ok(permutation)
    }

    /// Exact assignment; from the second call on with the last pairing on the diagonal and the last prices.
    fn assign(&mut self, scores: &[f32], n: usize, m: usize) -> Result<Permutation, AlignError> {
        let size = n.max(m);
        let warm = self.columns.len() == size;
        if !warm {
            self.columns = (0..size as u32).collect();
        }
        self.cost.resize(size);
        // A stand-in has one and the same cost with everything, so it never changes who is paired with whom.
        for (i, row) in self.cost.rows_mut().enumerate() {
            for (entry, &column) in row.iter_mut().zip(&self.columns) {
                let is_real = i < n && (column as usize) < m;
                *entry = if is_real { -scores[i * m + column as usize] } else { 0.0 };
            }
        }
        let assignment = if warm {
            self.exact.solve_warm(&self.cost, self.columns.iter().map(|&column| self.prices[column as usize]))
        } else {
            self.exact.solve(&self.cost)
        };
        let mut prices = vec![0.0; size];
        self.columns.iter().zip(assignment.g).for_each(|(&column, &price)| prices[column as usize] = price);
        let columns = assignment.column_of_row.iter().map(|&column| self.columns[column as usize]).collect();
        (self.columns, self.prices) = (columns, prices);
        let partner = |&column: &u32| if (column as usize) < m { column } else { UNMATCHED };
        Ok(Permutation::new(self.columns[..n].iter().map(partner).collect(), m)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::joint::ReferenceItems;
    use candle_core::{Device, Tensor};
    use rand::Rng;

    const EVERY: ReferenceItems = ReferenceItems { limit: 1000, seed: 0 };

    fn points(n: usize, purpose: u64) -> Tensor {
        let mut generator = hiref_core::rng::stream(9, &[purpose]);
        let values: Vec<f32> = (0..n * 5).map(|_| generator.random_range(-1.0..1.0)).collect();
        Tensor::from_vec(values, (n, 5), &Device::Cpu).unwrap()
    }

    fn total(x: &Tensor, y: &Tensor, coupling: &Permutation) -> f64 {
        let problem = Problem::new(x, y, CostKind::NegativeInnerProduct).unwrap();
        hiref_core::mean_cost(&problem, coupling)
    }

    #[test]
    fn warm_and_cold_couplings_cost_the_same() {
        for (n, m) in [(60, 60), (40, 60), (60, 40)] {
            let params = CouplingParams::default();
            let mut warm = WarmCoupler::new(&params, &(), "test");
            for step in 0..3 {
                let (x, y) = (points(n, step), points(m, step + 10));
                let joint = Joint::new(&x, &y, EVERY).unwrap();
                let cold = WarmCoupler::new(&params, &(), "test").couple(&joint).unwrap();
                let again = warm.couple(&joint).unwrap();
                let (cold, again) = (total(&x, &y, &cold), total(&x, &y, &again));
                assert!((cold - again).abs() < 1e-6, "{n} with {m}, step {step}: {cold} {again}");
            }
        }
    }

    #[test]
    fn large_sides_go_to_the_global_solver() {
        let (x, y) = (points(80, 1), points(80, 2));
        let joint = Joint::new(&x, &y, EVERY).unwrap();
        let exact = WarmCoupler::new(&CouplingParams::default(), &(), "test").couple(&joint).unwrap();
        let params = CouplingParams { exact_limit: 10, ..CouplingParams::default() };
        let solved = WarmCoupler::new(&params, &(), "test").couple(&joint).unwrap();
        assert!(total(&x, &y, &solved) < 0.95 * total(&x, &y, &exact));
    }
}
