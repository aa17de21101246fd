//! Recipes: TOML files that say everything about a training run.
//!
//! A recipe goes through these steps: parse; resolve its paths against its own folder; apply changes to single keys (whose paths are
//! those of the shell); check every key against the known ones; fill in defaults; check ranges. `[variants.NAME]` tables
//! change dotted keys of the recipe and give further problems that run beside the main one.

mod nearest;
mod sections;

pub use sections::{
    AlignmentMode, Anchors, CouplingSection, DataSection, EncoderSides, EncoderTraining, MapKind, ObjectiveKind,
    PairConfidence, PairWeights, Precision, Recipe,
};

use crate::error::RecipeError;
use hiref_core::CostKind;
use nearest::nearest;
use sections::ObjectiveSection;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use toml::{Table, Value};

/// Keys whose strings are paths of inputs.
const PATH_KEYS: [&str; 9] = [
    "data.source",
    "data.target",
    "data.source_encoder",
    "data.target_encoder",
    "data.source_input",
    "data.target_input",
    "data.anchors",
    "eval.source",
    "eval.target",
];
const VARIANTS: &str = "variants";
/// The name of the problem that the recipe itself describes, beside its variants.
pub const MAIN_PROBLEM: &str = "main";

/// One of the problems of a recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedRecipe {
    /// [`MAIN_PROBLEM`] or the variant's name.
    pub name: String,
    /// What to do.
    pub recipe: Recipe,
}

/// A recipe file with its variants, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipeFile {
    /// The problems, the main one first.
    pub problems: Vec<NamedRecipe>,
    /// Everything as one table, as it is written beside the results.
    pub resolved: Table,
}

impl RecipeFile {
    /// Reads the recipe at `path` with the `overrides` (`key=value`) and, where given, another seed.
    ///
    /// # Errors
    /// One [`RecipeError`] per rule; unknown keys name the nearest known one.
    ///
    /// # Panics
    /// Never: a recipe always serialises to a table.
    pub fn read(path: &Path, overrides: &[String], seed: Option<u64>) -> Result<Self, RecipeError> {
        let text = fs::read_to_string(path).map_err(|source| RecipeError::Read { path: path.to_path_buf(), source })?;
        let mut table: Table =
            toml::from_str(&text).map_err(|source| RecipeError::Syntax { path: path.to_path_buf(), source })?;
        let mut variants = take_variants(&mut table);
        let folder = path.parent().unwrap_or(Path::new(""));
        resolve_paths(&mut table, folder);
        for (_, variant) in &mut variants {
            resolve_paths(variant, folder);
        }

        let mut changes = Table::new();
        for argument in overrides {
            apply_override(&mut changes, argument)?;
        }
        if let Some(seed) = seed {
            insert_dotted(&mut changes, "train.seed", Value::Integer(seed.cast_signed()));
            insert_dotted(&mut changes, "train.seeds", Value::Array(Vec::new()));
        }
        let no_variants = changes.get(VARIANTS).and_then(Value::as_table).is_some_and(Table::is_empty);
        let variant_changes = take_variants(&mut changes);
        if no_variants {
            variants.clear();
        }
        resolve_paths(&mut changes, Path::new(""));
        merge(&mut table, changes);
        for (name, mut change) in variant_changes {
            resolve_paths(&mut change, Path::new(""));
            match variants.iter_mut().find(|(existing, _)| *existing == name) {
                Some((_, variant)) => merge(variant, change),
                None => variants.push((name, change)),
            }
        }

        let place = format!("recipe `{}`", path.display());
        for (name, _) in &variants {
            check_name(name, path)?;
        }
        let mut problems = vec![NamedRecipe { name: MAIN_PROBLEM.to_owned(), recipe: checked(&table, &place)? }];
        for (name, variant) in &variants {
            let mut whole = table.clone();
            merge(&mut whole, variant.clone());
            let place = format!("[variants.{name}] of {place}");
            problems.push(NamedRecipe { name: name.clone(), recipe: checked(&whole, &place)? });
        }
        let mut resolved = Table::try_from(&problems[0].recipe).expect("a recipe is a table");
        if !variants.is_empty() {
            let named = variants.into_iter().map(|(name, table)| (name, Value::Table(table))).collect();
            resolved.insert(VARIANTS.to_owned(), Value::Table(named));
        }
        Ok(Self { problems, resolved })
    }
}

impl Recipe {
    /// The seeds to train with, at least one.
    pub fn seeds(&self) -> Vec<u64> {
        if self.train.seeds.is_empty() { vec![self.train.seed] } else { self.train.seeds.clone() }
    }

    /// The recipe of one of its seeds.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Self {
        let mut one = self.clone();
        one.train.seed = seed;
        one.train.seeds.clear();
        one
    }

    fn check(&self, place: &str) -> Result<(), RecipeError> {
        let rule = |ok: bool, key, value: &dyn std::fmt::Display, expected| {
            let error = || RecipeError::Range { key, value: value.to_string(), expected, place: place.to_owned() };
            if ok { Ok(()) } else { Err(error()) }
        };
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let Self { data, coupling, map, objective, optimizer, schedule, train, checkpoint, .. } = self;
        for (key, path) in [("data.source", &data.source), ("data.target", &data.target)] {
            rule(
                !path.as_os_str().is_empty(),
                key,
                &"missing",
                "a .npy or .safetensors file or a clip-retrieval folder",
            )?;
        }
        rule(data.held_out >= 0.0, "data.held_out", &data.held_out, "a count, or a share below 1")?;
        rule(coupling.keep > 0.0 && coupling.keep <= 1.0, "coupling.keep", &coupling.keep, "a share in (0, 1]")?;
        let (softness, temperature) = (coupling.softness, coupling.temperature);
        rule(share(softness), "coupling.softness", &softness, "a share in [0, 1]")?;
        rule(coupling.candidates >= 1, "coupling.candidates", &coupling.candidates, "at least 1")?;
        let positive = temperature > 0.0 && temperature.is_finite();
        rule(positive, "coupling.temperature", &temperature, "a positive finite number")?;
        let can_soften = objective.kind == ObjectiveKind::Regression && train.encoders == EncoderTraining::Frozen;
        let needs = "0 unless objective.kind = regression and train.encoders = frozen: only fixed targets are softened";
        rule(softness == 0.0 || can_soften, "coupling.softness", &softness, needs)?;
        let priced = coupling.confidence == PairConfidence::Margin || coupling.cost == CostKind::NegativeInnerProduct;
        let needs = "margin where coupling.cost is not neg-dot: slack is measured in the solver's prices";
        rule(priced, "coupling.confidence", &"dual-slack", needs)?;
        let churn = coupling.settled_churn;
        rule((0.0..1.0).contains(&churn), "coupling.settled_churn", &churn, "a share in [0, 1), 0 = never")?;
        rule(coupling.leaf_size >= 2, "coupling.leaf_size", &coupling.leaf_size, "at least 2")?;
        rule(coupling.max_rank >= 2, "coupling.max_rank", &coupling.max_rank, "at least 2")?;
        rule(map.width >= 1, "map.width", &map.width, "at least 1")?;
        rule(share(objective.cosine_share), "objective.cosine_share", &objective.cosine_share, "a share in [0, 1]")?;
        rule(share(objective.anchor_share), "objective.anchor_share", &objective.anchor_share, "a share in [0, 1]")?;
        let one_way = !(map.learned_cost && map.inverse);
        rule(one_way, "map.inverse", &map.inverse, "false where map.learned_cost = true")?;
        let apart = !map.learned_cost || objective.kind != ObjectiveKind::Regression;
        let kinds = "contrastive or both where map.learned_cost = true: regression alone maps everything to one point";
        rule(apart, "objective.kind", &"regression", kinds)?;
        rule(map.tokens >= 1, "map.tokens", &map.tokens, "at least 1")?;
        let fits = map.width <= 32 || map.width.is_multiple_of(32) || map.kind != MapKind::ResidualTransformer;
        rule(fits, "map.width", &map.width, "at most 32 or a multiple of 32, the width of a head of the transformer")?;
        let ObjectiveSection { scale, bias, transport_weight, klot_weight, klot_epsilon, .. } = *objective;
        let at_least = "a finite number, at least 0";
        rule(klot_weight >= 0.0 && klot_weight.is_finite(), "objective.klot_weight", &klot_weight, at_least)?;
        let has_teacher = klot_weight == 0.0 || map.kind != MapKind::Mlp;
        rule(has_teacher, "objective.klot_weight", &klot_weight, "0 where map.kind is mlp, which starts at random")?;
        let positive = klot_epsilon > 0.0 && klot_epsilon.is_finite();
        rule(positive, "objective.klot_epsilon", &klot_epsilon, "a positive finite number")?;
        rule(scale > 0.0 && scale.is_finite(), "objective.scale", &scale, "a positive finite number")?;
        rule(bias.is_finite(), "objective.bias", &bias, "a finite number")?;
        let not_negative = transport_weight >= 0.0 && transport_weight.is_finite();
        rule(not_negative, "objective.transport_weight", &transport_weight, "a finite number, at least 0")?;
        let rate = optimizer.learning_rate;
        rule(rate >= 0.0 && rate.is_finite(), "optimizer.learning_rate", &rate, "a finite number, at least 0")?;
        rule((0.0..1.0).contains(&optimizer.beta1), "optimizer.beta1", &optimizer.beta1, "a number in [0, 1)")?;
        rule((0.0..1.0).contains(&optimizer.beta2), "optimizer.beta2", &optimizer.beta2, "a number in [0, 1)")?;
        rule(optimizer.clip_norm >= 0.0, "optimizer.clip_norm", &optimizer.clip_norm, "at least 0 (0 = never)")?;
        rule(share(schedule.warmup), "schedule.warmup", &schedule.warmup, "a share in [0, 1]")?;
        rule(share(schedule.floor), "schedule.floor", &schedule.floor, "a share in [0, 1]")?;
        let seeds: BTreeSet<u64> = train.seeds.iter().copied().collect();
        let shown = format!("{:?}", train.seeds);
        rule(seeds.len() == train.seeds.len(), "train.seeds", &shown, "seeds that are all different")?;
        rule(train.batch_size >= 1, "train.batch_size", &train.batch_size, "at least 1")?;
        rule(train.parallel_runs >= 1, "train.parallel_runs", &train.parallel_runs, "at least 1")?;
        rule((0.0..1.0).contains(&train.ema), "train.ema", &train.ema, "a number in [0, 1)")?;
        rule(checkpoint.keep >= 1, "checkpoint.keep", &checkpoint.keep, "at least 1")?;
        let rate = optimizer.encoder_learning_rate;
        rule(rate >= 0.0 && rate.is_finite(), "optimizer.encoder_learning_rate", &rate, "a finite number, at least 0")?;
        if train.encoders == EncoderTraining::Frozen {
            return Ok(());
        }
        rule(train.encoder_blocks >= 1, "train.encoder_blocks", &train.encoder_blocks, "at least 1")?;
        rule(train.encoder_memory > 0.0, "train.encoder_memory", &train.encoder_memory, "a positive number of GiB")?;
        // Where nothing holds items apart, encoders that move towards one another end in one point.
        let holds_apart = objective.kind != ObjectiveKind::Regression;
        rule(
            train.encoders_of != EncoderSides::Both || holds_apart,
            "train.encoders_of",
            &"both",
            "source or target with objective.kind = regression: both encoders would end in one point; contrastive holds \
             items apart",
        )?;
        rule(
            train.encoders_of != EncoderSides::Target || holds_apart || map.inverse,
            "train.encoders_of",
            &"target",
            "source: with objective.kind = regression the target's encoder learns from the map back, and map.inverse is \
             false",
        )?;
        let own_pairs = self.eval.source.is_some() || self.eval.target.is_some();
        rule(
            !own_pairs,
            "train.encoders",
            &"not frozen",
            "frozen with eval.source and eval.target, which are embeddings of the encoders as they were; embed them \
             afterwards with the run's encoder",
        )
    }
}

/// Checks the name of a variant: its runs have a folder of that name.
fn check_name(name: &str, recipe: &Path) -> Result<(), RecipeError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+=, ".contains(&byte);
    let is_file = Path::new(name)
        .extension()
        .is_some_and(|extension| ["toml", "json", "html"].iter().any(|own| extension == *own));
    let fits = !name.is_empty() && name.len() <= 100 && !name.starts_with(['.', ' ']) && name.bytes().all(is_plain);
    if fits && !is_file && name != MAIN_PROBLEM {
        return Ok(());
    }
    Err(RecipeError::VariantName { name: name.to_owned(), path: recipe.to_path_buf() })
}

/// Checks the keys, the types and the ranges of a whole recipe.
fn checked(table: &Table, place: &str) -> Result<Recipe, RecipeError> {
    let known = known_keys();
    let mut unknown = None;
    walk(table, "", &mut |key, value| {
        let is_section = known.iter().any(|known| known.starts_with(&format!("{key}.")));
        let fits = if is_section { value.is_table() } else { known.iter().any(|known| known == key) };
        if !fits && unknown.is_none() {
            unknown = Some(key.to_owned());
        }
        is_section
    });
    if let Some(key) = unknown {
        let nearest = nearest(&key, &known).to_owned();
        return Err(RecipeError::UnknownKey { key, place: place.to_owned(), nearest });
    }
    let recipe: Recipe = Value::Table(table.clone()).try_into().map_err(|error: toml::de::Error| {
        RecipeError::Type { place: place.to_owned(), problem: error.to_string().trim_end().replace('\n', " ") }
    })?;
    recipe.check(place)?;
    Ok(recipe)
}

/// Every key of a recipe, dotted.
fn known_keys() -> Vec<String> {
    // JSON, not TOML: it shows absent options too.
    let recipe = serde_json::to_value(Recipe::default()).expect("plain data serialises");
    let mut keys = Vec::new();
    for (section, fields) in recipe.as_object().expect("a recipe is an object") {
        let fields = fields.as_object().expect("every section is an object");
        keys.extend(fields.keys().map(|field| format!("{section}.{field}")));
    }
    keys
}

/// Visits every entry by its dotted key; goes into tables where the visitor says so.
fn walk(table: &Table, prefix: &str, visit: &mut dyn FnMut(&str, &Value) -> bool) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if visit(&key, value)
            && let Value::Table(inner) = value
        {
            walk(inner, &key, visit);
        }
    }
}

/// Takes `[variants.*]` out of a table, with dotted keys spread into tables.
fn take_variants(table: &mut Table) -> Vec<(String, Table)> {
    let Some(Value::Table(variants)) = table.remove(VARIANTS) else { return Vec::new() };
    variants
        .into_iter()
        .filter_map(|(name, value)| {
            let Value::Table(entries) = value else { return None };
            let mut nested = Table::new();
            for (key, value) in entries {
                let mut one = Table::new();
                insert_dotted(&mut one, &key, value);
                merge(&mut nested, one);
            }
            Some((name, nested))
        })
        .collect()
}

fn apply_override(changes: &mut Table, argument: &str) -> Result<(), RecipeError> {
    let wrong = || RecipeError::Override { argument: argument.to_owned() };
    let (key, text) = argument.split_once('=').ok_or_else(wrong)?;
    let (key, text) = (key.trim(), text.trim());
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(wrong());
    }
    // What does not read as a TOML value is a string without its quotes.
    let parsed = toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    insert_dotted(changes, key, parsed.unwrap_or_else(|| Value::String(text.to_owned())));
    Ok(())
}

fn insert_dotted(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if !inner.is_table() {
                *inner = Value::Table(Table::new());
            }
            if let Value::Table(inner) = inner {
                insert_dotted(inner, rest, value);
            }
        }
    }
}

/// Lays `changes` over `table`, key by key.
fn merge(table: &mut Table, changes: Table) {
    for (key, value) in changes {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

/// Makes the input paths of a table absolute; relative ones start at `folder`.
fn resolve_paths(table: &mut Table, folder: &Path) {
    for key in PATH_KEYS {
        let (section, field) = key.split_once('.').expect("path keys have two parts");
        let value = table.get_mut(section).and_then(Value::as_table_mut).and_then(|section| section.get_mut(field));
        if let Some(Value::String(path)) = value
            && let Ok(absolute) = std::path::absolute(folder.join(&*path))
        {
            *path = without_dots(&absolute).to_string_lossy().into_owned();
        }
    }
}

/// The path without `.` and `..`, by its text alone.
fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests;
