//! Recipes: TOML files that say everything about a training run.
//!
//! A recipe goes through these steps: parse; resolve its paths against its own folder; apply changes to single keys (whose paths are
//! those of the shell); check every key against the known ones; fill in defaults; check ranges. `[variants.NAME]` tables
//! change dotted keys of the recipe and give further problems that run beside the main one.

mod check;
mod nearest;
mod sections;

pub use sections::{
    AlignmentMode, Anchors, CouplingSection, DataSection, EncoderSides, EncoderTraining, MapKind, ObjectiveKind,
    PairConfidence, PairWeights, Precision, Recipe,
};

use crate::error::RecipeError;
use himacl_encode::readers::is_address;
use nearest::nearest;
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
    check::check(&recipe, place)?;
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
            && !is_address(path)
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
