//! The ranges of a recipe's values, and which of them go together.

use super::super::optimizer::AdamWParams;
use super::sections::{
    Anchors, CouplingSection, DataSection, EncoderSides, EncoderTraining, MapKind, MapSection, ObjectiveKind,
    ObjectiveSection, PairConfidence, Recipe,
};
use crate::error::RecipeError;
use hiref_core::CostKind;
use std::collections::BTreeSet;
use std::fmt::Display;

const SHARE: &str = "a share in [0, 1]";
const POSITIVE: &str = "a positive finite number";
const NOT_NEGATIVE: &str = "a finite number, at least 0";
/// More would not fit a machine's memory: a layer has width² weights, each eight times with its gradients and moments.
const WIDEST: usize = 1 << 16;
const DEEPEST: usize = 1 << 10;

/// Refuses the first value outside its range; `place` says whose recipe it is.
pub(super) fn check(recipe: &Recipe, place: &str) -> Result<(), RecipeError> {
    let rules = Rules { place };
    rules.data(recipe)?;
    rules.coupling(&recipe.coupling, recipe)?;
    rules.map(&recipe.map)?;
    rules.objective(&recipe.objective, &recipe.map)?;
    rules.optimizer(&recipe.optimizer)?;
    rules.training(recipe)?;
    if recipe.train.encoders == EncoderTraining::Frozen { Ok(()) } else { rules.encoders(recipe) }
}

struct Rules<'a> {
    place: &'a str,
}

impl Rules<'_> {
    fn rule(
        &self,
        ok: bool,
        key: &'static str,
        value: impl Display,
        expected: &'static str,
    ) -> Result<(), RecipeError> {
        let error = || RecipeError::Range { key, value: value.to_string(), expected, place: self.place.to_owned() };
        if ok { Ok(()) } else { Err(error()) }
    }

    fn share(&self, key: &'static str, value: f64) -> Result<(), RecipeError> {
        self.rule((0.0..=1.0).contains(&value), key, value, SHARE)
    }

    fn below_one(&self, key: &'static str, value: f64) -> Result<(), RecipeError> {
        self.rule((0.0..1.0).contains(&value), key, value, "a number in [0, 1)")
    }

    fn positive(&self, key: &'static str, value: f64) -> Result<(), RecipeError> {
        self.rule(value > 0.0 && value.is_finite(), key, value, POSITIVE)
    }

    fn not_negative(&self, key: &'static str, value: f64) -> Result<(), RecipeError> {
        self.rule(value >= 0.0 && value.is_finite(), key, value, NOT_NEGATIVE)
    }

    fn at_least_one(&self, key: &'static str, value: u64) -> Result<(), RecipeError> {
        self.rule(value >= 1, key, value, "at least 1")
    }

    fn data(&self, recipe: &Recipe) -> Result<(), RecipeError> {
        let data = &recipe.data;
        for (key, path) in [("data.source", &data.source), ("data.target", &data.target)] {
            let expected = "a .npy or .safetensors file or a clip-retrieval folder";
            self.rule(!path.as_os_str().is_empty(), key, "missing", expected)?;
        }
        self.rule(data.held_out >= 0.0, "data.held_out", data.held_out, "a count, or a share below 1")?;
        self.known_pairs(data)
    }

    /// Pairs are drawn only where row i of the source is known to belong to row i of the target.
    fn known_pairs(&self, data: &DataSection) -> Result<(), RecipeError> {
        let not_known = "row i of the source is not known to belong to row i of the target, so no pairs can be drawn";
        let (key, value, why, hint) = match (&data.anchors, data.hide_pairs) {
            (Anchors::Count(count), false) if *count > 0 => (
                "data.anchors",
                count.to_string(),
                not_known,
                "name a file of the known pairs, source row and target row, or set it to 0; where row i belongs to row i, set data.hide_pairs = true",
            ),
            (Anchors::File(path), true) => (
                "data.anchors",
                format!("`{}`", path.display()),
                "known pairs are drawn then, so a number is expected",
                "set data.hide_pairs = false for sides whose known pairs are in a file",
            ),
            (_, false) if data.held_out > 0.0 => (
                "data.held_out",
                data.held_out.to_string(),
                not_known,
                "set it to 0, and name pairs to evaluate on by eval.source and eval.target; where row i belongs to row i, set data.hide_pairs = true",
            ),
            _ => return Ok(()),
        };
        let (hide_pairs, place) = (data.hide_pairs, self.place.to_owned());
        Err(RecipeError::KnownPairs { key, value, hide_pairs, why, hint, place })
    }

    fn coupling(&self, coupling: &CouplingSection, recipe: &Recipe) -> Result<(), RecipeError> {
        let (keep, softness, churn) = (coupling.keep, coupling.softness, coupling.settled_churn);
        self.rule(keep > 0.0 && keep <= 1.0, "coupling.keep", keep, "a share in (0, 1]")?;
        let least = coupling.least_probability;
        self.rule((0.0..=1.0).contains(&least), "coupling.least_probability", least, "a probability, from 0 to 1")?;
        self.share("coupling.softness", softness)?;
        self.at_least_one("coupling.candidates", coupling.candidates as u64)?;
        self.positive("coupling.temperature", coupling.temperature)?;
        let fixed_targets =
            recipe.objective.kind == ObjectiveKind::Regression && recipe.train.encoders == EncoderTraining::Frozen;
        let needs = "0 unless objective.kind = regression and train.encoders = frozen: only fixed targets are softened";
        self.rule(softness == 0.0 || fixed_targets, "coupling.softness", softness, needs)?;
        let priced = coupling.confidence == PairConfidence::Margin || coupling.cost == CostKind::NegativeInnerProduct;
        let needs = "margin where coupling.cost is not neg-dot: slack is measured in the solver's prices";
        self.rule(priced, "coupling.confidence", "dual-slack", needs)?;
        let expected = "a share in [0, 1), 0 = never";
        self.rule((0.0..1.0).contains(&churn), "coupling.settled_churn", churn, expected)?;
        self.rule(coupling.leaf_size >= 2, "coupling.leaf_size", coupling.leaf_size, "at least 2")?;
        self.rule(coupling.max_rank >= 2, "coupling.max_rank", coupling.max_rank, "at least 2")
    }

    fn map(&self, map: &MapSection) -> Result<(), RecipeError> {
        let (width, layers) = (map.width, map.layers);
        self.rule((1..=WIDEST).contains(&width), "map.width", width, "from 1 to 65536")?;
        self.rule(layers <= DEEPEST, "map.layers", layers, "at most 1024")?;
        self.at_least_one("map.tokens", map.tokens as u64)?;
        let share = map.validation_share;
        self.rule((0.0..=0.5).contains(&share), "map.validation_share", share, "a share in [0, 0.5]")?;
        let one_way = !(map.learned_cost && map.inverse);
        self.rule(one_way, "map.inverse", map.inverse, "false where map.learned_cost = true")?;
        let fits = width <= 32 || width.is_multiple_of(32) || map.kind != MapKind::ResidualTransformer;
        self.rule(fits, "map.width", width, "at most 32 or a multiple of 32, the width of a head of the transformer")?;
        if map.kind == MapKind::ConvexGradient { self.convex_gradient(map) } else { Ok(()) }
    }

    /// What a resolved recipe holds because nobody chose it, the default, is no mistake.
    fn convex_gradient(&self, map: &MapSection) -> Result<(), RecipeError> {
        let default = MapSection::default();
        let one_layer = map.layers == 1 || map.layers == default.layers;
        let expected = "1, or left out, where map.kind is convex-gradient: its units, map.width of them, are one layer";
        self.rule(one_layer, "map.layers", map.layers, expected)?;
        let expected = "left out where map.kind is convex-gradient: only residual-transformer has tokens";
        self.rule(map.tokens == default.tokens, "map.tokens", map.tokens, expected)
    }

    fn objective(&self, objective: &ObjectiveSection, map: &MapSection) -> Result<(), RecipeError> {
        self.share("objective.cosine_share", objective.cosine_share)?;
        self.share("objective.anchor_share", objective.anchor_share)?;
        let apart = !map.learned_cost || objective.kind != ObjectiveKind::Regression;
        let kinds = "contrastive or both where map.learned_cost = true: regression alone maps everything to one point";
        self.rule(apart, "objective.kind", "regression", kinds)?;
        let klot = objective.klot_weight;
        self.not_negative("objective.klot_weight", klot)?;
        let has_teacher = klot == 0.0 || map.kind != MapKind::Mlp;
        self.rule(has_teacher, "objective.klot_weight", klot, "0 where map.kind is mlp, which starts at random")?;
        self.positive("objective.klot_epsilon", objective.klot_epsilon)?;
        self.positive("objective.scale", objective.scale)?;
        self.rule(objective.bias.is_finite(), "objective.bias", objective.bias, "a finite number")?;
        self.not_negative("objective.transport_weight", objective.transport_weight)
    }

    fn optimizer(&self, optimizer: &AdamWParams) -> Result<(), RecipeError> {
        self.not_negative("optimizer.learning_rate", optimizer.learning_rate)?;
        self.not_negative("optimizer.encoder_learning_rate", optimizer.encoder_learning_rate)?;
        self.below_one("optimizer.beta1", optimizer.beta1)?;
        self.below_one("optimizer.beta2", optimizer.beta2)?;
        let clip = optimizer.clip_norm;
        self.rule(clip >= 0.0, "optimizer.clip_norm", clip, "at least 0 (0 = never)")
    }

    fn training(&self, recipe: &Recipe) -> Result<(), RecipeError> {
        let (train, schedule) = (&recipe.train, &recipe.schedule);
        self.share("schedule.warmup", schedule.warmup)?;
        self.share("schedule.floor", schedule.floor)?;
        let different: BTreeSet<u64> = train.seeds.iter().copied().collect();
        let seeds = format!("{:?}", train.seeds);
        self.rule(different.len() == train.seeds.len(), "train.seeds", seeds, "seeds that are all different")?;
        self.at_least_one("train.batch_size", train.batch_size as u64)?;
        self.at_least_one("train.parallel_runs", train.parallel_runs as u64)?;
        self.below_one("train.ema", train.ema)?;
        self.at_least_one("checkpoint.keep", recipe.checkpoint.keep as u64)
    }

    fn encoders(&self, recipe: &Recipe) -> Result<(), RecipeError> {
        let (train, objective) = (&recipe.train, &recipe.objective);
        self.at_least_one("train.encoder_blocks", train.encoder_blocks as u64)?;
        let memory = train.encoder_memory;
        self.rule(memory > 0.0, "train.encoder_memory", memory, "a positive number of GiB")?;
        // Where nothing holds items apart, encoders that move towards one another end in one point.
        let holds_apart = objective.kind != ObjectiveKind::Regression;
        self.rule(
            train.encoders_of != EncoderSides::Both || holds_apart,
            "train.encoders_of",
            "both",
            "source or target with objective.kind = regression: both encoders would end in one point; contrastive holds \
             items apart",
        )?;
        self.rule(
            train.encoders_of != EncoderSides::Target || holds_apart || recipe.map.inverse,
            "train.encoders_of",
            "target",
            "source: with objective.kind = regression the target's encoder learns from the map back, and map.inverse is \
             false",
        )?;
        let own_pairs = recipe.eval.source.is_some() || recipe.eval.target.is_some();
        self.rule(
            !own_pairs,
            "train.encoders",
            "not frozen",
            "frozen with eval.source and eval.target, which are embeddings of the encoders as they were; embed them \
             afterwards with the run's encoder",
        )
    }
}
