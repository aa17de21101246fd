//! The coupling of the free items in the mapped space.

use super::pairs::Coupling;
use super::recipe::CouplingSection;
use crate::align::pair_confidence;
use crate::error::Error;
use crate::map::TwoWayMap;
use candle_core::Tensor;
use hiref_core::{Observer, Permutation, Problem, Termination, WarmStart};

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

/// Pairs `x (n, d)` with `y (m, e)` at least total cost in the joint coordinates of `map`.
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
    let solver = section.solver(seed).check()?;
    let warm_start = warm_start.filter(|_| section.warm_start).cloned().map(WarmStart::from);
    let output = solver.solve(&problem, warm_start.as_ref(), observer)?;
    let confidence = pair_confidence(&x, &y, &output.permutation, section.neighbours, section.reference_items, seed)?;
    let interrupted = output.termination == Termination::Interrupted;
    let coupling = Coupling { permutation: output.permutation, confidence };
    Ok(Coupled { coupling, mean_cost: output.mean_cost, interrupted })
}
