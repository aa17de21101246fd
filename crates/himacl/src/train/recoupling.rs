//! The coupling of the free items in the mapped space.

use super::coupling::Coupling;
use super::recipe::{CouplingSection, PairConfidence};
use crate::align::{ReferenceItems, SoftPartners, Softening, dual_slack, pair_confidence, soft_partners};
use crate::error::Error;
use crate::map::TwoWayMap;
use candle_core::Tensor;
use hiref_core::{Observer, Permutation, Problem, Termination, WarmStart, mean_cost};

/// A coupling and its mean cost.
#[derive(Debug, Clone)]
pub struct Coupled {
    /// The pairing with confidences.
    pub coupling: Coupling,
    /// Mean cost over the pairs, in the units of the cost.
    pub mean_cost: f64,
}

/// Pairs `x (n, d)` with `y (m, e)` at least total cost in the joint coordinates of `map`; `None` if asked to stop meanwhile.
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
) -> Result<Option<Coupled>, Error> {
    let (x, y) = map.joint(x, y)?;
    let problem = Problem::new(&x, &y, section.cost)?;
    let solver = section.solver(seed).check()?;
    let warm_start = warm_start.filter(|_| section.warm_start).cloned().map(WarmStart::from);
    let output = match solver.solve(&problem, warm_start.as_ref(), observer) {
        Err(hiref_core::Error::Interrupted) => return Ok(None),
        Ok(output) if output.termination == Termination::Interrupted => return Ok(None),
        output => output?,
    };
    let reference = ReferenceItems { limit: section.reference_items, seed };
    let confidence = match section.confidence {
        PairConfidence::Margin => pair_confidence(&x, &y, &output.permutation, section.neighbours, reference)?,
        PairConfidence::DualSlack => dual_slack((&x, &y), &output.permutation, output.prices(), reference)?,
    };
    let soft = likely_partners((&x, &y), section, seed)?;
    let coupling = Coupling { permutation: output.permutation, confidence, soft };
    Ok(Some(Coupled { coupling, mean_cost: output.mean_cost }))
}

/// A coupling as it is, with its mean cost under `map` and with likely partners.
///
/// # Errors
/// A failed tensor operation.
pub(super) fn keep(
    map: &TwoWayMap,
    (x, y): (&Tensor, &Tensor),
    coupling: &Coupling,
    (section, seed): (&CouplingSection, u64),
) -> Result<Coupled, Error> {
    let (x, y) = map.joint(x, y)?;
    let mean_cost = mean_cost(&Problem::new(&x, &y, section.cost)?, &coupling.permutation);
    let soft = likely_partners((&x, &y), section, seed)?;
    Ok(Coupled { coupling: Coupling { soft, ..coupling.clone() }, mean_cost })
}

/// The likeliest partners of every item by joint coordinates, where targets are softened.
///
/// # Errors
/// A failed tensor operation.
pub(super) fn likely_partners(
    (x, y): (&Tensor, &Tensor),
    section: &CouplingSection,
    seed: u64,
) -> Result<Option<(SoftPartners, SoftPartners)>, Error> {
    let &CouplingSection { softness, candidates, temperature, neighbours, reference_items, .. } = section;
    let reference = ReferenceItems { limit: reference_items, seed };
    let soften = || soft_partners(x, y, Softening { candidates, temperature }, neighbours, reference);
    Ok((softness > 0.0).then(soften).transpose()?)
}
