//! The coupling of the free items in the mapped space.

use super::pairs::Coupling;
use super::recipe::CouplingSection;
use crate::error::Error;
use crate::map::TwoWayMap;
use candle_core::Tensor;
use hiref_core::{HirefParams, Observer, Permutation, Problem, Termination};

/// A coupling and its mean cost.
#[derive(Debug, Clone)]
pub struct Coupled {
    /// The pairing with confidences.
    pub coupling: Coupling,
    /// Mean cost over the pairs, in the units of the cost.
    pub mean_cost: f64,
    /// Whether the solver was told to stop before it was done.
    pub interrupted: bool,
}

/// Pairs `x (n, d)` with `y (m, e)` at least total cost in the joint coordinates of `map`; a pair's confidence is minus
/// its cost.
///
/// # Errors
/// What the solver refuses.
pub fn couple(
    map: &TwoWayMap,
    (x, y): (&Tensor, &Tensor),
    section: &CouplingSection,
    seed: u64,
    warm_start: Option<&Permutation>,
    observer: &dyn Observer,
) -> Result<Coupled, Error> {
    let (x, y) = map.joint(x, y)?;
    let problem = Problem::new(&x, &y, section.cost)?;
    let solver = HirefParams {
        quality: section.quality,
        seed,
        leaf_size: section.leaf_size,
        max_rank: section.max_rank,
        max_sweeps: section.max_sweeps,
        ..HirefParams::default()
    }
    .check()?;
    let output = solver.solve(&problem, warm_start.filter(|_| section.warm_start), observer)?;
    let (x, y) = (problem.x(), problem.y());
    let (x_rows, y_rows) = (x.rows(), y.rows());
    let row = |rows: &[f32], index: usize| -> Vec<f32> { rows[index * x.dimension()..][..x.dimension()].to_vec() };
    let mut confidence = vec![f32::NEG_INFINITY; x.num_points()];
    for (i, j) in output.permutation.pairs() {
        confidence[i] = -section.cost.between(&row(x_rows.as_slice(), i), &row(y_rows.as_slice(), j)) as f32;
    }
    let interrupted = output.termination == Termination::Interrupted;
    let coupling = Coupling { permutation: output.permutation, confidence };
    Ok(Coupled { coupling, mean_cost: output.mean_cost, interrupted })
}
