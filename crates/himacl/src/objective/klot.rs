//! Let the map's transport plan on a batch be that of a teacher.

use super::contrastive::log_sum_exp;
use candle_core::{Result, Tensor};

/// `KL(P_teacher ‖ P_student)` between two entropic transport plans on the items of one batch, each the plan with uniform
/// marginals that maximises `<S, P> + ε H(P)` for its scores S.
///
/// The teacher says which items may belong together at all, not only which pair was picked; it needs no pair. The gradient in
/// the student's scores is `(P_student - P_teacher) / ε` in closed form, by the envelope theorem: no iteration is
/// differentiated. It is that of the converged plan; `iterations` decides how close to it the plan is.
///
/// References: the objective of `SOTAlign` (KLOT), ICML 2026; \[C13\] Cuturi, "Sinkhorn distances", 2013.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Klot {
    /// ε, in units of the scores.
    pub epsilon: f64,
    /// Sinkhorn iterations.
    pub iterations: usize,
}

impl Klot {
    /// The divergence, a scalar; differentiable in `student`.
    ///
    /// *Shapes*: both `(b, c)`. *Complexity*: O(b c) a Sinkhorn iteration, for each of two plans.
    ///
    /// # Errors
    /// Shapes that do not agree.
    pub fn loss(&self, student: &Tensor, teacher: &Tensor) -> Result<Tensor> {
        let goal = self.log_plan(teacher)?;
        let now = self.log_plan(student)?;
        let plan = goal.exp()?;
        let value = (&plan * (goal - &now)?)?.sum_all()?;
        let slope = ((now.exp()? - plan)? * (1.0 / self.epsilon))?;
        // Worth nothing, but with the slope as its gradient.
        let carrier = (slope * student)?.sum_all()?;
        (&carrier - carrier.detach())? + value
    }

    /// The logarithm of the plan, `(b, c)`, without gradients; its columns sum to 1 / c.
    fn log_plan(&self, scores: &Tensor) -> Result<Tensor> {
        let (b, c) = scores.dims2()?;
        let logits = (scores.detach() * (1.0 / self.epsilon))?;
        let turned = logits.t()?.contiguous()?;
        let mut of_columns = Tensor::zeros(c, logits.dtype(), logits.device())?;
        let mut of_rows = Tensor::zeros(b, logits.dtype(), logits.device())?;
        for _ in 0..self.iterations.max(1) {
            of_rows = log_sum_exp(&logits.broadcast_add(&of_columns)?)?.affine(-1.0, -(b as f64).ln())?;
            of_columns = log_sum_exp(&turned.broadcast_add(&of_rows)?)?.affine(-1.0, -(c as f64).ln())?;
        }
        logits.broadcast_add(&of_columns)?.broadcast_add(&of_rows.unsqueeze(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    const KLOT: Klot = Klot { epsilon: 0.4, iterations: 500 };

    fn scores(step: usize) -> Tensor {
        let values = (0..20).map(|at| ((at * step) % 19) as f64 / 19.0 - 0.4);
        Tensor::from_iter(values, &Device::Cpu).unwrap().reshape((4, 5)).unwrap()
    }

    fn value(loss: &Tensor) -> f64 {
        loss.to_scalar::<f64>().unwrap()
    }

    #[test]
    fn plans_have_uniform_marginals() {
        let plan = KLOT.log_plan(&scores(7)).unwrap().exp().unwrap();
        for (side, share) in [(0, 0.2), (1, 0.25)] {
            let sums = plan.sum(side).unwrap().to_vec1::<f64>().unwrap();
            assert!(sums.iter().all(|sum| (sum - share).abs() < 1e-12), "{sums:?}");
        }
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let (student, teacher) = (scores(7), scores(11));
        let variable = Var::from_tensor(&student).unwrap();
        let loss = KLOT.loss(variable.as_tensor(), &teacher).unwrap();
        let gradient =
            loss.backward().unwrap().get(&variable).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let step = 1e-4;
        let base = student.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let moved = |at: usize, by: f64| {
            let mut values = base.clone();
            values[at] += by;
            let student = Tensor::from_vec(values, (4, 5), &Device::Cpu).unwrap();
            value(&KLOT.loss(&student, &teacher).unwrap())
        };
        for (at, gradient) in gradient.iter().enumerate() {
            let difference = (moved(at, step) - moved(at, -step)) / (2.0 * step);
            assert!((gradient - difference).abs() < 1e-7, "entry {at}: {gradient}, by differences {difference}");
        }
        assert!(gradient.iter().any(|gradient| gradient.abs() > 0.01));
    }

    #[test]
    fn nothing_is_left_where_the_teacher_is_followed() {
        // A plan does not change when its scores are shifted by row or column.
        let shift = Tensor::new(&[0.3f64, -1.0, 0.0, 2.0, 0.1], &Device::Cpu).unwrap();
        let student = Var::from_tensor(&scores(7).broadcast_add(&shift).unwrap()).unwrap();
        let loss = KLOT.loss(student.as_tensor(), &scores(7)).unwrap();
        let gradient = loss.backward().unwrap().get(&student).unwrap().abs().unwrap().max_all().unwrap();
        assert!(value(&loss).abs() < 1e-9 && value(&gradient) < 1e-9);
        assert!(value(&KLOT.loss(&scores(7), &scores(11)).unwrap()) > 1e-3);
    }
}
