//! What can be set.

mod refinement;
mod unpaired;

pub use refinement::{Candidate, RefinementParams};
pub use unpaired::UnpairedParams;

use super::error::AlignError;
use super::joint::ReferenceItems;
use hiref_core::HirefParams;
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// How couplings are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CouplingParams {
    /// Largest number of items on either side that is coupled by one exact assignment; needs its square in memory twice.
    pub exact_limit: usize,
    /// The solver for everything larger; its cost is the negative inner product of the joint coordinates.
    pub solver: HirefParams,
}

impl Default for CouplingParams {
    fn default() -> Self {
        Self { exact_limit: 4096, solver: HirefParams::default() }
    }
}

/// Parameters of [`Aligner`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignParams {
    /// The settings among which cross-validation over the known pairs chooses; with one there is still the choice between
    /// it and the map fitted on the known pairs alone.
    pub candidates: Vec<Candidate>,
    /// Folds of the known pairs, fewer where that leaves less than three pairs in each; below 2 the first candidate is
    /// taken unseen.
    pub folds: usize,
    /// Rounds of the loop in each fold, where the candidate itself has no fewer: fewer cost less and tell less.
    pub selection_rounds: usize,
    /// Ridge penalty of the map on the known pairs alone, on centred embeddings, with which results are compared.
    pub baseline_penalty: f64,
    /// Items of a side among which neighbours and soft targets are looked for; more are drawn from.
    pub reference_items: usize,
    /// The search without known pairs.
    pub unpaired: UnpairedParams,
    /// How couplings are found.
    pub coupling: CouplingParams,
    /// Seed of every random choice.
    pub seed: u64,
}

impl Default for AlignParams {
    fn default() -> Self {
        let candidate = |name: &str, refinement| Candidate { name: name.to_owned(), refinement };
        Self {
            candidates: vec![
                candidate("sharp", RefinementParams::sharp()),
                candidate("diffuse", RefinementParams::diffuse()),
            ],
            folds: 4,
            selection_rounds: 16,
            baseline_penalty: 1.0,
            reference_items: 16384,
            unpaired: UnpairedParams::default(),
            coupling: CouplingParams::default(),
            seed: 0,
        }
    }
}

impl AlignParams {
    /// Checks every rule once.
    ///
    /// # Errors
    /// [`AlignError::Parameter`] naming the first field outside its range.
    pub fn check(self) -> Result<Aligner, AlignError> {
        rule(!self.candidates.is_empty(), "candidates", self.candidates.len(), "at least one")?;
        self.candidates.iter().try_for_each(|candidate| candidate.refinement.check())?;
        rule(self.selection_rounds >= 1, "selection_rounds", self.selection_rounds, "at least 1")?;
        let penalty = self.baseline_penalty;
        rule(penalty > 0.0 && penalty.is_finite(), "baseline_penalty", penalty, "a positive finite number")?;
        rule(self.reference_items >= 1, "reference_items", self.reference_items, "at least 1")?;
        self.unpaired.check()?;
        self.coupling.solver.clone().check()?;
        Ok(Aligner { params: self })
    }
}

impl AlignParams {
    /// The items among which neighbours are looked for.
    pub(crate) fn reference(&self) -> ReferenceItems {
        ReferenceItems { limit: self.reference_items, seed: self.seed }
    }
}

/// Refuses a field outside its range.
fn rule(holds: bool, name: &'static str, value: impl Display, expected: &'static str) -> Result<(), AlignError> {
    if holds { Ok(()) } else { Err(AlignError::Parameter { name, value: value.to_string(), expected }) }
}

/// Finds the first map between two spaces, with checked parameters: [`Aligner::shared_space`], [`Aligner::anchors`],
/// [`Aligner::unpaired`].
#[derive(Debug, Clone)]
pub struct Aligner {
    pub(crate) params: AlignParams,
}

impl Aligner {
    /// The parameters in force.
    pub fn params(&self) -> &AlignParams {
        &self.params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_and_each_rule_has_its_name() {
        assert!(AlignParams::default().check().is_ok());
        let with = |change: fn(&mut RefinementParams)| {
            let mut params = AlignParams::default();
            change(&mut params.candidates[1].refinement);
            match params.check() {
                Err(AlignError::Parameter { name, .. }) => name,
                other => panic!("expected a refused parameter, got {other:?}"),
            }
        };
        assert_eq!(with(|params| params.whitening = -0.1), "whitening");
        assert_eq!(with(|params| params.kernel_width = -1.0), "kernel_width");
        assert_eq!(with(|params| params.first_dimension = 0), "first_dimension");
        assert_eq!(with(|params| params.last_dimension = 3), "last_dimension");
        assert_eq!(with(|params| params.penalty = f64::NAN), "penalty");
        assert_eq!(with(|params| params.rounds = 0), "rounds");
        assert_eq!(with(|params| params.first_share = 1.1), "first_share");
        assert_eq!(with(|params| params.last_share = 0.1), "last_share");
        assert_eq!(with(|params| params.anchor_share = 1.0), "anchor_share");
        assert_eq!(with(|params| params.neighbours = 0), "neighbours");
        assert_eq!(with(|params| params.candidates = 0), "candidates");
        assert_eq!(with(|params| params.temperature = 0.0), "temperature");
        assert_eq!(with(|params| params.structure = -1.0), "structure");
        assert_eq!(with(|params| params.softness = 2.0), "softness");
        assert_eq!(with(|params| params.dropout = 1.0), "dropout");
        let none = AlignParams { candidates: Vec::new(), ..AlignParams::default() };
        assert!(matches!(none.check(), Err(AlignError::Parameter { name: "candidates", .. })));
    }

    #[test]
    fn they_survive_a_file() {
        let text = serde_json::to_string(&AlignParams::default()).unwrap();
        assert_eq!(serde_json::from_str::<AlignParams>(&text).unwrap(), AlignParams::default());
        assert!(serde_json::from_str::<AlignParams>("{\"fold\": 3}").is_err());
    }
}
