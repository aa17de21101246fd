//! What can be set.

use super::coupler::CouplingParams;
use super::error::AlignError;
use super::unpaired::UnpairedParams;
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// One setting of the loop that grows a map from a few known pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefinementParams {
    /// Exponent of the partial whitening, in [0, 1]: 0 leaves the variances as they are, 1 makes them equal.
    pub whitening: f64,
    /// Principal dimensions in the first round: few, so that few known pairs determine a map.
    pub first_dimension: usize,
    /// Principal dimensions after the last round; they grow geometrically in between.
    pub last_dimension: usize,
    /// Ridge penalty, relative to the mean square of the inputs' coordinates.
    pub penalty: f64,
    /// Rounds of coupling and refitting.
    pub rounds: usize,
    /// Share of the coupled pairs that the first round believes, the surest; it grows to `last_share`, linearly.
    pub first_share: f64,
    /// Share of the coupled pairs that the last round believes.
    pub last_share: f64,
    /// Share of the total weight that the known pairs keep.
    pub anchor_share: f64,
    /// Neighbours on which a pair's confidence is measured.
    pub neighbours: usize,
    /// Candidates among which a target is softened.
    pub candidates: usize,
    /// Temperature of the softening, in units of the scaled score (a difference of mean cosines).
    pub temperature: f64,
    /// Weight of the density profiles in the first round's scores, beside a mean of cosines; it falls to 0, linearly, in
    /// the last.
    pub structure: f64,
    /// Share of the softened target; the coupled partner is the rest.
    pub softness: f64,
    /// Share of the joint coordinates that the first round's coupling leaves out, drawn anew each round; it falls to 0,
    /// linearly, in the last. Wrong pairs that confirm one another do not survive it.
    pub dropout: f64,
}

/// How they were chosen: `benchmarks/2026-11-22-alignment.md` and `benchmarks/2026-11-23-himacl.md`.
impl RefinementParams {
    /// For two views of the same thing, where the coupling soon finds many true pairs.
    pub fn sharp() -> Self {
        Self {
            whitening: 0.5,
            first_dimension: 24,
            last_dimension: 256,
            penalty: 0.25,
            rounds: 16,
            first_share: 0.25,
            last_share: 1.0,
            anchor_share: 0.3,
            neighbours: 10,
            candidates: 100,
            temperature: 0.05,
            structure: 0.2,
            softness: 0.5,
            dropout: 0.8,
        }
    }

    /// For spaces that share only their coarse structure, where the coupling finds few true pairs.
    ///
    /// A single partner would be wrong nearly always, so each target is a mean of a hundred candidates; its noise is
    /// small enough to fit maps in many dimensions from the start.
    pub fn diffuse() -> Self {
        Self {
            whitening: 0.1,
            first_dimension: 384,
            last_dimension: 384,
            penalty: 0.3,
            rounds: 8,
            first_share: 1.0,
            last_share: 1.0,
            anchor_share: 0.5,
            neighbours: 10,
            candidates: 100,
            temperature: 0.1,
            structure: 0.0,
            softness: 1.0,
            dropout: 0.0,
        }
    }

    /// For a start without known pairs between two views of the same thing.
    ///
    /// The last round still rejects the least sure pairs: groups that are paired wrongly as a whole are among them, and no
    /// known pair would correct what they do to the map.
    pub fn unpaired_sharp() -> Self {
        Self { first_dimension: 32, last_dimension: 128, rounds: 30, last_share: 0.6, candidates: 30, ..Self::sharp() }
    }

    /// For a start without known pairs where only the coarse structure may be shared.
    pub fn unpaired_cautious() -> Self {
        Self {
            first_dimension: 16,
            last_dimension: 32,
            penalty: 1.0,
            candidates: 30,
            softness: 1.0,
            dropout: 0.0,
            ..Self::sharp()
        }
    }

    pub(crate) fn check(&self) -> Result<(), AlignError> {
        let share = "a share in [0, 1]";
        let positive = "a positive finite number";
        let unit = |value: f64| (0.0..=1.0).contains(&value);
        let above_zero = |value: f64| value > 0.0 && value.is_finite();
        rule(unit(self.whitening), "whitening", self.whitening, "an exponent in [0, 1]")?;
        rule(self.first_dimension >= 1, "first_dimension", self.first_dimension, "at least 1")?;
        let grows = self.last_dimension >= self.first_dimension;
        rule(grows, "last_dimension", self.last_dimension, "at least `first_dimension`")?;
        rule(above_zero(self.penalty), "penalty", self.penalty, positive)?;
        rule(self.rounds >= 1, "rounds", self.rounds, "at least 1")?;
        rule(unit(self.first_share), "first_share", self.first_share, share)?;
        let grows = self.last_share >= self.first_share && self.last_share <= 1.0;
        rule(grows, "last_share", self.last_share, "a share from `first_share` to 1")?;
        rule(
            unit(self.anchor_share) && self.anchor_share < 1.0,
            "anchor_share",
            self.anchor_share,
            "a share in [0, 1)",
        )?;
        rule(self.neighbours >= 1, "neighbours", self.neighbours, "at least 1")?;
        rule(self.candidates >= 1, "candidates", self.candidates, "at least 1")?;
        rule(above_zero(self.temperature), "temperature", self.temperature, positive)?;
        rule(
            self.structure >= 0.0 && self.structure.is_finite(),
            "structure",
            self.structure,
            "a finite number, at least 0",
        )?;
        rule(unit(self.softness), "softness", self.softness, share)?;
        rule(unit(self.dropout) && self.dropout < 1.0, "dropout", self.dropout, "a share in [0, 1)")
    }
}

impl Default for RefinementParams {
    fn default() -> Self {
        Self::sharp()
    }
}

/// A setting among which the known pairs choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Its name in reports.
    pub name: String,
    /// The setting.
    #[serde(default)]
    pub refinement: RefinementParams,
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

/// Refuses a field outside its range.
pub(crate) fn rule(
    holds: bool,
    name: &'static str,
    value: impl Display,
    expected: &'static str,
) -> Result<(), AlignError> {
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
